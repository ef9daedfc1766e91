"""A Lightning module: ``python -m benchmarks.recipes.lightning_module``."""

from __future__ import annotations

from typing import Any

import albumentations as A
import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.recipes import cells
from inpaint_transform import BBoxInpaint

train = A.Compose(
    [
        BBoxInpaint("tiny", prompts="a {label}", class_names=cells.NAMES, p=0.5, seed=0),
        A.HorizontalFlip(),
        A.Normalize(),
        A.ToTensorV2(),
    ],
    bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]),
)


class Cells(Dataset):
    """The pictures through an Albumentations pipeline."""

    def __init__(self, transform: A.Compose) -> None:
        self.pictures = cells.pictures()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Any:
        sample = self.transform(**self.pictures[index])
        return sample["image"], cells.detr_targets(sample["bboxes"], sample["labels"])


def collate(samples: list[Any]) -> Any:
    """Pictures as a tensor, targets as a list."""
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)


class Detector(L.LightningModule):
    """Trains a detector on repainted pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.model = cells.detector()

    def train_dataloader(self) -> DataLoader:
        """Workers share one model; Lightning may make this loader anew every epoch."""
        return DataLoader(Cells(train), batch_size=4, num_workers=2, shuffle=True, collate_fn=collate)

    def on_train_epoch_start(self) -> None:
        """With a seed, every epoch paints other edits."""
        train.transforms[0].set_epoch(self.current_epoch)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """One step."""
        images, targets = batch
        loss = self.model(images, labels=targets).loss
        print(f"loss {loss.item():.3f}")
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=1e-4)


def main() -> None:
    """Train for two epochs."""
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, log_every_n_steps=1)
    trainer.fit(Detector())
    print(f"painted {train.transforms[0].stats()['inpainter']['requests']} boxes")


if __name__ == "__main__":
    main()
