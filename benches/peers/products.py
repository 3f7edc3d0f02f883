"""Products of the model's linear layers: the engine's kernels beside torch.matmul, which is cuBLASLt's on a GPU.

    python products.py --device cuda --batch 1 8 64

Runs the bench `kernels` (built by cargo, or from `--programs`) at its linear layers, then the same shapes in PyTorch;
prints one JSON line a shape and direction. The engine's forward is the whole layer (bias, GELU where the layer widens, what
backward needs), its backward all gradients; PyTorch's are the bare products: one, and two. FLOP count the products.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import torch

import engine

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
NAME = re.compile(r"linear/(\d+)x(\d+) to (\d+)")


def measure_engine(arguments):
    """{(rows, inputs, outputs, direction): microseconds}, the medians of the engine's bench."""
    bench = engine.program("kernels", arguments.programs)
    seconds = ["--warm-up-time", "0.5", "--measurement-time", str(arguments.seconds), "--sample-size", "10"]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "CRITERION_HOME": folder, "RAYON_NUM_THREADS": str(arguments.threads),
               "CRFORMER_BENCH_DEVICE": engine.device(arguments.engine_device or arguments.device),
               "CRFORMER_BENCH_BATCH": " ".join(map(str, arguments.batch))}
        command = [bench, "--bench", "--noplot", "--nresamples", "2000", *seconds, arguments.filter]
        subprocess.run(command, env=env, stdout=sys.stderr, check=True)
        times = {}
        for path in pathlib.Path(folder).rglob("new/benchmark.json"):
            made = json.loads(path.read_text())
            direction, _, dtype = made["function_id"].partition(" ")
            shape = NAME.fullmatch(made["group_id"])
            if shape and (dtype or "f32") == arguments.dtype:
                estimates = json.loads(path.with_name("estimates.json").read_text())
                key = (*map(int, shape.groups()), direction)
                times[key] = estimates["median"]["point_estimate"] / 1e3
    return times


def products(rows, inputs, outputs, direction, device, dtype):
    """The products of a direction as a function without arguments."""
    x = torch.randn(rows, inputs, device=device, dtype=dtype)
    weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
    y = torch.randn(rows, outputs, device=device, dtype=dtype)
    if direction == "forward":
        return lambda: torch.matmul(x, weight.t(), out=y)
    dx, dweight = torch.empty_like(x), torch.empty_like(weight)

    def backward():
        torch.matmul(y, weight, out=dx)
        torch.matmul(y.t(), x, out=dweight)

    return backward


def microseconds_on_gpu(call, seconds):
    """The median time of a call: calls in a row as one CUDA graph, and its replays queued one behind the other until they
    take a millisecond, as the engine's passes are, so that what a launch takes the host does not count."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    calls, graph = 20, torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()

    def microseconds(replays):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        graph.replay()  # the device is busy while the others are queued
        first.record()
        for _ in range(replays):
            graph.replay()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) * 1e3 / (calls * replays)

    microseconds(3)
    replays = max(1, math.ceil(1e3 / (calls * microseconds(3))))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        times.append(microseconds(replays))
    return statistics.median(times)


def microseconds_on_cpu(call, seconds):
    for _ in range(3):
        call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--engine-device", help="another one for the engine, such as vm")
    parser.add_argument("--dtype", choices=DTYPES, help="[default: f32; bf16 on a GPU]")
    parser.add_argument("--batch", nargs="+", type=int, default=[1], help="pictures at once")
    parser.add_argument("--filter", default="linear/", help="which of the bench's layers, as a regular expression")
    parser.add_argument("--programs", help="folder with the bench program kernels; without it cargo builds it")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed calls for each product")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.dtype is None:
        arguments.dtype = "f32" if arguments.device == "cpu" else "bf16"
    torch.set_num_threads(arguments.threads)
    ours, device = measure_engine(arguments), torch.device(arguments.device)
    measure_peer = microseconds_on_gpu if device.type == "cuda" else microseconds_on_cpu
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
        torch.backends.cuda.preferred_blas_library("cublaslt")
    for (rows, inputs, outputs, direction), mine in sorted(ours.items()):
        call = products(rows, inputs, outputs, direction, device, DTYPES[arguments.dtype])
        theirs = measure_peer(call, arguments.seconds)
        flop = 2 * rows * inputs * outputs * (1 if direction == "forward" else 2)
        line = {"product": f"{rows}x{inputs} to {outputs}", "direction": direction, "dtype": arguments.dtype,
                "device": arguments.device}
        for name, us in (("crformer", mine), ("pytorch", theirs)):
            line[name] = {"us": round(us, 2), "tflops": round(flop / us / 1e6, 3)}
        print(json.dumps({**line, "ratio": round(mine / theirs, 3)}), flush=True)
    if not ours:
        print(f"products.py: the bench measured no layer in {arguments.dtype}", file=sys.stderr)
    return 0 if ours else 1


if __name__ == "__main__":
    sys.exit(main())
