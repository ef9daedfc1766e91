"""Hints: why little of what is drawn is painted, in words, with the mend."""

from __future__ import annotations

from collections.abc import Mapping

# Below so many edits a share says nothing; without epochs, below so many it may be the first one that still goes on.
MIN_EDITS = 100
MIN_EDITS_WITHOUT_EPOCHS = 2000
# An object in ten that comes again is chance.
MOSTLY = 0.9


def judged(epochs: Mapping[str, Mapping[str, int]], epoch: int) -> Mapping[str, int] | None:
    """The counts of the last whole epoch, where there is one that should have found what was painted before it.

    Args:
        epochs: Counts by epoch number.
        epoch: The epoch that is going on.
    """
    numbers = sorted(map(int, epochs))
    whole = [number for number in numbers if number < epoch]
    if len(whole) >= 2 and epochs[str(whole[-1])].get("edits", 0) >= MIN_EDITS:
        return epochs[str(whole[-1])]
    if numbers == [epoch] and epochs[str(epoch)].get("edits", 0) >= MIN_EDITS_WITHOUT_EPOCHS:
        return epochs[str(epoch)]
    return None


def low_share(
    counts: Mapping[str, int], p: float, frozen: bool, evicted_early: int, looks: int, wanted: int, rate: float
) -> str | None:
    """What to say of an epoch in which less than half of the edits that were drawn were painted; None if it was more.

    Args:
        counts: What became of its edits.
        p: The probability that was asked for.
        frozen: Whether the pool is only read.
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
    elif frozen:
        why = "the frozen pool lacks the others; fill it with 'inpaint-transform paint-ahead'"
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
    return (
        f"of {edits} edits drawn in an epoch {accepted} were painted, so p={p:g} is {p * accepted / edits:.2g}: {why}"
    )
