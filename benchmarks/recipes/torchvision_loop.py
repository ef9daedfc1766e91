"""A plain PyTorch loop with a torchvision detector: ``python -m benchmarks.recipes.torchvision_loop``."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.transforms import v2

from benchmarks.recipes import cells
from inpaint_transform.torchvision import BBoxInpaint

train = v2.Compose(
    [
        BBoxInpaint("tiny", prompts="a {label}", class_names=dict(enumerate(cells.NAMES, start=1)), p=0.5),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
    ]
)


class Cells(Dataset):
    """Samples as torchvision's detectors take them; class 0 is theirs, for the background."""

    def __init__(self, transform: v2.Compose) -> None:
        self.pictures = cells.pictures()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Any:
        picture = self.pictures[index]
        image = tv_tensors.Image(torch.from_numpy(picture["image"]).permute(2, 0, 1))
        size = (cells.SIZE, cells.SIZE)
        boxes = tv_tensors.BoundingBoxes(picture["bboxes"], format="XYXY", canvas_size=size, dtype=torch.float32)
        return self.transform(image, {"boxes": boxes, "labels": torch.tensor(picture["labels"]) + 1})


def collate(samples: list[Any]) -> Any:
    """Lists, for pictures may differ in size."""
    return tuple(zip(*samples, strict=True))


def main() -> None:
    """Train for an epoch."""
    loader = DataLoader(Cells(train), batch_size=4, num_workers=2, shuffle=True, collate_fn=collate)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=len(cells.NAMES) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for images, targets in loader:
        loss = sum(model(list(images), list(targets)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"loss {loss.item():.3f}")
    print(f"painted {train.transforms[0].stats()['inpainter']['requests']} boxes")


if __name__ == "__main__":
    main()
