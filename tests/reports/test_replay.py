"""Replay: from a line of the log back to the pixels, and what is said where there is no way back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painters import Painter
from PIL import Image
from test_log import IMAGE, SPEC, outcome, records

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.gates import ScoreGate
from inpaint_transform.reports.log import Record, crops_of, digest, record_of
from inpaint_transform.reports.replay import check, replay, spec_of
from inpaint_transform.serving.registry import connect


def compose(path: Path, **more: Any) -> A.Compose:
    inpaint = BBoxInpaint(SPEC, prompts="a photo of a {label}", log=str(path), p=1.0, seed=1, **more)
    return A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))


def sample(image: np.ndarray = IMAGE, **more: Any) -> dict[str, Any]:
    return {"image": image, "bboxes": [[30, 20, 80, 70]], "labels": ["cube"], **more}


class RejectsFirst:
    """Rejects the first so many crops."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, *_: Any) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 1.0


@pytest.mark.parametrize("shape", ["box", "ellipse"])
def test_a_line_repaints_bit_equal(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "log.jsonl"
    found = compose(path, shape=shape, feather=0.2, log_key="name")(**sample(name="a.png"))
    [record] = records(path)
    assert record.key == "a.png"
    painted, now = replay(record, IMAGE, connect(spec_of(record)))
    assert not np.array_equal(painted, IMAGE)
    assert np.array_equal(painted, found["image"])
    assert now.accepted


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint16])
def test_a_line_repaints_images_of_any_type(tmp_path: Path, dtype: type) -> None:
    image = {np.uint8: IMAGE, np.float32: IMAGE.astype(np.float32) / 255, np.uint16: IMAGE.astype(np.uint16) * 257}[
        dtype
    ]
    found = compose(tmp_path / "log.jsonl")(**sample(image))
    [record] = records(tmp_path / "log.jsonl")
    painted, _ = replay(record, image, connect(SPEC))
    assert np.array_equal(painted, found["image"])


def test_a_line_repaints_an_instance_mask_and_leaves_neighbours_alone(tmp_path: Path) -> None:
    masks = np.zeros((2, *IMAGE.shape[:2]), np.uint8)
    masks[0, 25:60, 35:70] = 1
    masks[1, 60:90, 60:100] = 1
    given_boxes = {"bboxes": [[30, 20, 80, 70], [60, 60, 100, 90]], "labels": ["cube", "cone"]}
    found = compose(tmp_path / "log.jsonl", shape="mask", include_labels=["cube"])(
        **{**sample(masks=list(masks)), **given_boxes}
    )
    [record] = records(tmp_path / "log.jsonl")
    painted, _ = replay(record, IMAGE, connect(SPEC))
    assert np.array_equal(painted, found["image"])
    assert not np.array_equal(painted, IMAGE)


