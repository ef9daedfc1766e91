"""Whole batches in the main process, after collating: ``python -m benchmarks.recipes.after_collate``."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.recipes import cells
from inpaint_transform import BBoxInpaint
from inpaint_transform.batch import BatchInpaint

paint = BatchInpaint(BBoxInpaint("tiny", prompts="a {label}", class_names=cells.NAMES, p=0.5))


def collate(samples: list[dict[str, Any]]) -> Any:
    """Pictures as one uint8 tensor; boxes and labels as lists, for their number differs."""
    images = torch.stack([torch.from_numpy(sample["image"]).permute(2, 0, 1) for sample in samples])
    boxes = [torch.tensor(sample["bboxes"], dtype=torch.float32).reshape(-1, 4) for sample in samples]
    return images, boxes, [torch.tensor(sample["labels"]) for sample in samples]


def main() -> None:
    """Train for an epoch."""
    loader = DataLoader(cells.pictures(), batch_size=4, num_workers=2, shuffle=True, collate_fn=collate)
    model = cells.detector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for images, boxes, labels in loader:
        images = paint(images, boxes, labels)
        targets = [cells.detr_targets(own, names) for own, names in zip(boxes, labels, strict=True)]
        loss = model(images.float() / 255, labels=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"loss {loss.item():.3f}")
    print(f"painted {paint.transform.stats()['inpainter']['requests']} boxes")


if __name__ == "__main__":
    main()
