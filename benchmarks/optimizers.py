"""With which optimizer a small denoiser learns faster: ``python -m benchmarks.optimizers --data DIR ...``.

The same model goes on with the same examples and noise, once with each. Autoencoder and latents are the same; what is
compared is the loss on held-out pictures, by the average of the weights, after as many steps and after as much time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks import report
from benchmarks.muon import Muon
from benchmarks.tiny import data
from inpaint_transform.fit import fit, full
from inpaint_transform.fit.trainer import Training

# AdamW at the rate that it has here, and at the one that Muon has.
WAYS: dict[str, tuple[bool, float]] = {
    "AdamW, 4e-4": (False, 4e-4),
    "AdamW, 8e-4": (False, 8e-4),
    "Muon, 8e-4": (True, 8e-4),
}


def by_muon(path: Path, parameters: dict[str, torch.nn.Parameter], rate: float) -> Training:
    """A training as ``fit.full`` makes it, but for its optimizer."""
    apart = [
        value
        for name, value in parameters.items()
        if name.endswith("_embedding.weight") or name in ("unet.conv_in.weight", "unet.conv_out.weight")
    ]
    return Training(path, parameters, rate, optimizer=partial(Muon, apart=apart))


def losses(way: str, roots: list[Path], base: str, out: Path, **settings: Any) -> dict[str, Any]:
    """Held-out losses by step, and the seconds of a step."""
    muon, rate = WAYS[way]
    train = data.samples(roots, ["train"])
    labels = {label for sample in train for label in sample.labels}
    captions = {label: data.captions().get(label, (label,)) for label in labels}
    with mock.patch.object(full, "Training", by_muon if muon else Training):
        card = fit(
            train,
            data.samples(roots, ["val"]),
            base=base,
            out=out,
            rate=rate,
            prompts=captions,
            turnable=data.TURNABLE & labels,
            steps_of_autoencoder=0,
            steps_of_decoder=0,
            edits=0,
            progress=True,
            **settings,
        )
    found = card["training"]["denoiser"]
    seconds = torch.load(out / "training" / "denoiser.pt", weights_only=True)["seconds"]
    return {"held_out": found["held_out"], "seconds_a_step": seconds / found["steps"]}


def main() -> None:
    """Run and write ``results/optimizers.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = {name: getattr(arguments, name) for name in ("size", "steps", "batch", "crops", "every")}
    results: dict[str, Any] = {"settings": {"base": arguments.base, **settings}}
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            results[way] = losses(way, arguments.data, arguments.base, Path(folder), **settings)
        print(way, json.dumps(results[way]), flush=True)
    print(f"wrote {report.write('optimizers', results)}")


if __name__ == "__main__":
    main()
