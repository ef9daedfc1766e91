"""Plans: defaults by kind, bounds, and what a run that goes on may change."""

from __future__ import annotations

import pytest

from inpaint_transform.fit.hyperparameters import CROPS, DEFAULTS, make_plan


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("boxes", [1, 50, 10**6])
def test_crops_go_by_the_boxes_within_bounds(kind: str, boxes: int) -> None:
    plan = make_plan(kind, boxes)
    assert CROPS[kind][1] <= plan.crops <= CROPS[kind][2]
    assert plan.crops_of_autoencoder <= plan.crops
    assert plan.steps == DEFAULTS[kind]["steps"]


def test_only_how_long_and_how_fast_may_change_later() -> None:
    plan = make_plan("small", 10)
    assert make_plan("small", 10, steps=7, steps_of_decoder=9, rate=0.1).fingerprint() == plan.fingerprint()
    for change in ({"batch": 7}, {"seed": 1}, {"rank": 3}, {"steps_of_autoencoder": 3}):
        assert make_plan("small", 10, **change).fingerprint() != plan.fingerprint()


@pytest.mark.parametrize(
    "wanted",
    [
        {"steps": 0},
        {"batch": -1},
        {"crops": 0},
        {"rank": 0},
        {"rate": 0.0},
        {"rate": 1.5},
        {"steps_of_decoder": -1},
        {"steps_of_adversary": -1},
    ],
)
def test_numbers_out_of_range(wanted: dict[str, float]) -> None:
    [name] = wanted
    with pytest.raises(ValueError, match=f"{name}="):
        make_plan("LoRA", 10, **wanted)


def test_a_small_model_may_keep_its_denoiser() -> None:
    assert make_plan("small", 10, steps=0).steps == 0
    with pytest.raises(ValueError, match="steps=0"):
        make_plan("nothing", 10, steps=0)
    with pytest.raises(ValueError, match=r"steps=0: .* at least 1 \(it is a LoRA of this base that is trained\)"):
        make_plan("LoRA", 10, steps=0)