def test_a_line_that_took_three_attempts_repaints_the_last(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    gate = ScoreGate(RejectsFirst(2), 0.5)
    found = compose(path, gate=gate, retries=2)(**sample())
    [record] = records(path)
    assert (record.attempts, record.accepted) == (3, True)
    assert record.seed != record.edit.seed
    painted, _ = replay(record, IMAGE, connect(SPEC))
    assert np.array_equal(painted, found["image"])


def test_a_rejected_line_repaints_what_was_rejected(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    found = compose(path, gate=ScoreGate(RejectsFirst(9), 0.5), retries=1, log_crops=True)(**sample())
    assert np.array_equal(found["image"], IMAGE)
    [record] = records(path)
    assert not record.accepted
    assert record.reason
    painted, _ = replay(record, IMAGE, connect(SPEC))
    x0, y0, x1, y1 = record.edit.window
    saved = np.asarray(Image.open(crops_of(path) / str(record.crop)))
    assert np.array_equal(np.hstack([IMAGE[y0:y1, x0:x1], painted[y0:y1, x0:x1]]), saved)


def test_padded_batches_repaint_bit_equal_whatever_shared_their_call(tmp_path: Path) -> None:
    spec = ModelSpec("tiny", device="cpu", serving="local", steps=2, reproducible=True, max_batch_size=3)
    path = tmp_path / "log.jsonl"
    inpaint = BBoxInpaint(spec, log=str(path), log_crops=True, num_boxes=3, protect=False, p=1.0, seed=1)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    transform(
        image=IMAGE, bboxes=[[5, 5, 40, 40], [50, 40, 100, 80], [80, 2, 120, 36]], labels=["cube", "cone", "cube"]
    )
    found = records(path)
    assert len(found) == 3
    for record in found:
        painted, _ = replay(record, IMAGE, connect(spec_of(record)))
        x0, y0, x1, y1 = record.edit.window
        saved = np.asarray(Image.open(crops_of(path) / str(record.crop)))
        assert np.array_equal(painted[y0:y1, x0:x1], saved[:, x1 - x0 :])


def test_another_image_is_refused_with_both_digests() -> None:
    record = record_of(outcome(), digest(IMAGE), Recipe(), SPEC)
    other = IMAGE[:, ::-1]
    with pytest.raises(ValueError, match="resized") as caught:
        replay(record, other, Painter())
    assert digest(other) in str(caught.value)
    assert "give log_key=..." in str(caught.value)
    with pytest.raises(ValueError, match=r"The log calls it 'photos/17\.jpg'"):
        check(dataclasses.replace(record, key="photos/17.jpg"), other)
    assert record.image in str(caught.value)


def test_the_model_of_a_record_needs_no_server() -> None:
    spec = dataclasses.replace(SPEC, serving="shared", address="/run/gone")
    record = record_of(outcome(), digest(IMAGE), Recipe(), spec)
    assert spec_of(record) == SPEC
    assert spec_of(record, "sd15") == dataclasses.replace(SPEC, id="sd15")


@pytest.mark.parametrize("model", [{}, {"id": 3}, {"id": "tiny", "steps": "many"}, {"id": "tiny", "nonsense": 1}])
def test_a_record_of_no_model_is_damaged(model: dict[str, Any]) -> None:
    record = dataclasses.replace(record_of(outcome(), digest(IMAGE), Recipe(), SPEC), model=model)
    with pytest.raises(ValueError, match="damaged: model"):
        spec_of(record)


coordinates = st.integers(-50, 200)
rectangles = st.tuples(coordinates, coordinates, coordinates, coordinates)
points = st.tuples(st.floats(-50, 200), st.floats(-50, 200))


@settings(max_examples=100, deadline=None)
@given(
    box=st.just((2, 2, 6, 6)) | rectangles,
    window=st.just((0, 0, 8, 8)) | rectangles,
    seed=st.just(5) | st.integers(-1, 2**64),
    strength=st.just(1.0) | st.floats(),
    outline=st.none() | st.lists(points, max_size=5).map(tuple),
    mask_runs=st.none() | st.just((4, 8, 4)) | st.lists(st.integers(-5, 2000), max_size=5).map(tuple),
    recipe=st.dictionaries(
        st.sampled_from(["shape", "feather", "match_border", "x"]),
        st.sampled_from(["box", "ellipse"]) | st.text(max_size=3) | st.floats(0, 0.6),
    ),
)
def test_whatever_a_record_says_it_is_painted_rejected_or_called_damaged(
    box: Any, window: Any, seed: int, strength: float, outline: Any, mask_runs: Any, recipe: dict[str, Any]
) -> None:
    edit = Edit(0, box, window, "cone", "a cone", "", strength, 5, outline, mask_runs=mask_runs)
    said = {"edit": edit, "seed": seed, "recipe": recipe}
    record = dataclasses.replace(record_of(outcome(), digest(IMAGE), Recipe(), SPEC), **said)
    try:
        painted, now = replay(Record.from_json(record.to_json()), IMAGE, Painter())
    except ValueError:
        with pytest.raises(ValueError, match="damaged"):
            replay(Record.from_json(record.to_json()), IMAGE, Painter())
    else:
        assert painted.shape == IMAGE.shape
        assert now.accepted or now.reason


def test_a_line_names_its_reference_and_is_repainted_after_it(painter: Painter, tmp_path: Path) -> None:
    picture = np.full((40, 60, 3), (9, 120, 240), np.uint8)
    Image.fromarray(picture).save(tmp_path / "cube.png")
    found = compose(tmp_path / "log.jsonl", reference={"cube": [tmp_path / "cube.png"]})(**sample())
    [record] = records(tmp_path / "log.jsonl")
    assert record.edit.reference is not None
    assert record.edit.reference.source == str(tmp_path / "cube.png")
    [asked] = painter.calls[-1]
    painted, _ = replay(record, IMAGE, painter)
    assert np.array_equal(painted, found["image"])
    [again] = painter.calls[-1]
    assert np.array_equal(again.reference, asked.reference)
    assert (again.reference == picture[0, 0]).all()
    Image.fromarray(picture[::-1] // 2).save(tmp_path / "cube.png")
    with pytest.raises(ValueError, match=r"reference '.*cube.png': the file has changed"):
        replay(record, IMAGE, painter)


def test_a_line_that_was_painted_after_an_array_cannot_be_repainted(painter: Painter, tmp_path: Path) -> None:
    compose(tmp_path / "log.jsonl", reference={"cube": [IMAGE]})(**sample())
    [record] = records(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match="painted after an array, .*give files to replay edits"):
        replay(record, IMAGE, painter)
