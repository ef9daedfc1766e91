"""What a study says in sentences: what is shown, what is not, what its draws can tell, and what is amiss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inpaint_transform.tools.study import result, significance
from inpaint_transform.tools.study.rows import plan_of

if TYPE_CHECKING:
    from inpaint_transform.tools.study.result import Comparison, Study

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def of(study: Study) -> list[str]:
    """All sentences, what may be concluded first."""
    return [*_conclusions(study), *_state(study)]


def _conclusions(study: Study) -> Iterator[str]:
    best = study.baseline
    if best is None:
        yield f"Nothing can be concluded: {_no_baseline(study)}."
        return
    family = len(study.compared)
    comparisons = study.comparisons()
    if not family:
        yield "Nothing is claimed: no arm beside the baselines has the study's number of pictures."
    else:
        needed = significance.draws_needed(family)
        few = [one for one in comparisons if one.arm in study.compared and len(one.draws) < needed]
        none = [one.arm for one in few if not one.draws]
        if none:
            yield f"Nothing can be concluded about {', '.join(none)}: no draw is finished."
        few = [one for one in few if one.draws]
        if few:
            yield _too_few(few, family, needed)
    for one in comparisons:
        if one.verdict in (result.BETTER, result.WORSE):
            verb = "beats" if one.verdict == result.BETTER else "is worse than"
            said = f"{one.arm} {verb} {best.name} by {_difference(study, one, signed=False)}, {_p(one, family)}"
            low, high = one.interval or (0.0, 0.0)
            yield f"On these test pictures {said}; on others it may not be so." if low <= 0 <= high else f"{said}."
    for one in comparisons:
        if one.verdict == result.UNFINISHED:
            draws = f"{count(len(one.draws))} of {count(study.header['draws'])} draws"
            yield (
                f"So far, in {draws}, {one.arm} is {_than(study, one)}, {_p(one, family)}; a claim waits for all of "
                f"them, and for those of the baselines."
            )
    for one in comparisons:
        if one.verdict == result.NOT_TOLD and any(one.differences):
            yield (
                f"{one.arm} is not told apart from {best.name}: {_difference(study, one)}, {_p(one, family)}"
                f"{_resolved(study, one)}."
            )
    for one in comparisons:
        if one.differences and not any(one.differences):
            yield (
                f"{one.arm} gave the very numbers of {one.other} in every draw: does the command use its set, "
                f"{{transform}} or {{args}}?"
            )
    alike = [arm.name for arm in study.arms if arm.repeats]
    if alike:
        yield f"Every draw of {', '.join(alike)} gave the same number: does the command use {{seed}}?"
    for one in comparisons:
        if study.arm(one.arm).reference and one.differences:
            size = study.arm(one.arm).settings["n"] or "all"
            yield f"To compare with, {one.arm}, which has {size} pictures, is {_than(study, one)}."


def _no_baseline(study: Study) -> str:
    """Why no baseline is the best of them."""
    baselines = [arm for arm in study.arms if arm.baseline]
    several = len(baselines) > 1
    without = [arm.name for arm in baselines if not (arm.val if several else arm.test)]
    if len(without) == len(baselines):
        return "no baseline has finished a draw"
    if without:
        return f"the baseline {without[0]} has finished no draw, and the best one is chosen where all have"
    return f"the baselines {', '.join(arm.name for arm in baselines)} have no finished draw in common"


def _too_few(few: list[Comparison], family: int, needed: int) -> str:
    least = min(len(one.draws) for one in few)
    names = "" if len(few) == family else f" about {', '.join(one.arm for one in few)}"
    draws = "draw" if least == 1 else "draws"
    at_once = f" where {count(family)} arms are compared" if family > 1 else ""
    return (
        f"Nothing can be concluded{names}: with {count(least)} {draws} even differences of one sign may be chance; it "
        f"takes {count(needed)}{at_once}."
    )


def _state(study: Study) -> Iterator[str]:
    if study.finished < study.planned:
        yield f"{study.finished} of {study.planned} runs are finished; what is said may change."
    if study.failed:
        names = ", ".join(dict.fromkeys(row["arm"] for row in study.failed))
        runs, them = ("run", "it") if len(study.failed) == 1 else ("runs", "them")
        yield f"{count(len(study.failed)).capitalize()} {runs} failed ({names}); the same command tries {them} again."
    baselines = [arm.name for arm in study.arms if arm.baseline]
    best = study.baseline
    if best is not None and len(baselines) > 1:
        yield f"{best.name} is the best of the baselines {', '.join(baselines)} on validation pictures."
    if study.header["n"] is None:
        have = "have" if study.header["data"] is not None else "may have"
        yield f"All draws {have} the same training pictures, and differ in initialisation and order alone."
    if (first := study.header.get("first")) is not None:
        now = plan_of(study.header)
        changed = "; ".join(f"{key} {first[key]}, now {now[key]}" for key in now if first[key] != now[key])
        yield f"The plan was changed after it had begun ({changed}): a claim that was looked for is worth less."
    if study.unused:
        names = ", ".join(dict.fromkeys(row["arm"] for row in study.unused))
        runs, were = ("run", "was") if len(study.unused) == 1 else ("runs", "were")
        yield (
            f"{count(len(study.unused)).capitalize()} finished {runs} of {names} {were} made with other settings and "
            f"{were} not counted: a claim that was looked for is worth less."
        )
    shown = [one for one in study.comparisons() if one.interval]
    without = [one.arm for one in shown if not one.over_pictures]
    if shown and not without:
        yield "Intervals count the chance of draws and of test pictures; values of p are for these test pictures."
    elif len(without) < len(shown):
        yield (
            f"Intervals count the chance of draws and of test pictures, those of {', '.join(without)} of draws only; "
            f"values of p are for these test pictures."
        )
    elif shown:
        yield "Intervals and values of p count the chance of draws only: they are for these test pictures."


def _difference(study: Study, one: Comparison, signed: bool = True) -> str:
    mean = one.mean or 0.0
    sign = 1.0 if signed or mean >= 0 else -1.0
    return f"{amount(study, sign * mean, signed)}{_interval(study, one, sign, signed)}"


def _interval(study: Study, one: Comparison, sign: float, signed: bool) -> str:
    if one.interval is None:
        return ""
    low, high = sorted(sign * end for end in one.interval)
    return f" (95 % interval {number(study, low, signed)} to {number(study, high, signed)})"


def _resolved(study: Study, one: Comparison) -> str:
    if one.resolved is None:
        return ""
    return f"; an effect of {amount(study, one.resolved)} would be found with a chance of {significance.POWER:.0%}"


def _than(study: Study, one: Comparison) -> str:
    """``1.9 points better than strong``."""
    mean = one.mean or 0.0
    sign, kind = (1.0, "better") if mean >= 0 else (-1.0, "worse")
    return f"{amount(study, sign * mean)} {kind} than {one.other}{_interval(study, one, sign, signed=False)}"


def _p(one: Comparison, family: int) -> str:
    after = f" after Holm over {family} arms" if family > 1 else ""
    return f"p = {one.adjusted:.2g}{after}"


def number(study: Study, value: float, signed: bool = False) -> str:
    """A value of the metric as it is shown, ``+1.9``."""
    shown = value * study.scale
    digits = 1 if study.scale == 100 else 3
    text = f"{shown:{'+' if signed else ''}.{digits}f}"
    # No negative zero.
    return text.replace("-", "+" if signed else "") if float(text) == 0 else text


def amount(study: Study, value: float, signed: bool = False) -> str:
    """A difference with its unit, ``1.9 points``."""
    return f"{number(study, value, signed)} {study.unit}".strip()


def count(value: int) -> str:
    """A small number as a word."""
    return _COUNTS[value] if 0 <= value < len(_COUNTS) else str(value)
