"""Hints: why little of what is drawn is painted, in words, with the mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

# Below so many edits a share says nothing; without epochs, below so many it may be the first one that still goes on.
MIN_EDITS = 100
MIN_EDITS_WITHOUT_EPOCHS = 2000
# In a frozen pool nothing will ever arrive: so many without a single hit say enough.
MIN_EDITS_FROZEN = 20
# An object in ten that comes again is chance.
MOSTLY = 0.9


def judged(epochs: Mapping[str, Mapping[str, int]], epoch: int) -> Mapping[str, int] | None:
    """The counts of the last whole epochs, as many as say something, that should have found what was painted before.

    Args:
        epochs: Counts by epoch number.
        epoch: The epoch that is going on.
    """
    numbers = sorted(map(int, epochs))
    found: Counter[str] = Counter()
    # A small set has few edits in an epoch. In the first one nothing can have been painted before.
    for number in reversed([number for number in numbers if number < epoch][1:]):
        found.update(epochs[str(number)])
        if found["edits"] >= MIN_EDITS:
            return found
    if numbers == [epoch] and epochs[str(epoch)].get("edits", 0) >= MIN_EDITS_WITHOUT_EPOCHS:
        return epochs[str(epoch)]
    return None


def low_share(
    counts: Mapping[str, int], p: float, evicted_early: int, looks: int, wanted: int, rate: float
) -> str | None:
    """What to say where less than half of the edits that were drawn were painted; None if it was more.

    Args:
        counts: What became of the edits.
        p: The probability that was asked for.
        evicted_early: How many looks had to go before they were due.
        looks: How many looks there are.
        wanted: Of how many at least one was asked for.
        rate: How many looks are painted in a second.
    """
    edits, accepted, cold = (counts.get(name, 0) for name in ("edits", "accepted", "cold"))
    rejected, new = counts.get("rejected", 0), counts.get("new", 0)
    if not edits or accepted * 2 >= edits:
        return None
    if rejected > cold:
        why = f"{rejected} of {edits} looks were rejected; see stats() for the reasons"
    elif new >= MOSTLY * cold:
        why = (
            "nearly every object was new, so something before the transform changes its pixels; place the transform "
            "before random crops, flips and colours"
        )
    elif evicted_early:
        why = f"{evicted_early} looks had to go before they were due; give reuse a larger max_bytes"
    else:
        missing = max(wanted - looks, 0)
        minutes = (
            f"at {rate * 60:.3g} looks/min full in about {missing / rate / 60:.3g} min" if rate else "none is painted"
        )
        why = (
            f"painting does not keep up: {missing} looks are missing, {minutes}; fill the pool with 'inpaint-transform "
            f"paint-ahead', use fewer variants, or a faster model"
        )
    return _share(counts, p) + why


def tells(counts: Mapping[str, int]) -> bool:
    """Whether so many edits were drawn that they tell how much a pool that is only read has; none of them soon does.

    Args:
        counts: What became of the edits of this process.
    """
    return counts.get("edits", 0) >= (MIN_EDITS if counts.get("hit", 0) else MIN_EDITS_FROZEN)


def frozen_share(counts: Mapping[str, int], p: float, path: object, looks: int) -> str | None:
    """What to say where less than half of the edits that were drawn were found in a pool that is only read.

    Args:
        counts: What became of the edits of this process.
        p: The probability that was asked for.
        path: The pool's folder.
        looks: How many looks are in it.
    """
    edits, accepted = counts.get("edits", 0), counts.get("accepted", 0)
    if not tells(counts) or accepted * 2 >= edits:
        return None
    if (rejected := counts.get("rejected", 0)) > counts.get("cold", 0):
        return _share(counts, p) + f"{rejected} of {edits} looks were rejected; see stats() for the reasons"
    if counts.get("hit", 0):
        lacks = "lacks the others"
    else:
        lacks = (
            f"has {looks} looks, but none of these objects (were other pictures painted, other boxes or prompts, or do "
            f"pixels change before the transform?)"
        )
    return _share(counts, p) + f"the frozen pool {path} {lacks}; fill it with 'inpaint-transform paint-ahead'"


def _share(counts: Mapping[str, int], p: float) -> str:
    edits, accepted = counts["edits"], counts.get("accepted", 0)
    return f"of the last {edits} edits drawn {accepted} were painted, so p={p:g} is {p * accepted / edits:.2g}: "
