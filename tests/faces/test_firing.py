"""Whether a sample fires: how often, by which generator, and which generators stand still meanwhile."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from inpaint_transform.faces.firing import Firing
from inpaint_transform.faces.schedule import Schedule

BOXES = np.array([(0.1, 0.1, 0.5, 0.6), (0.6, 0.2, 1.0, 0.9)])


class Numbered:
    """A sample of some content."""

    def __init__(self, number: int = 0, boxes: np.ndarray = BOXES) -> None:
        self.image = np.zeros((4, 4, 3), np.uint8)
        self.image[0, 0, :2] = divmod(number, 256)
        self.boxes = boxes

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        return self.image, self.boxes


class Unread:
    """A sample whose content nobody may ask for."""

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("only content-keyed draws read the sample")


def fired(firing: Firing, p: float, times: int = 400, epoch: int = 0, **how) -> int:
    return sum(firing.decide(Numbered(number), p, epoch, **how) is not None for number in range(times))


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("own", [False, True])
def test_a_sample_fires_with_probability_p_and_the_schedules_share(seed: int | None, own: bool) -> None:
    how = {"stream": random.Random(1)} if own else {}
    torch.manual_seed(0)
    assert 90 <= fired(Firing(seed, None), 0.3, **how) <= 150
    half = Firing(seed, Schedule(epochs=4, warmup=1))
    assert 45 <= fired(half, 0.3, **how) <= 80
    assert 165 <= fired(half, 0.3, forced=True, **how) <= 235
    assert 90 <= fired(half, 0.3, epoch=2, **how) <= 150
    late = Firing(seed, Schedule(epochs=4, start=1))
    assert fired(late, 1.0, 20, forced=True, **how) == 0
    assert fired(late, 0.0, 20, epoch=1, **how) == 0
    # A schedule of box_p has no say in whether samples fire.
    assert fired(Firing(seed, Schedule(epochs=4, start=1, scales="box_p")), 1.0, 20, **how) == 20


def test_a_schedule_scales_what_it_names() -> None:
    schedule = Firing(None, Schedule(epochs=4, warmup=1, scales="box_p"))
    assert (schedule.factor("p", 0), schedule.factor("box_p", 0), schedule.factor("box_p", 3)) == (1.0, 0.5, 1.0)
    assert Firing(None, None).factor("box_p", 0) == 1.0


def test_with_a_seed_the_content_decides_and_no_generator_moves() -> None:
    def draws(seed: int, sample: Numbered, epoch: int = 0) -> float:
        rng = Firing(seed, None).decide(sample, 1.0, epoch, stream)
        assert rng is not None
        return rng.random()

    stream = random.Random(0)
    before = stream.getstate(), torch.get_rng_state().tolist()
    drawn = draws(5, Numbered())
    assert drawn == draws(5, Numbered())
    others = [draws(6, Numbered()), draws(5, Numbered(1)), draws(5, Numbered(boxes=BOXES / 2)), draws(5, Numbered(), 1)]
    assert len({drawn, *others}) == 5
    assert (stream.getstate(), torch.get_rng_state().tolist()) == before


def test_without_a_seed_the_stream_decides_or_torchs_generator_and_the_sample_is_not_read() -> None:
    stream = random.Random(2)
    assert Firing(None, None).decide(Unread(), 1.0, 0, stream) is stream
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        rng = Firing(None, None).decide(Unread(), 1.0, 0)
        assert rng is not None
        found.append(rng.random())
    assert found[0] == found[1]


@pytest.mark.parametrize(("p", "forced", "moves"), [(1.0, False, False), (0.3, True, False), (0.99, False, True)])
def test_a_stream_stands_still_where_there_is_nothing_to_decide(p: float, forced: bool, moves: bool) -> None:
    stream = random.Random(7)
    before = stream.getstate()
    assert Firing(None, None).decide(Unread(), p, 0, stream, forced=forced) is stream
    assert (stream.getstate() != before) is moves
