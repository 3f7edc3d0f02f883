"""Times the PyTorch peer: inference, one training step, and where the inference goes; prints one JSON line a case.

    python time_pytorch.py --threads 2 --what inference training modules --attention math sdpa

Every case runs in a process of its own, so that its peak memory is its own. `cpu_ms` is the processor time of all
threads divided by their number: on a machine that others use too it is steadier than the clock. `clean` repeats are
those during which other processes took less than 6 % of one processor.
"""

import argparse
import contextlib
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time

import torch
from torch import nn

from crformer_pytorch import CRFormer, read_config

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "bf16-pure": torch.bfloat16}
PARTS = ("text", "visual.patch_embed", "visual.stages.0", "visual.stages.1", "visual.stages.2", "visual.stages.3",
         "fusion.1", "fusion.2", "fusion.3", "neck", "query", "decoder", "head")
DECODER_PARTS = ("self_attn", "cross_attn", "mlp", "calibration")


def cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def resident_peak():
    """Peak resident memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def processor_seconds():
    """Time that all processors of the machine were busy, or taken by its host; None where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / 100
    return None


class Stopwatch:
    """Clock, own processor time and that of others during repeated calls, in milliseconds."""

    def __init__(self, device, threads):
        self.wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.threads, self.clock, self.cpu, self.others = threads, [], [], []

    def start(self):
        self.wait()
        self.began = time.perf_counter(), time.process_time(), processor_seconds()

    def stop(self):
        self.wait()
        self.clock.append((time.perf_counter() - self.began[0]) * 1e3)
        own = (time.process_time() - self.began[1]) * 1e3
        self.cpu.append(own / self.threads)
        if self.began[2] is not None:
            self.others.append((processor_seconds() - self.began[2]) * 1e3 - own)

    def report(self):
        clean = [c for c, o in zip(self.clock, self.others) if o < 0.06 * c + 10]  # the system counts in steps of 10 ms
        return {
            "median_ms": round(statistics.median(self.clock), 3), "min_ms": round(min(self.clock), 3),
            "cpu_median_ms": round(statistics.median(self.cpu), 3), "cpu_min_ms": round(min(self.cpu), 3),
            "repeats": len(self.clock), "clean_repeats": len(clean),
            "clean_median_ms": round(statistics.median(clean), 3) if clean else None,
        }


def batch(config, size, device, dtype):
    """Random pictures, sentences of 3 to all positions, random truth."""
    side, words = config["image_size"], config["max_tokens"]
    length = torch.randint(3, words + 1, (size, 1))
    length[0] = words
    mask = (torch.arange(words) < length).long()
    tokens = torch.randint(1, config["vocab_size"], (size, words)) * mask
    truth = torch.randint(0, 2, (size, side, side))
    return torch.randn(size, 3, side, side).to(device, dtype), tokens.to(device), mask.to(device), truth.to(device)


def optimizer(model, arguments):
    """AdamW with decay on all but norms and relative position biases, in its fused form."""
    if arguments.freeze_text:
        for module in (model.text.embeddings, *model.text.layers[-2:]):
            module.requires_grad_(False)
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (plain if "norm" in name or "relative_position_bias" in name else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=5e-5, fused=True)


def repeat(call, watch, arguments):
    """Warms up, then repeats until both the count and the seconds asked for are reached."""
    for _ in range(arguments.warmup):
        call()
    end = time.perf_counter() + arguments.seconds
    while len(watch.clock) < arguments.repeats or time.perf_counter() < end:
        watch.start()
        call()
        watch.stop()
    return watch.report()


def compiled(model, arguments):
    """The model as torch.compile makes it, if it shall, else as it is."""
    return torch.compile(model, mode=arguments.compile, dynamic=False) if arguments.compile else model


def inference_call(model, inputs, arguments):
    """One inference as a function without arguments."""
    model.eval()
    if arguments.fix_biases:
        model.fix_biases()
    run = compiled(model, arguments)

    @torch.no_grad()
    def call():
        run(*inputs[:3])

    return call


def training_call(model, inputs, arguments):
    """One training step as a function without arguments: forward, losses, backward, update."""
    model.train()
    steps = optimizer(model, arguments)
    run = compiled(model, arguments)
    cast = torch.autocast(inputs[0].device.type, torch.bfloat16) if arguments.dtype == "bf16" else contextlib.nullcontext()

    def call():
        with cast:
            _, losses = run(*inputs)
        losses["total"].backward()
        steps.step()
        steps.zero_grad(set_to_none=True)

    return call


