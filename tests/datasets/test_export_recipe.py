"""Export paints what a transform's recipe says, whole, in the names of the data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import read_all, text, yolo
from PIL import Image

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap
from inpaint_transform.datasets import export as module
from inpaint_transform.datasets.export import export


class Painter:
    """Paints every crop white."""

    size = 32

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [InpaintResult(np.full_like(request.image, 255)) for request in requests]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "load", lambda *_: Painter())
    folder = tmp_path / "s"
    yolo(folder / "images" / "train", folder / "labels" / "train", "a", row="0 0.25 0.5 0.3 0.4\n1 0.75 0.5 0.3 0.4")
    text(folder / "data.yaml", "names: [cone, cube]\n")
    return folder


def prompts(target: Path) -> list[str]:
    return [json.loads(line)["edit"]["prompt"] for line in (target / "provenance.jsonl").read_text().splitlines()]


def write(source: Path, target: Path, recipe: Recipe, **options: Any) -> None:
    export(source, target, "yolo", recipe=recipe, link=False, **options)


def test_settings_that_export_has_no_argument_for_count(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        prompts={"cone": "a {color} cone"},
        attributes={"color": ["blue"]},
        box_p={"cone": 1.0},
        min_box_size=8,
        feather=0.0,
        shape="ellipse",
        match_border=False,
    )
    write(source, tmp_path / "t", recipe)
    assert prompts(tmp_path / "t") == ["a blue cone"]
    with Image.open(next((tmp_path / "t").rglob("a_painted1.png"))) as picture:
        painted = np.array(picture)
    with Image.open(next(source.rglob("a.png"))) as picture:
        changed = (painted != np.array(picture)).any(axis=2)
    # The corners of the cone's box are outside of the ellipse.
    assert changed[30, 20]
    assert not changed[18:22, 8:10].any()
    assert not changed[:, 40:].any()


def test_ids_are_the_data_sets_names(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        prompts={0: "a wide {label}", 1: "a tall {label}"},
        class_names={0: "cone", 1: "cube"},
        include_labels=[1],
        relabel=Swap({1: 0}),
        min_box_size=8,
        num_boxes=2,
    )
    write(source, tmp_path / "t", recipe)
    assert prompts(tmp_path / "t") == ["a wide cone"]
    found, _ = read_all(tmp_path / "t", "yolo")
    assert sorted(len(set(one.labels)) for _, one in found.values()) == [1, 2]


def test_what_is_given_beside_a_recipe_replaces_what_it_says(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(prompts="a {label}", min_box_size=8, num_boxes=2)
    for number, (options, painted) in enumerate(
        (
            ({}, ["a cone", "a cube"]),
            ({"prompts": "my {label}"}, ["my cone", "my cube"]),
            ({"only": ["cone"]}, ["a cone"]),
            ({"swap": {"cone": "cube"}}, ["a cube"]),
            ({"boxes_per_image": 1, "only": ["cube"]}, ["a cube"]),
        )
    ):
        write(source, tmp_path / str(number), recipe, **options)
        assert prompts(tmp_path / str(number)) == painted


def test_a_swap_of_a_recipe_leaves_no_label_out(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(prompts="a {label}", relabel=Swap({"cone": "cube"}), min_box_size=8, num_boxes=2)
    write(source, tmp_path / "t", recipe)
    assert prompts(tmp_path / "t") == ["a cube", "a cube"]


def test_another_recipe_is_another_export(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path / "t", Recipe(min_box_size=8))
    write(source, tmp_path / "t", Recipe(min_box_size=8))
    with pytest.raises(ValueError, match=r"begun with recipe=.*another folder"):
        write(source, tmp_path / "t", Recipe(min_box_size=8, feather=0.2))
    with pytest.raises(ValueError, match="begun with"):
        export(source, tmp_path / "t", "yolo", min_box_size=8, link=False)
