"""Contents: which look serves, when the next one takes over, and who has to go."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from inpaint_transform.core.edit import Look
from inpaint_transform.core.looks import Kept
from inpaint_transform.serving.pool.contents import Contents, Slot, raw_key, size_of
from inpaint_transform.serving.pool.store import Store

SLOT = "22" * 16
LOOK = Look("11" * 16, SLOT, 0, 0)
KEPT = Kept(True, None, 1, 1)


@pytest.fixture
def run(tmp_path: Path) -> Callable:
    """Runs a function on the contents, in a transaction of its own."""
    store = Store(tmp_path, 50_000_000, False)

    def run(work: Callable[[Contents], object]) -> object:
        return store.write(lambda transaction: work(Contents(transaction, store.dbs)), lambda *_: None)

    return run


def key(number: int) -> bytes:
    return bytes([number + 1]) * 16


def settle(run: Callable, generation: int, accepted: bool = True, final: bool = True) -> None:
    kept = dataclasses.replace(KEPT, accepted=accepted, final=final)
    look = dataclasses.replace(LOOK, generation=generation)
    run(lambda contents: contents.settle(key(generation), b"%d" % generation, kept, look, 1.0))


def slot(run: Callable) -> Slot:
    return run(lambda contents: contents.slot(bytes.fromhex(SLOT)))


def served(run: Callable) -> bytes:
    return run(lambda contents: bytes(contents.item(contents.slot(bytes.fromhex(SLOT)).look)))


def test_a_new_generation_takes_over_and_the_old_one_goes(run: Callable) -> None:
    settle(run, 0)
    run(lambda contents: contents.use(bytes.fromhex(SLOT), 0, 9, 8, 5.0))
    assert (slot(run).uses, slot(run).due_since) == (9, 5.0)
    settle(run, 1)
    assert dataclasses.astuple(slot(run))[:5] == (1, 1, 0, 0.0, True)
    assert served(run) == b"1"
    # A sample that has drawn the old one may be about to ask for it.
    assert run(lambda contents: contents.item(key(0))) is not None
    settle(run, 2)
    assert run(lambda contents: contents.item(key(0))) is None
    assert run(lambda contents: contents.item(key(1))) is not None


def test_a_rejected_generation_leaves_the_old_one_serving(run: Callable) -> None:
    settle(run, 0)
    run(lambda contents: contents.use(bytes.fromhex(SLOT), 0, 9, 8, 5.0))
    settle(run, 1, accepted=False)
    assert (slot(run).generation, slot(run).tried, slot(run).uses, slot(run).due_since) == (0, 1, 0, 0.0)
    assert served(run) == b"0"
    settle(run, 2)
    assert served(run) == b"2"


def test_a_rejected_first_look_serves_until_a_better_one_comes(run: Callable) -> None:
    settle(run, 0, accepted=False)
    assert not slot(run).accepted
    settle(run, 1, accepted=False)
    assert served(run) == b"1"
    settle(run, 2)
    assert slot(run).accepted


def test_what_is_not_final_serves_nobody(run: Callable) -> None:
    settle(run, 0, accepted=False, final=False)
    assert slot(run) is None
    settle(run, 0)
    assert served(run) == b"0"


def test_the_slower_of_two_processes_changes_nothing(run: Callable) -> None:
    settle(run, 0)
    settle(run, 1)
    run(lambda contents: contents.use(bytes.fromhex(SLOT), 1, 3, 8, 5.0))
    settle(run, 0)
    settle(run, 1, accepted=False)
    assert (slot(run).generation, slot(run).uses) == (1, 3)
    assert served(run) == b"1"


def test_raw_results_go_when_they_are_judged(run: Callable) -> None:
    run(lambda contents: contents.put(raw_key(key(0), 0), b"raw", None, 0, 1.0))
    settle(run, 0)
    assert run(lambda contents: contents.item(raw_key(key(0), 0))) is None


def test_due_looks_go_first_and_then_the_oldest(run: Callable) -> None:
    def fill(contents: Contents) -> None:
        for number in range(6):
            look = Look("11" * 16, f"{number:032x}", 0, 0)
            contents.settle(key(number), b"x" * 100, KEPT, look, 10.0 + number)
        contents.use(bytes.fromhex(f"{4:032x}"), 0, 8, 8, 60.0)
        contents.use(bytes.fromhex(f"{2:032x}"), 0, 8, 8, 50.0)

    run(fill)
    gone = []
    for _ in range(4):
        run(lambda contents: contents.make_room(1, 8))
        left = run(lambda contents: {number for number in range(6) if contents.item(key(number)) is not None})
        gone += sorted(set(range(6)) - left - set(gone))
    assert gone == [2, 4, 0, 1]
    assert run(lambda contents: contents.slot(bytes.fromhex(f"{2:032x}"))) is None
    assert run(lambda contents: contents.counts(b"evicted")) == {"early": 2}


def test_what_no_longer_serves_goes_before_all_else(run: Callable) -> None:
    for generation in range(2):
        settle(run, generation)
    run(lambda contents: contents.use(bytes.fromhex(SLOT), 1, 9, 8, 5.0))
    run(lambda contents: contents.make_room(1, 8))
    assert run(lambda contents: contents.item(key(0))) is None
    assert served(run) == b"1"


def test_bytes_are_those_of_what_is_there(run: Callable) -> None:
    rng = random.Random(0)
    sizes: dict[bytes, int] = {}
    for _ in range(200):
        name, value = key(rng.randrange(12)), bytes(rng.choice([10, 1999, 2001, 9000]))
        if rng.random() < 0.3:
            run(lambda contents, name=name: contents.delete(name))
            sizes.pop(name, None)
        else:
            run(lambda contents, name=name, value=value: contents.put(name, value, None, 0, 1.0))
            sizes[name] = size_of(value)
        assert run(lambda contents: contents.total_bytes) == sum(sizes.values())


def test_counters_add_up_and_are_found_by_the_beginning_of_their_name(run: Callable) -> None:
    run(lambda contents: contents.add_counts(b"job|a|0", {"hit": 2}))
    run(lambda contents: contents.add_counts(b"job|a|0", {"hit": 3, "cold": 1}))
    run(lambda contents: contents.add_counts(b"job|b|0", {"hit": 7}))
    assert run(lambda contents: contents.counts_of(b"job|a|")) == {"0": {"hit": 5, "cold": 1}}
    assert run(lambda contents: contents.counts(b"job|c|0")) == {}
