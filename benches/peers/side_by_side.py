"""Engine and PyTorch peer side by side: one pass of each in turn, both processes alive, on a machine whose speed drifts.

    python side_by_side.py --what inference training --pairs 20 --threads 2
    python side_by_side.py --device cuda --batch 1 8 64 --attention sdpa --compile eager max-autotune

Starts the bench `step` (built by cargo, or from `--programs`) beside a process with the peer, which waits for the device
after every pass as the engine does. Prints one JSON line a case: medians and minima in milliseconds, and the median of
the pairs' ratios with its quartiles; or the case and what went wrong. Two that do not fit on a device together are
measured with `--apart`: one process after the other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import engine

DTYPES = ("f32", "tf32", "bf16", "bf16-pure")
NO_MEMORY = "too little memory"


class NoMemory(Exception):
    """The peer needs more memory than the device has, which is a result."""


class Runner:
    """A process that makes one pass for each line and answers with its milliseconds."""

    def __init__(self, name, command, env):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env)
        self.answer("ready")

    def answer(self, expected=None):
        line = self.process.stdout.readline().strip()
        if line == NO_MEMORY:
            raise NoMemory(f"{self.name}: {NO_MEMORY}")
        if not line or (expected is not None and line != expected):
            self.process.kill()
            raise RuntimeError(f"{self.name} ended with {self.process.wait()} (its message is above), having said {line!r}")
        return line

    def once(self):
        self.process.stdin.write("\n")
        return float(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve_peer(what, attention, size, arguments):
    """The peer's side: the same protocol on standard input and output."""
    import torch

    import time_pytorch

    wait = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    try:
        call = time_pytorch.prepare(what, attention, size, arguments)[0]
        wait()
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            call()
            wait()
            print(f"{(time.perf_counter() - began) * 1e3:.3f}", flush=True)
    except torch.OutOfMemoryError as error:
        print(error, file=sys.stderr)
        print(NO_MEMORY, flush=True)


def starters(what, attention, size, mode, bench, arguments):
    """What starts the engine, and what starts the peer."""
    env = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads), "CRFORMER_ON_REQUEST": what,
           "CRFORMER_BENCH_DEVICE": engine.device(arguments.engine_device or arguments.device),
           "CRFORMER_BENCH_PRECISION": engine.precision(arguments.dtype), "CRFORMER_BENCH_BATCH": str(size)}
    peer = [sys.executable, __file__, "--serve", what, attention, str(size), "--threads", str(arguments.threads),
            "--device", arguments.device, "--dtype", arguments.dtype]
    if arguments.config:
        env["CRFORMER_BENCH_CONFIG"] = arguments.config
        peer += ["--config", arguments.config]
    if mode != "eager":
        peer += ["--compile", mode]
    if arguments.fix_biases:
        peer.append("--fix-biases")
    return [lambda: Runner("crformer", [bench], env), lambda: Runner("the peer", peer, os.environ)]


def times_in_turn(starts, arguments):
    """Passes in turn, the order swapped every time."""
    runners = []
    try:
        for start in starts:
            runners.append(start())
        for _ in range(arguments.warmup):
            for runner in runners:
                runner.once()
        times = [[], []]
        for pair in range(arguments.pairs):
            for i in (0, 1) if pair % 2 == 0 else (1, 0):
                times[i].append(runners[i].once())
        for runner in runners:
            runner.close()
        return times
    finally:
        for runner in runners:
            runner.process.kill()


def times_apart(starts, arguments):
    """All passes of the one, then all of the other."""
    times = []
    for start in starts:
        runner = start()
        try:
            for _ in range(arguments.warmup):
                runner.once()
            times.append([runner.once() for _ in range(arguments.pairs)])
            runner.close()
        finally:
            runner.process.kill()
    return times


def compare(what, attention, size, mode, bench, arguments):
    """One case: prints its line; whether it could be measured."""
    line = {"what": what, "attention": attention, "batch": size, "device": arguments.device, "dtype": arguments.dtype,
            "compile": mode, "threads": arguments.threads, "pairs": arguments.pairs, "fix_biases": arguments.fix_biases,
            "apart": arguments.apart}
    try:
        starts = starters(what, attention, size, mode, bench, arguments)
        times = (times_apart if arguments.apart else times_in_turn)(starts, arguments)
    except (NoMemory, RuntimeError, ValueError, OSError) as error:
        print(json.dumps({**line, "error": str(error)}), flush=True)
        return isinstance(error, NoMemory)
    ratios = sorted(ours / theirs for ours, theirs in zip(*times))
    low, _, high = statistics.quantiles(ratios, n=4)
    for name, column in zip(("crformer", "pytorch"), times):
        line[name] = {"median_ms": round(statistics.median(column), 3), "min_ms": round(min(column), 3)}
    line["ratio"] = {"median": round(statistics.median(ratios), 3), "quartiles": [round(low, 3), round(high, 3)],
                     "of_minima": round(min(times[0]) / min(times[1]), 3)}
    print(json.dumps(line), flush=True)
    return True


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=("inference", "training"), default=["inference", "training"])
    parser.add_argument("--attention", nargs="+", choices=("math", "sdpa", "mixed"), default=["math", "sdpa"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--engine-device", help="another one for the engine, such as vm")
    parser.add_argument("--dtype", choices=DTYPES, help="as for time_pytorch.py [default: f32; bf16 on a GPU]")
    parser.add_argument("--compile", nargs="+", choices=("eager", "default", "reduce-overhead", "max-autotune"),
                        default=["eager"], help="torch.compile modes of the peer")
    parser.add_argument("--config", help="config.json of another size; the paper's sizes without it")
    parser.add_argument("--programs", help="folder with the bench program step; without it cargo builds it")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--apart", action="store_true", help="one process after the other")
    parser.add_argument("--fix-biases", action="store_true", help="the peer makes its window biases once, before")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error("--pairs: at least 2 have quartiles")
    if arguments.dtype is None:
        arguments.dtype = "f32" if arguments.device == "cpu" else "bf16"
    return arguments


def main():
    arguments = parse()
    if arguments.serve:
        what, attention, size = arguments.serve
        arguments.compile = None if arguments.compile == ["eager"] else arguments.compile[0]
        arguments.freeze_text = False
        serve_peer(what, attention, int(size), arguments)
        return 0
    bench = engine.program("step", arguments.programs)
    measured = [compare(what, attention, size, mode, bench, arguments)
                for what in arguments.what for size in arguments.batch
                for attention in arguments.attention for mode in arguments.compile]
    return 0 if all(measured) else 1


if __name__ == "__main__":
    sys.exit(main())
