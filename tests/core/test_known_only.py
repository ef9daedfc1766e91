"""An argument that a constructor does not have is named, with the one that was probably meant."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable

import pytest

from inpaint_transform import BBoxInpaint, ModelSpec, Reuse, Swap
from inpaint_transform.core.known_only import known_only
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.faces.schedule import Schedule
from inpaint_transform.gates import ChangeGate, ClipGate, DetectorGate, FillGate


class Thing:
    @known_only(ignored=("strict",))
    def __init__(self, prompts: str = "", p: float = 0.5) -> None:
        self.prompts = prompts


def test_an_unknown_argument_is_named_with_the_nearest() -> None:
    assert Thing("a", p=1).prompts == "a"
    assert list(inspect.signature(Thing).parameters) == ["prompts", "p"]
    with pytest.raises(TypeError, match="Thing has no argument 'promts'; did you mean 'prompts'"):
        Thing(promts="b")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no argument 'zzz'; it has prompts, p$"):
        Thing(zzz=1)  # type: ignore[call-arg]


def test_what_a_framework_hands_to_all_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="Thing has no use for the argument 'strict'"):
        Thing(strict=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelSpec("tiny", step=3), "ModelSpec has no argument 'step'; did you mean 'steps'?"),
        (lambda: ModelSpec("tiny").resolved().__class__("tiny", sizes=3), "did you mean 'size'?"),
        (lambda: ModelSpec.of({"id": "tiny", "step": 3}), "did you mean 'steps'?"),
        (lambda: Reuse(variant=3), "Reuse has no argument 'variant'; did you mean 'variants'?"),
        (lambda: Reuse.of({"variant": 3}), "did you mean 'variants'?"),
        (lambda: Swap({"a": "b"}, size={}), "Swap has no argument 'size'; did you mean 'sizes'?"),
        (lambda: Recipe(prompt="a"), "did you mean 'prompts'?"),
        (lambda: Schedule(epochs=3, warm_up=2), "did you mean 'warmup'?"),
        (lambda: Schedule.of({"epoch": 3}), "did you mean 'epochs'?"),
        (lambda: FillGate(min_fil=0.4), "FillGate has no argument 'min_fil'; did you mean 'min_fill'?"),
        (lambda: ChangeGate(min_insid=3), "did you mean 'min_inside'?"),
        (lambda: ClipGate(modle="tiny"), "did you mean 'model'?"),
        (lambda: DetectorGate(print, miniou=0.5), "did you mean 'min_iou'?"),
        (lambda: BBoxInpaint(gate={"gate": "fill", "min_fil": 0.4}), "did you mean 'min_fill'?"),
        (lambda: BBoxInpaint(gate={"gate": "fil"}), "did you mean 'fill'?"),
        (lambda: BBoxInpaint(promts="a"), "BBoxInpaint has no argument 'promts'; did you mean 'prompts'?"),
    ],
)
def test_everything_that_users_make_says_what_was_probably_meant(make: Callable[[], object], said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert said in str(caught.value)


def test_a_checked_dataclass_stays_one() -> None:
    spec = ModelSpec("tiny", steps=3)
    assert pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec) == dataclasses.replace(spec) == spec
    assert list(inspect.signature(ModelSpec).parameters) == [field.name for field in dataclasses.fields(ModelSpec)]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'id'"):
        ModelSpec()  # type: ignore[call-arg]
