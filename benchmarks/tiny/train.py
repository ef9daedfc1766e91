"""Make the embedded model: ``python -m benchmarks.tiny.train --data DIR ... --out DIR``.

It is ``fit`` from nothing, or from a model of another working size (``--from``). What is broken off goes on when
it is called again.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import torch
from torch import nn

from benchmarks import report
from benchmarks.study.detector import build
from benchmarks.tiny import data
from inpaint_transform.fit import fit
from inpaint_transform.fit.critic import Features
from inpaint_transform.tiny import CHECKPOINT

PARTS = ("model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae")
LICENCE = "bccd: MIT; cones_cubes: CC BY 4.0, ConesAndCubes by trigon5990"


def install(folder: Path, target: Path = CHECKPOINT) -> None:
    """Put a fitted model in the place of the embedded one."""
    for part in PARTS:
        source, old = folder / part, target / part
        if source.is_dir():
            shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(source, old)
        else:
            shutil.copy(source, old)


def lite0() -> Features:
    """EfficientNet-Lite0 as trained on ImageNet, for pixels in [-1, 1]: maps of a 4th to a 32nd of the side."""
    network = build("lite0", 1, 0)
    network.head = nn.Identity()
    # Its convolutions of single channels are faster so; and features that move would be another critic each time.
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def main() -> None:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its checkpoints")
    parser.add_argument("--from", dest="base", metavar="FOLDER", help="a model to go on from, of any working size")
    parser.add_argument("--size", type=int, help="working size")
    parser.add_argument("--steps", type=int, help="of the denoiser; 0 keeps it")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float, help="learning rate of the denoiser")
    parser.add_argument("--crops", type=int)
    parser.add_argument("--autoencoder-steps", type=int)
    parser.add_argument("--adversary-steps", type=int, default=0, help="of the denoiser against a critic; 0 for none")
    parser.add_argument("--decoder-steps", type=int)
    parser.add_argument("--edits", type=int, default=360, help="for the page; 0 leaves the evaluation out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="one thread a process is fastest per core")
    parser.add_argument("--install", action="store_true", help="put the result in the place of the embedded model")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    train = data.samples(arguments.data, ["train"])
    labels = {label for sample in train for label in sample.labels}
    fit(
        train,
        data.samples(arguments.data, ["val"]),
        base=arguments.base or "none",
        size=arguments.size,
        out=arguments.out,
        prompts={label: said for label, said in data.captions().items() if label in labels},
        turnable=data.TURNABLE & labels,
        shares={label: share for label, share in data.SHARES.items() if label in labels},
        steps=arguments.steps,
        batch=arguments.batch,
        crops=arguments.crops,
        rate=arguments.rate,
        steps_of_autoencoder=arguments.autoencoder_steps,
        steps_of_adversary=arguments.adversary_steps,
        features=lite0() if arguments.adversary_steps or arguments.decoder_steps != 0 else None,
        steps_of_decoder=arguments.decoder_steps,
        edits=arguments.edits,
        seed=arguments.seed,
        licence=LICENCE,
        command=report.command("tiny.train"),
        progress=True,
    )
    if arguments.install:
        install(arguments.out)


if __name__ == "__main__":
    main()
