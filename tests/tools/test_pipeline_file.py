"""What A.save has written, read again: a transform alone or in a Compose, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import albumentations as A
import pytest

from inpaint_transform import BBoxInpaint
from inpaint_transform.tools.pipeline_file import load

BOXES = A.BboxParams("yolo", label_fields=["labels"])


def saved(folder: Path, transform: Any, name: str = "recipe.json") -> Path:
    A.save(transform, str(folder / name), data_format="yaml" if name.endswith("ml") else "json")
    return folder / name


@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml", "recipe.yml"])
def test_a_transform_alone_or_among_others(tmp_path: Path, name: str) -> None:
    inpaint = BBoxInpaint({"id": "sd15", "lora": "style.safetensors"}, prompts={"cone": ["a red {label}"]}, p=0.3)
    alone = load(saved(tmp_path, inpaint, name))
    assert repr(alone.inpaint) == repr(inpaint)
    assert alone.pipeline_before is None
    among = load(saved(tmp_path, A.Compose([A.Resize(64, 64), inpaint, A.HorizontalFlip()], bbox_params=BOXES), name))
    assert repr(among.inpaint) == repr(inpaint)
    assert [type(one).__name__ for one in among.before] == ["Resize"]
    assert among.pipeline_before is not None


def test_classes_are_called_as_the_labels_of_files_are(tmp_path: Path) -> None:
    inpaint = BBoxInpaint(
        prompts={0: "a cone", 1: "a cube"}, class_names=["cone", "cube"], include_labels=[1], relabel={1: 0}
    )
    recipe = load(saved(tmp_path, inpaint)).recipe
    assert recipe.include_labels == ["cube"]
    assert recipe.prompts == {"cone": "a cone", "cube": "a cube"}
    assert recipe.relabel is not None
    assert recipe.relabel.labels() == {"cone"}
    with pytest.raises(ValueError, match="include_labels has 1, but the labels are names"):
        _ = load(saved(tmp_path, BBoxInpaint(include_labels=[1]))).recipe


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"transform": {"__class_fullname__": "nowhere.Transform"}}',
        b'{"transform": {"__class_fullname__": "inpaint_transform.BBoxInpaint", "promts": "x"}}',
        b'{"transform": {"__class_fullname__": "inpaint_transform.BBoxInpaint", "context": 0}}',
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_what_is_no_such_file_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"recipe{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="recipe"):
        load(path)


def test_a_pipeline_has_exactly_one(tmp_path: Path) -> None:
    for count in (0, 2):
        pipeline = A.Compose([A.HorizontalFlip(), *[BBoxInpaint()] * count], bbox_params=BOXES)
        with pytest.raises(ValueError, match=f"has {count} BBoxInpaint"):
            load(saved(tmp_path, pipeline))
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.json")
