"""How much is repainted in which epoch."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.faces.schedule import Schedule

schedules = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(1, 30)).map(
    lambda drawn: Schedule(epochs=drawn[0] + drawn[2] + drawn[3], start=drawn[0], warmup=drawn[1], off_last=drawn[2])
)


@given(schedules, st.integers(0, 100))
def test_the_factor_rises_to_one_and_is_nothing_at_both_ends(schedule, epoch):
    factor = schedule.factor(epoch)
    assert 0 <= factor <= 1
    if epoch < schedule.start or schedule.epochs - schedule.off_last <= epoch < schedule.epochs:
        assert factor == 0
    elif epoch < schedule.epochs:
        assert factor > 0
        assert (factor == 1) == (epoch >= schedule.start + schedule.warmup)
        assert factor >= schedule.factor(epoch - 1)
    else:
        assert factor == schedule.factor(schedule.epochs - 1)


def test_json_gives_the_same_schedule():
    schedule = Schedule(epochs=10, warmup=3, off_last=2, scales="box_p")
    assert Schedule.of(json.loads(json.dumps(schedule.to_dict()))) == schedule
    assert Schedule.of({"epochs": 3}) == Schedule(3)
    assert Schedule.of(None) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 5, "warmup": -1}, "warmup=-1"),
        ({"epochs": 5, "off_last": 2.5}, "off_last=2.5"),
        ({"epochs": 5, "start": 3, "off_last": 2}, "in no epoch"),
        ({"epochs": 5, "scales": "q"}, "scales='q'"),
        ({"warmup": 5}, "a dict with 'epochs'"),
        ({"epochs": 5, "cooldown": 2}, "a dict with 'epochs'"),
        (7, "schedule=7"),
    ],
)
def test_bad_schedules_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        Schedule.of(value)
