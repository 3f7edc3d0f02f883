"""The engine's side of comparisons: its bench programs, as cargo builds them or from a folder."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(name, folder=None):
    """Path of the bench program `name`: in `folder` if one is given, else built by cargo."""
    if folder is not None:
        path = pathlib.Path(folder).resolve() / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such bench program")
        return str(path)
    made = subprocess.run(["cargo", "bench", "--bench", name, "--no-run", "--message-format", "json"],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, made.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name)


def device(name):
    """A device's name as the engine takes it; PyTorch's `cuda` is the first."""
    return "cuda:0" if name == "cuda" else name


def precision(dtype):
    """What the engine computes in where PyTorch computes in `dtype`."""
    return "bf16" if dtype.startswith("bf16") else "f32"
