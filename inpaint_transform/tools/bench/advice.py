"""What the measurements mean: the p that a machine affords, and what would afford more.

A measurement is short, and at a small p it is chance how many boxes are painted in it. So time is counted by the boxes
that were painted, and only what is advised is a ``p`` again, of which the data say how many boxes it paints.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inpaint_transform.tools.bench.duration import in_words
from inpaint_transform.tools.bench.settings import VARIANTS

# The rates of training that are told about when the user's own is not known.
ROUND_RATES = tuple(digit * 10**power for power in range(5) for digit in (1, 2, 5))
MAX_LINES = 5
# The numbers of looks that are told about.
ROUND_LOOKS = (1_000, 10_000)
# More than the bare pipeline cannot be had; a little more is noise.
MAX_SHARE = 1.1
# Of the cores: with more in use by others a measurement says little.
BUSY_SHARE = 0.5
# A loader that reaches less of the bare pipeline than this has something to gain from its own settings.
GOOD_SHARE = 0.8
# Where at least this share of the samples that p chooses is really painted, the two need not be told apart.
NEARLY_ALL = 0.95
BETTER = "on a quiet one the numbers are better"


@dataclass(frozen=True)
class Affordable:
    """The p that a loader affords.

    Attributes:
        p: In [0, 1].
        workers: Of the loader.
        concurrent: Whether it uses ``ConcurrentDataset``.
    """

    p: float
    workers: int
    concurrent: bool

    @property
    def loader(self) -> str:
        """The loader in words."""
        return _words(self.workers, self.concurrent)


def affordable(rates: Mapping[float, float], train_rate: float) -> float:
    """How many boxes of an image may be painted, on average, while a loader delivers at least ``train_rate`` images/s.

    Between measurements the time for an image is taken to grow evenly, as it does where each edit costs the same. A
    measurement that says more edits are faster is noise, and the slower one counts.

    Args:
        rates: Images/s, > 0, by painted boxes an image, >= 0.
        train_rate: Images/s that training takes, > 0.

    Returns:
        A number that is never beyond the largest measured one; 0 where even the smallest is too slow.

    Raises:
        ValueError: A rate is not above 0, or there is none.

    Examples:
        >>> round(affordable({0.0: 400.0, 1.0: 50.0}, 100.0), 3)
        0.429
    """
    if not rates or train_rate <= 0 or any(rate <= 0 for rate in rates.values()):
        raise ValueError(f"rates={dict(rates)!r}, train_rate={train_rate!r}: use rates above 0")
    measured = sorted(rates)
    times = list(itertools.accumulate((1 / rates[boxes] for boxes in measured), max))
    allowed = 1 / train_rate
    if allowed >= times[-1]:
        return measured[-1]
    found = 0.0
    for (boxes0, t0), (boxes1, t1) in itertools.pairwise(zip(measured, times, strict=True)):
        if t0 <= allowed:
            found = boxes1 if allowed >= t1 else boxes0 + (boxes1 - boxes0) * (allowed - t0) / (t1 - t0)
    return min(found, measured[-1])


def best_loader(loaders: Sequence[Mapping[str, Any]], train_rate: float, edits: float) -> Affordable:
    """The measured loader that affords most; of equals the one with fewest workers.

    Args:
        loaders: Results of the section ``loader``, at least one.
        train_rate: Images/s of training, > 0.
        edits: How many boxes an image is painted in when the transform's ``p`` has decided for it, on average, > 0.

    Returns:
        A p that is never beyond the largest measured one.
    """
    rates: dict[tuple[int, bool], dict[float, float]] = {}
    most: dict[tuple[int, bool], float] = {}
    for found in loaders:
        loader, boxes = (found["workers"], found["concurrent"]), found["edits"] / found["images"]
        by_boxes = rates.setdefault(loader, {})
        by_boxes[boxes] = min(found["images_per_s"], by_boxes.get(boxes, math.inf))
        most[loader] = max(found["p"], most.get(loader, 0.0))
    options = [
        Affordable(_p(affordable(by_boxes, train_rate), max(by_boxes), edits, most[loader]), *loader)
        for loader, by_boxes in sorted(rates.items())
    ]
    return max(options, key=lambda option: option.p)


def _p(boxes: float, measured: float, edits: float, most: float) -> float:
    """The p that paints so many boxes an image; the largest one where all that was measured is affordable."""
    p = boxes / edits
    return most if boxes == measured and p >= NEARLY_ALL * most else min(p, most)


def advise(results: Mapping[str, Any], train_rate: float | None = None) -> list[str]:
    """The measurements in words.

    Args:
        results: The section ``data``, and ``model``, ``bare``, ``loader`` and ``reuse`` as far as they were measured.
        train_rate: Images/s of the user's own training step. Without it, several round rates are told about.

    Returns:
        Lines of text; none where no loader was measured.
    """
    loaders = results.get("loader", [])
    if not loaders:
        return []
    if not any(found["edits"] for found in loaders):
        unknown = "no box was painted in any loader, so what p costs is not known: measure with a larger p"
        return [*_busy(results), unknown, *_ahead(results)]
    lines: list[str] = []
    short = False
    for rate in _rates(loaders) if train_rate is None else [train_rate]:
        best = best_loader(loaders, rate, results["data"]["edits"])
        fastest = max(loaders, key=lambda found: found["images_per_s"])
        if fastest["images_per_s"] < rate:
            lines.append(_too_slow(fastest, rate))
            continue
        lines.append(f"at {rate:g} images/s of training this machine affords {_affords(best, results)}")
        lines += _reuse(results, rate)
        short = short or best.p < 1
    return [*_busy(results), *lines, *(_more(results) if short or train_rate is None else []), *_ahead(results)]


def _affords(best: Affordable, results: Mapping[str, Any]) -> str:
    """A p, and in how many samples something is painted with it, where these are fewer."""
    if best.p < 0.01:
        return f"no p of 0.01 or more ({best.loader})"
    painting = [found for section in ("loader", "reuse") for found in results.get(section, ()) if found["edits"]]
    kept = sum(found["accepted"] for found in painting) / sum(found["edits"] for found in painting)
    real = results["data"]["drawn"] * kept
    words = f"p = {_floor(best.p)} ({best.loader})"
    return words if real >= NEARLY_ALL else f"{words}, with which {best.p * real:.2g} of the samples are really painted"


def _reuse(results: Mapping[str, Any], rate: float) -> list[str]:
    """What it affords once painted looks are used again, and how old they get."""
    found, bare = results.get("reuse", []), results.get("bare", [])
    if not found or not bare:
        return []
    workers = {each["workers"] for each in found}
    without = [each for each in results["loader"] if each["p"] == 0 and each["workers"] in workers]
    best = best_loader([*found, *(each for each in without if not each["concurrent"])], rate, results["data"]["edits"])
    if best.p < 0.01:
        return ["   and with reuse={} none either: without a single edit it takes as long"]
    words = f"   with reuse={{}} it affords {_affords(best, results)}, once the looks are painted"
    if results["model"]["device"] == "cpu":
        return [words]
    # An epoch of so many pictures takes pictures / rate seconds, in which so many looks are painted.
    data = results["data"]
    looks, epoch_s = VARIANTS * data["boxes"], data["total"] / rate
    epochs = max(1, round(looks / (_best(bare) * epoch_s)))
    every = "in every epoch" if epochs == 1 else f"in {epochs} epochs"
    return [f"{words}: all of them {every}, if painting has a device of its own"]


def _busy(results: Mapping[str, Any]) -> list[str]:
    """A doubt about all that was measured."""
    found = busy(results.get("load_before"))
    return [] if found is None else [f"the machine was busy before this began ({found}): {BETTER}"]


def busy(load: float | None) -> str | None:
    """How busy a machine is on which nothing should be measured; None for a quiet one, and where nobody knows.

    Args:
        load: How many processes were running or waiting in the last minute, or None.
    """
    cores = os.cpu_count() or 1
    return None if load is None or load < BUSY_SHARE * cores else f"{load:.1f} processes on {cores} cores"


def _too_slow(fastest: Mapping[str, Any], rate: float) -> str:
    p, reached = fastest["p"], f"{fastest['images_per_s']:.3g} images/s"
    if p == 0:
        return (
            f"at {rate:g} images/s of training this loader is too slow by itself: the fastest measured delivers "
            f"{reached} without a single edit"
        )
    return (
        f"at {rate:g} images/s of training this machine does not afford p = {p:g}, the smallest measured, which "
        f"delivers {reached}; what it affords below is not known"
    )


def _ahead(results: Mapping[str, Any]) -> list[str]:
    """How long painting takes that is done before the training."""
    bare = results.get("bare", [])
    if not bare:
        return []
    data = results["data"]
    times = [f"{in_words(looks / _best(bare))} for {looks} looks" for looks in ROUND_LOOKS]
    if data["source"] != "embedded":
        own = in_words(VARIANTS * data["boxes"] / _best(bare))
        times.insert(0, f"{own} for {VARIANTS} looks, as reuse={{}} has them, of each of your {data['boxes']} boxes")
    return [f"painting ahead of the training takes about {', '.join(times)}"]


def _best(bare: Sequence[Mapping[str, Any]]) -> float:
    """The most crops a second that the pipeline alone paints; 0 where that was not measured."""
    return max((found["images_per_s"] for found in bare), default=0.0)


def _rates(loaders: Sequence[Mapping[str, Any]]) -> list[float]:
    """Round rates at which p makes a difference."""
    measured = [found["images_per_s"] for found in loaders]
    between = [rate for rate in ROUND_RATES if min(measured) < rate <= max(measured)]
    # Evenly thinned, the extremes kept.
    steps = min(len(between), MAX_LINES)
    picked = [between[round(number * (len(between) - 1) / max(steps - 1, 1))] for number in range(steps)]
    return picked or [max(measured)]


def _more(results: Mapping[str, Any]) -> list[str]:
    """What would afford more, from what was measured."""
    lines = []
    painting = [found for found in results["loader"] if found["attempts_per_s"]]
    best_bare = _best(results.get("bare", []))
    if painting and best_bare:
        best = max(painting, key=lambda found: found["attempts_per_s"])
        share = best["attempts_per_s"] / best_bare
        lines.append(
            f"the pipeline alone paints {best_bare:.3g} images/s; of that the best loader reaches {share:.0%} "
            f"({_words(best['workers'], best['concurrent'])}, p = {best['p']:g})"
            + ("; more workers or a larger mini-batch may fill its batches better" if share < GOOD_SHARE else "")
        )
        if share > MAX_SHARE:
            lines.append(
                "no loader can paint faster than the pipeline alone, so these numbers are doubtful: the machine was "
                "busy with something else for a while. Measure again when it is quiet, or for longer (--seconds)"
            )
    model = results.get("model", {})
    steps, size = model.get("steps"), model.get("size")
    ways = []
    if steps is not None and steps > 1:
        ways.append(f"fewer steps (half of the {steps} is up to 2x as fast)")
    if size is not None:
        ways.append(f"a smaller size (half of the {size} pixels is up to 4x as fast)")
    ways.append("reuse={} (what was painted is used again), filled ahead by `inpaint-transform paint-ahead`")
    return [*lines, f"for more: {', '.join(ways)}"]


def _floor(p: float) -> str:
    """Two digits, rounded down: a promise must hold."""
    return f"{int(p * 100 + 1e-9) / 100:.2g}"


def _words(workers: int, concurrent: bool) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}{' with ConcurrentDataset' if concurrent else ''}"
