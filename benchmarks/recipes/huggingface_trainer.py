"""Hugging Face's Trainer with an object-detection processor: ``python -m benchmarks.recipes.huggingface_trainer``."""

from __future__ import annotations

import tempfile
from typing import Any

import albumentations as A
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, YolosImageProcessor

from benchmarks.recipes import cells
from inpaint_transform import BBoxInpaint

train = A.Compose(
    [BBoxInpaint("tiny", prompts="a {label}", class_names=cells.NAMES, p=0.5), A.HorizontalFlip()],
    bbox_params=A.BboxParams("coco", label_fields=["category"]),
)
processor = YolosImageProcessor(size={"height": cells.SIZE, "width": cells.SIZE})


class Cells(Dataset):
    """The pictures through an Albumentations pipeline and the processor."""

    def __init__(self, transform: A.Compose) -> None:
        self.pictures = cells.pictures()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture = self.pictures[index]
        boxes = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in picture["bboxes"]]
        sample = self.transform(image=picture["image"], bboxes=boxes, category=picture["labels"])
        annotations = [
            {"bbox": list(box), "category_id": int(label), "area": box[2] * box[3], "iscrowd": 0}
            for box, label in zip(sample["bboxes"], sample["category"], strict=True)
        ]
        target = {"image_id": index, "annotations": annotations}
        inputs = processor(images=sample["image"], annotations=target, return_tensors="pt")
        return {"pixel_values": inputs["pixel_values"][0], "labels": inputs["labels"][0]}


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Pictures as a tensor, targets as a list."""
    pixels = torch.stack([sample["pixel_values"] for sample in samples])
    return {"pixel_values": pixels, "labels": [sample["labels"] for sample in samples]}


def main() -> None:
    """Train for an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=4,
            dataloader_num_workers=2,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            remove_unused_columns=False,
            use_cpu=True,
        )
        trainer = Trainer(cells.detector(), arguments, data_collator=collate, train_dataset=Cells(train))
        trainer.train()
    for step in trainer.state.log_history[:-1]:
        print(f"loss {float(step['loss']):.3f}")
    print(f"painted {train.transforms[0].stats()['inpainter']['requests']} boxes")


if __name__ == "__main__":
    main()
