"""Merging: parts become one pool, each look once, and nothing that is no part of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inpaint_transform.core.edit import Edit, Look
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.looks import Kept
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.reuse import Reuse
from inpaint_transform.serving.pool import merging
from inpaint_transform.serving.pool.pool import Pool
from inpaint_transform.serving.session import current_session


def pool_at(path: Path, recipe: Recipe | None = None, max_bytes: int = 10_000_000, model: str = "tiny") -> Pool:
    def nobody():
        raise AssertionError("nothing is to be painted")

    reuse = Reuse(path=str(path), wait=True, max_bytes=max_bytes)
    return Pool(reuse, ModelSpec(model), recipe or Recipe(), None, current_session(), nobody, lambda: 0)


def keep(pool: Pool, number: int, level: int, side: int = 20) -> None:
    look = Look(content=f"{number:032x}", slot=f"{number + 1:032x}", variant=0, generation=0)
    edit = Edit(0, (0, 0, 40, 40), (0, 0, 80, 80), "cat", "a cat", "", 1.0, 1, look=look)
    kept = Kept(True, None, 1, 1, box=(0, 0, side, side), pixels=np.full((side, side, 3), level, np.uint8))
    pool.keep(bytes.fromhex(f"{number + 2:032x}"), kept, edit)


def levels(pool: Pool) -> list[int]:
    with pool.reading() as view:
        return sorted(int(kept.pixels[0, 0, 0]) for kept in view.looks())


def parts(tmp_path: Path, *contents: dict[int, int], **more) -> list[Path]:
    """Pools that are finished, each with some looks: levels by number."""
    found = []
    for number, looks in enumerate(contents):
        pool = pool_at(tmp_path / f"part {number}")
        for key, level in looks.items():
            keep(pool, key * 10, level, **more)
        merging.finish_part(pool, "all of it")
        found.append(tmp_path / f"part {number}")
    return found


def test_all_parts_are_taken_and_what_is_there_stays(tmp_path: Path) -> None:
    target = pool_at(tmp_path / "pool")
    keep(target, 30, 99)
    target.flush()
    steps: list[int] = []
    folders = parts(tmp_path, {1: 10, 2: 20}, {3: 30, 4: 40}, {})
    assert merging.merge(target, folders, "all of it", steps.append) == 3
    assert levels(target) == [10, 20, 40, 99]
    assert sum(steps) == 4
    assert target.foreign() is None
    assert target.stats(0.5)["looks"] == 4
    assert merging.merge(target, folders, "all of it") == 0


def test_parts_come_together_where_the_model_is_not(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    for number in range(2):
        model.write_bytes(b"weights")
        part = pool_at(tmp_path / f"part {number}", model=str(model))
        keep(part, 10 * number, number)
        merging.finish_part(part, "all of it")
    model.unlink()
    target = pool_at(tmp_path / "pool", model=str(model))
    assert merging.merge(target, [tmp_path / "part 0", tmp_path / "part 1"], "all of it") == 2
    model.write_bytes(b"others!")
    other = pool_at(tmp_path / "other", model=str(model))
    with pytest.raises(ValueError, match="weights="):
        merging.merge(other, [tmp_path / "part 0"], "all of it")


def test_a_part_that_is_not_finished_is_named(tmp_path: Path) -> None:
    half = pool_at(tmp_path / "half")
    keep(half, 10, 1)
    half.flush()
    with pytest.raises(ValueError, match="half is not finished"):
        merging.merge(pool_at(tmp_path / "pool"), [tmp_path / "half"], "all of it")


def test_parts_of_something_else_are_named(tmp_path: Path) -> None:
    folders = parts(tmp_path, {1: 10})
    with pytest.raises(ValueError, match="painted for all of it, and now it is more"):
        merging.merge(pool_at(tmp_path / "pool"), folders, "more")
    with pytest.raises(ValueError, match=r"other settings \(.*feather=0\.\d+ instead of 0\.5"):
        merging.merge(pool_at(tmp_path / "pool", Recipe(feather=0.5)), folders, "all of it")
    assert not (tmp_path / "pool").exists()
    with pytest.raises(InpaintError, match="there is no pool"):
        merging.merge(pool_at(tmp_path / "pool"), [tmp_path / "nothing"], "all of it")


def test_a_pool_without_room_says_how_much_it_takes(tmp_path: Path) -> None:
    folders = parts(tmp_path, {number: number for number in range(10)}, side=200)
    with pytest.raises(ValueError, match="max_bytes=1000000.*give at least 2MB"):
        merging.merge(pool_at(tmp_path / "pool", max_bytes=1_000_000), folders, "all of it")
    assert merging.merge(pool_at(tmp_path / "pool", max_bytes=2_000_000), folders, "all of it") == 10
