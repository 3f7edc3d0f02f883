"""Compares the PyTorch peer with golden files in float64: logits, losses and every gradient.

    python check_golden.py FOLDER [FOLDER ...]

A folder holds config.json, model.safetensors, inputs.safetensors and expected*.safetensors. A file named
`expected-standard-decoder` is made without calibration, `expected-no-reconstruction` without reconstruction.
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import load_file

from crformer_pytorch import CRFormer, read_config

VARIANTS = {
    "expected": {},
    "expected-standard-decoder": {"calibration": False},
    "expected-no-reconstruction": {"reconstruction": False},
}


def difference(found, expected, floor=0.0):
    """Largest difference against the largest expected value, which counts as `floor` at least."""
    return ((found - expected).abs().max() / max(expected.abs().max().item(), floor, 1e-300)).item()


def run(folder, changes, attention):
    """Logits, losses and gradients by parameter name, all in float64."""
    model = CRFormer(read_config(folder / "config.json") | changes, attention).double().train()
    model.to(memory_format=torch.channels_last)
    weights = load_file(folder / "model.safetensors")
    missing = [name for name, _ in model.named_parameters() if name not in weights]
    if missing:
        raise KeyError(f"{folder}/model.safetensors lacks {missing}")
    extra = model.load_state_dict(weights, strict=False).unexpected_keys
    if extra and not changes:
        raise KeyError(f"{folder}/model.safetensors has what the model does not: {extra}")
    inputs = load_file(folder / "inputs.safetensors")
    logits, losses = model(inputs["image"].double(), inputs["tokens"], inputs["word_mask"], inputs["mask"])
    losses["total"].backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.eval()
    with torch.no_grad():
        inferred = model(inputs["image"].double(), inputs["tokens"], inputs["word_mask"])
    return logits.detach(), inferred, {k: v.detach() for k, v in losses.items()}, gradients


def check(folder, name, attention):
    """The largest differences of one expected file."""
    expected = load_file(folder / f"{name}.safetensors")
    logits, inferred, losses, gradients = run(folder, VARIANTS[name], attention)
    worst = {"logits": difference(logits, expected["logits"])}
    worst["inference"] = difference(inferred, expected["logits"])
    for ours, theirs in (("total", "loss"), ("seg", "loss_seg"), ("re", "loss_re")):
        if ours in losses:
            worst[theirs] = difference(losses[ours], expected[theirs])
    wanted = {key[5:]: value for key, value in expected.items() if key.startswith("grad.")}
    unknown = sorted(set(gradients) - set(wanted))
    if unknown:
        raise KeyError(f"{folder}/{name}.safetensors has no gradient of {unknown}")
    floors = {}
    for key, value in wanted.items():
        module = key.split(".")[0]
        floors[module] = max(floors.get(module, 0.0), 1e-3 * value.abs().max().item())
    worst["gradients"], where = 0.0, ""
    for key, value in wanted.items():
        found = gradients.get(key)
        found = torch.zeros_like(value) if found is None else found
        error = difference(found, value, floors[key.split(".")[0]])
        if not error <= worst["gradients"]:
            worst["gradients"], where = error, key
    print(f"{folder.name}/{name} {attention}: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()), f"({where})")
    return max(worst.values(), key=lambda v: float("inf") if v != v else v)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-10)
    arguments = parser.parse_args()
    bad = 0
    for folder in arguments.folders:
        for file in sorted(folder.glob("expected*.safetensors")):
            for attention in ("math", "sdpa", "mixed"):
                bad += not check(folder, file.stem, attention) <= arguments.tolerance
    print("all agree" if not bad else f"{bad} runs differ by more than {arguments.tolerance:g}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
