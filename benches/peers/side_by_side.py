"""Engine and PyTorch peer side by side: one pass of each in turn, both processes alive, on a machine whose speed drifts.

    python side_by_side.py --what inference training --pairs 20 --threads 2

Builds and starts `cargo bench --bench step` beside a process with the peer; full model, batch 1, f32, eager. Prints one
JSON line a case: medians and minima in milliseconds, and the median of the pairs' ratios with its quartiles.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_bench():
    """Path of the built bench program."""
    made = subprocess.run(["cargo", "bench", "--bench", "step", "--no-run", "--message-format", "json"],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, made.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "step")


class Runner:
    """A process that makes one pass for each line and answers with its milliseconds."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{command[0]} did not start")

    def once(self):
        self.process.stdin.write("\n")
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve_peer(what, attention, arguments):
    """The peer's side: the same protocol on standard input and output."""
    import torch

    import time_pytorch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    device = torch.device("cpu")
    config = time_pytorch.read_config(None)
    model = time_pytorch.CRFormer(config, attention).draw_weights().to(device, torch.float32).to(memory_format=torch.channels_last)
    inputs = time_pytorch.batch(config, 1, device, torch.float32)
    case = argparse.Namespace(fix_biases=arguments.fix_biases, compile=None, freeze_text=False, dtype="f32")
    make = {"inference": time_pytorch.inference_call, "training": time_pytorch.training_call}[what]
    call = make(model, inputs, case)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        call()
        print(f"{(time.perf_counter() - began) * 1e3:.3f}", flush=True)


def compare(what, attention, bench, arguments):
    """One case: passes in turn, the order swapped every time."""
    env = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads), "CRFORMER_ON_REQUEST": what}
    peer = [sys.executable, __file__, "--serve", what, attention, "--threads", str(arguments.threads)]
    if arguments.fix_biases:
        peer.append("--fix-biases")
    runners = Runner([bench], env), Runner(peer, os.environ)
    for _ in range(arguments.warmup):
        for runner in runners:
            runner.once()
    times = [[], []]
    for pair in range(arguments.pairs):
        for i in (0, 1) if pair % 2 == 0 else (1, 0):
            times[i].append(runners[i].once())
    for runner in runners:
        runner.close()
    ratios = sorted(ours / theirs for ours, theirs in zip(*times))
    low, _, high = statistics.quantiles(ratios, n=4)
    line = {"what": what, "attention": attention, "threads": arguments.threads, "pairs": arguments.pairs,
            "fix_biases": arguments.fix_biases}
    for name, column in zip(("crformer", "pytorch"), times):
        line[name] = {"median_ms": round(statistics.median(column), 1), "min_ms": round(min(column), 1)}
    line["ratio"] = {"median": round(statistics.median(ratios), 3), "quartiles": [round(low, 3), round(high, 3)],
                     "of_minima": round(min(times[0]) / min(times[1]), 3)}
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=("inference", "training"), default=["inference", "training"])
    parser.add_argument("--attention", nargs="+", choices=("math", "sdpa", "mixed"), default=["math", "sdpa"])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fix-biases", action="store_true", help="the peer makes its window biases once, before")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_peer(*arguments.serve, arguments)
        return
    bench = build_bench()
    for what in arguments.what:
        for attention in arguments.attention:
            compare(what, attention, bench, arguments)


if __name__ == "__main__":
    main()
