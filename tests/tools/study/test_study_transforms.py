"""Transforms of arms are read from what A.save wrote, and what cannot be used is named before anything is trained."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import pytest

from inpaint_transform import BBoxInpaint
from inpaint_transform.datasets.formats.base import Annotation
from inpaint_transform.tools.study import transforms
from inpaint_transform.tools.study.config import EXPORT, ONLINE, Arm
from inpaint_transform.tools.study.keys import ConfigError


def save(folder: Path, transform: object, name: str = "t.json") -> Path:
    path = folder / name
    A.save(transform, str(path), data_format="yaml" if path.suffix == ".yaml" else "json")
    return path


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    transform = BBoxInpaint("tiny", prompts={"no": "a {label}"}, num_boxes=(1, 3), p=0.25)
    contents = [transforms.content_of(save(tmp_path, transform, name)) for name in ("t.json", "t.yaml")]
    assert contents[0] == contents[1]
    assert contents[0]["transform"]["prompts"] == {"no": "a {label}"}
    assert transforms.model_of(tmp_path / "t.json").serving == "local"
    assert transforms.painting_of(tmp_path / "t.yaml").p == 0.25


def test_a_pipeline_of_anything_is_used_online(tmp_path: Path) -> None:
    boxes = A.BboxParams("yolo", label_fields=["labels"])
    pipeline = save(
        tmp_path, A.Compose([A.HorizontalFlip(), BBoxInpaint("tiny", schedule={"epochs": 3})], bbox_params=boxes)
    )
    transforms.check(Arm("a", transform=pipeline, use=ONLINE))
    transforms.check(Arm("a", transform=save(tmp_path, A.HorizontalFlip(), "f.json"), use=ONLINE))
    transforms.check(Arm("a"))


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (A.HorizontalFlip(), "has 0 BBoxInpaint"),
        (
            A.Compose([A.HorizontalFlip(), BBoxInpaint("tiny")]),
            "other transforms too; save BBoxInpaint alone, or give use",
        ),
        (BBoxInpaint("tiny", schedule={"epochs": 3}), "its schedule goes by epochs.*give use: online"),
    ],
)
def test_what_a_set_cannot_hold_is_not_exported(tmp_path: Path, transform: object, said: str) -> None:
    with pytest.raises(ConfigError, match=f"transform='.*t.json': .*{said}"):
        transforms.check(Arm("a", transform=save(tmp_path, transform), use=EXPORT))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not what A.save writes"),
        ("[1]", "not what A.save writes"),
        ('{"transform": {"__class_fullname__": "Nonesuch", "p": 1}}', "it does not load .*Nonesuch"),
        ('{"transform": {"__class_fullname__": "HorizontalFlip", "p": 7}}', "it does not load"),
    ],
)
def test_other_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        transforms.check(Arm("a", transform=path, use=ONLINE))
    with pytest.raises(ConfigError, match="transform="):
        transforms.check(Arm("a", transform=path, use=EXPORT))


def test_prompts_without_a_word_of_the_model_are_said_before_training(tmp_path: Path) -> None:
    boxes = A.BboxParams("yolo", label_fields=["labels"])
    pictures = [Annotation(Path("a.png"), ((0, 0, 50, 50),), ("helmet",), height=90, width=90)]

    def said(transform: object, use: str = ONLINE, pictures=pictures) -> str | None:
        return transforms.advice(Arm("a", transform=save(tmp_path, transform), use=use), pictures)

    pipeline = A.Compose([A.HorizontalFlip(), BBoxInpaint("tiny")], bbox_params=boxes)
    assert "prompt 'a photo of a helmet' has no word that the model knows" in str(said(pipeline))
    assert said(BBoxInpaint("tiny", prompts="a cone")) is None
    assert said(BBoxInpaint("sd15")) is None
    assert said(pipeline, EXPORT) is None  # which says so itself
    assert said(A.HorizontalFlip()) is None
    assert said(BBoxInpaint("tiny", prompts={"vest": "a vest"})) is None
    assert transforms.advice(Arm("a"), pictures) is None
