"""Which Compose is calling, and what the framework's hooks make of an argument."""

from __future__ import annotations

import threading

import albumentations as A
import numpy as np
import pytest
from painters import Painter

from inpaint_transform import BBoxInpaint
from inpaint_transform.faces.albumentations_hooks import box_processor

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
BOXES = [[20, 30, 80, 80], [100, 20, 140, 90]]


def compose(*transforms, fields=("labels",), box_format="pascal_voc") -> A.Compose:
    return A.Compose(list(transforms), bbox_params=A.BboxParams(box_format, label_fields=list(fields)))


def test_one_transform_in_two_composes_reads_each_by_its_own_labels(painter: Painter) -> None:
    transform = BBoxInpaint(prompts="{label}", relabel={"a": "z"}, num_boxes=2, p=1.0)
    first, second = compose(transform), compose(A.NoOp(), transform)
    for labels in (["a", "b"], ["b", "a"], ["c", "a"]):
        for pipeline, given in ((first, labels), (second, labels[::-1]), (first, labels)):
            result = pipeline(image=IMAGE, bboxes=BOXES, labels=given)
            wanted = ["z" if label == "a" else label for label in given]
            assert [request.prompt for request in painter.calls[-1]] == wanted
            assert result["labels"] == wanted


def test_two_composes_with_other_fields_and_formats(painter: Painter) -> None:
    transform = BBoxInpaint(prompts="{label}", num_boxes=2, p=1.0)
    plain, wide = compose(transform), compose(transform, fields=("kind", "id"), box_format="coco")
    coco = [[20, 30, 60, 50], [100, 20, 40, 70]]
    for _ in range(2):
        assert plain(image=IMAGE, bboxes=BOXES, labels=["a", "b"])["labels"] == ["a", "b"]
        assert [request.prompt for request in painter.calls[-1]] == ["a", "b"]
        result = wide(image=IMAGE, bboxes=coco, kind=["c", "d"], id=[1, 2])
        assert (result["kind"], list(result["id"])) == (["c", "d"], [1, 2])
        assert [request.prompt for request in painter.calls[-1]] == ["c", "d"]


def test_the_outer_compose_holds_the_labels(painter: Painter) -> None:
    transform = BBoxInpaint(prompts="{label}", num_boxes=2, p=1.0)
    inner = A.Compose([A.OneOf([transform], p=1.0)])
    compose(A.Sequential([inner], p=1.0))(image=IMAGE, bboxes=BOXES, labels=["a", "b"])
    assert [request.prompt for request in painter.calls[-1]] == ["a", "b"]


def test_threads_do_not_see_each_others_compose(painter: Painter) -> None:
    transforms = [BBoxInpaint(prompts="{label}", num_boxes=2, p=1.0) for _ in range(4)]
    results: dict[int, list] = {}

    def work(number: int) -> None:
        pipeline, labels = compose(transforms[number]), [f"a{number}", f"b{number}"]
        results[number] = [pipeline(image=IMAGE, bboxes=BOXES, labels=labels)["labels"] for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [[f"a{number}", f"b{number}"]] * 20 for number in range(4)}


def test_nobody_is_calling() -> None:
    transform = BBoxInpaint()
    compose(transform)
    assert box_processor(transform) is None


def test_unknown_arguments_are_named_and_those_for_geometry_ignored() -> None:
    with pytest.raises(TypeError, match="BBoxInpaint has no argument 'promts'; did you mean 'prompts'"):
        BBoxInpaint(promts="a car")
    with pytest.warns(UserWarning, match="no use for the argument 'mask_interpolation'"):
        transform = BBoxInpaint(mask_interpolation=1, p=1.0)
    assert transform.p == 1.0


def test_the_schedule_is_obeyed_where_the_framework_forces_it(painter: Painter) -> None:
    for seed in (None, 3):
        transform = BBoxInpaint(p=0.5, schedule={"epochs": 3, "off_last": 1}, seed=seed)
        pipeline = compose(A.OneOf([transform], p=1.0))
        fires = []
        for epoch in range(3):
            transform.set_epoch(epoch)
            fires.append(bool((pipeline(image=IMAGE, bboxes=BOXES, labels=["a", "b"])["image"] != IMAGE).any()))
        assert fires == [True, True, False]
