"""Jobs: what is read of the image, and when."""

from __future__ import annotations

import numpy as np
from painters import Painter, painted

from inpaint_transform.core.edit import Edit
from inpaint_transform.core.jobs import Job, make_request, paint_jobs
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.core.recipe import Recipe

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
EDIT = Edit(0, (20, 20, 60, 70), (10, 10, 80, 80), "cat", "a cat", "", 1.0, 5)


def test_a_request_is_the_same_whoever_makes_it() -> None:
    job = Job(Recipe(), EDIT, IMAGE)
    mine = job.request(0, 32, None)
    other = make_request(Recipe(), EDIT, job.original, job.mask, EDIT.seed, 32, None)
    assert np.array_equal(mine.image, other.image)
    assert np.array_equal(mine.mask, other.mask)
    assert (mine.prompt, mine.seed, mine.strength) == (other.prompt, other.seed, other.strength)


def test_a_blended_part_is_the_rectangle_of_the_mask_over_the_original() -> None:
    job = Job(Recipe(shape="ellipse"), EDIT, IMAGE)
    job.take(InpaintResult(painted(job.request(0, 32, None))))
    box, part = job.blended()
    assert box == (10, 10, 50, 60)
    assert part.shape == (50, 40, 3)
    outside = ~job.mask[10:60, 10:50]
    assert outside.any()
    assert np.array_equal(part[outside], IMAGE[20:70, 20:60][outside])
    assert (part[~outside] != IMAGE[20:70, 20:60][~outside]).any(axis=1).mean() > 0.9


def test_jobs_of_a_round_share_a_call_and_rejected_ones_get_the_next_seed() -> None:
    painter = Painter(rejects=1)
    jobs = [Job(Recipe(retries=1), EDIT, IMAGE), Job(Recipe(retries=1), EDIT, IMAGE[::-1].copy())]
    paint_jobs(jobs, painter, None)
    assert [len(call) for call in painter.calls] == [2, 2]
    assert [job.accepted for job in jobs] == [True, True]
    assert {job.attempts for job in jobs} == {2}
    assert painter.calls[0][0].seed != painter.calls[1][0].seed