def prepare(what, attention, size, arguments):
    """A case as a function without arguments, its model, its inputs."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    if arguments.dtype == "tf32":
        torch.set_float32_matmul_precision("high")
    device = torch.device(arguments.device)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    config = read_config(arguments.config)
    # Autocast is over weights in f32; bf16-pure trains weights that are kept in bf16.
    held = torch.float32 if what == "training" and arguments.dtype == "bf16" else DTYPES[arguments.dtype]
    model = CRFormer(config, attention).draw_weights().to(device, held).to(memory_format=torch.channels_last)
    inputs = batch(config, size, device, held)
    make = training_call if what == "training" else inference_call
    return make(model, inputs, arguments), model, inputs


def time_modules(model, inputs, watch, arguments):
    """Median and least time in each part, and in each kind of leaf, by hooks around them."""
    model.eval()
    spent = {}

    def watch_module(module, name):
        inner = Stopwatch(inputs[0].device, watch.threads)

        def end(*_):
            inner.stop()
            spent.setdefault(name, []).append((inner.clock.pop(), inner.cpu.pop()))

        module.register_forward_pre_hook(lambda *_: inner.start())
        module.register_forward_hook(end)

    modules = dict(model.named_modules())
    if arguments.leaves:
        for name, module in modules.items():
            if isinstance(module, (nn.Linear, nn.LayerNorm, nn.GELU, nn.Conv2d)):
                stage = name.split(".blocks")[0] if ".blocks" in name else name.split(".")[0]
                watch_module(module, f"{stage} {type(module).__name__}")
            elif name.endswith(".attn") and ".blocks" in name:
                watch_module(module, f"{name.split('.blocks')[0]} whole window attention")
    else:
        for name in PARTS:
            watch_module(modules[name], name)
        for i in range(len(model.decoder.layers)):
            for part in DECODER_PARTS:
                if f"decoder.layers.{i}.{part}" in modules:
                    watch_module(modules[f"decoder.layers.{i}.{part}"], f"decoder.*.{part}")
    rounds = []

    @torch.no_grad()
    def call():
        spent.clear()
        model(*inputs[:3])
        rounds.append({name: tuple(map(sum, zip(*times))) for name, times in spent.items()})

    report = repeat(call, watch, arguments)
    rounds = rounds[arguments.warmup:]
    for key, pick, column in (("median_ms", statistics.median, 0), ("min_ms", min, 0), ("cpu_min_ms", min, 1)):
        report["parts_" + key] = {name: round(pick([r[name][column] for r in rounds]), 2) for name in rounds[0]}
    return report


def measure(what, attention, size, arguments):
    """One case, in this process: prints its JSON line."""
    device, base = torch.device(arguments.device), resident_peak()
    call, model, inputs = prepare(what, attention, size, arguments)
    watch = Stopwatch(device, arguments.threads)
    report = time_modules(model, inputs, watch, arguments) if what == "modules" else repeat(call, watch, arguments)
    line = {
        "what": what, "attention": attention, "batch": size, "threads": arguments.threads, "device": arguments.device,
        "dtype": arguments.dtype, "compile": arguments.compile, "freeze_text": arguments.freeze_text, "fix_biases": arguments.fix_biases,
        **report,
        "peak_rss_mib": resident_peak(), "rss_before_model_mib": base,
        "torch": torch.__version__, "cpu": cpu_name(),
    }
    if device.type == "cuda":
        line["gpu"] = torch.cuda.get_device_name(device)
        line["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=("inference", "training", "modules"),
                        default=["inference", "training"])
    parser.add_argument("--attention", nargs="+", choices=("math", "sdpa", "mixed"), default=["math", "sdpa"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--config", help="config.json of another size; the paper's sizes without it")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="f32",
                        help="bf16: inference with bf16 weights, training with autocast over f32 weights; "
                             "bf16-pure: training with bf16 weights")
    parser.add_argument("--compile", choices=("default", "reduce-overhead", "max-autotune"),
                        help="torch.compile mode; without it eager")
    parser.add_argument("--freeze-text", action="store_true", help="BERT's embeddings and last two layers do not learn")
    parser.add_argument("--fix-biases", action="store_true", help="inference: window biases are made once, before")
    parser.add_argument("--leaves", action="store_true", help="modules: by kind of leaf instead of by part")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=10, help="at least so many timed calls")
    parser.add_argument("--seconds", type=float, default=0.0, help="at least so many seconds of timed calls")
    arguments = parser.parse_args()
    failed = 0
    for what in arguments.what:
        for size in arguments.batch:
            for attention in arguments.attention:
                context = multiprocessing.get_context("spawn")
                case = context.Process(target=measure, args=(what, attention, size, arguments))
                case.start()
                case.join()
                failed += case.exitcode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
