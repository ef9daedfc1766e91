"""What a study has found: values by arm and draw, the best baseline, and what can be said of every other arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.tools.study import rows, significance
from inpaint_transform.tools.study.config import HIGHER

BETTER, WORSE, NOT_TOLD = "better", "worse", "not told apart"
TOO_FEW, UNFINISHED, REFERENCE, REPEATED = "too few draws", "not finished", "reference", "draws are all alike"


@dataclass(frozen=True)
class ArmResult:
    """What the runs of one arm gave.

    Attributes:
        name: The arm.
        baseline: Whether it is a baseline.
        reference: Whether it has other pictures than the study's, and so shows what those would give.
        settings: What the configuration says of it, for people.
        test: The test metric by draw, of the runs that are finished.
        val: The validation metric by draw.
        resampled: The test metric on resampled test pictures by draw, where it is known.
        pictures: Fingerprints of those test pictures.
    """

    name: str
    baseline: bool
    reference: bool
    settings: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[int, float] = field(default_factory=dict)
    val: Mapping[int, float] = field(default_factory=dict)
    resampled: Mapping[int, Sequence[float]] = field(default_factory=dict)
    pictures: frozenset[str] = frozenset()

    @property
    def mean(self) -> float | None:
        """Of the test metric over draws."""
        return float(np.mean(list(self.test.values()))) if self.test else None

    @property
    def repeats(self) -> bool:
        """Whether every draw, of several, gave the same number."""
        return len(self.test) > 1 and len(set(self.test.values())) == 1


@dataclass(frozen=True)
class Comparison:
    """One arm against a baseline, draw by draw. Differences are positive where the arm is better.

    Attributes:
        arm: Its name.
        other: The baseline: the best one, or of an arm with other pictures the one that is like it in all else.
        draws: The draws that both have.
        differences: One a draw, in the metric's units.
        interval: Of the mean difference, 95 %; None where there are too few draws to find anything.
        over_pictures: Whether the interval counts the chance of the test pictures too.
        p: Of the sign-flip test; None for arms of which nothing is claimed.
        adjusted: The same by Holm, over the arms that are compared.
        resolved: The effect that so many draws would find; None where they find none.
        verdict: In two or three words.
    """

    arm: str
    other: str
    draws: tuple[int, ...]
    differences: tuple[float, ...]
    interval: tuple[float, float] | None
    over_pictures: bool
    p: float | None = None
    adjusted: float | None = None
    resolved: float | None = None
    verdict: str = REFERENCE

    @property
    def mean(self) -> float | None:
        """The mean difference."""
        return float(np.mean(self.differences)) if self.differences else None


@dataclass(frozen=True)
class Study:
    """A study as far as it has come; see ``run_study`` and ``read_study``.

    Attributes:
        name: What it is called.
        header: The settings, as the results file has them.
        arms: What the runs of each arm gave: baselines first, references last, and otherwise in the order in which the
            configuration has them.
        failed: The rows of the runs that have failed.
        planned: How many runs the study has.
        unused: The rows of finished runs of these arms and draws that were made with other settings.
    """

    name: str
    header: Mapping[str, Any]
    arms: tuple[ArmResult, ...]
    failed: tuple[Mapping[str, Any], ...]
    planned: int
    unused: tuple[Mapping[str, Any], ...] = ()

    @property
    def finished(self) -> int:
        """How many runs are finished."""
        return sum(len(arm.test) for arm in self.arms)

    def arm(self, name: str) -> ArmResult:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def scale(self) -> float:
        """What values are multiplied with to be shown."""
        given = self.header["metric"]["scale"]
        values = [value for arm in self.arms for value in arm.test.values()]
        return given or (100.0 if all(-1 <= value <= 1 for value in values) else 1.0)

    @property
    def unit(self) -> str:
        """What a difference is counted in."""
        return "points" if self.scale == 100 else ""

    @property
    def baseline(self) -> ArmResult | None:
        """The best baseline, by validation pictures alone; None as long as they have no draw in common."""
        baselines = [arm for arm in self.arms if arm.baseline]
        if len(baselines) == 1:
            return baselines[0] if baselines[0].test else None
        shared = set.intersection(*(set(arm.val) for arm in baselines)) if baselines else set()
        if not shared:
            return None
        sign = self._sign
        return max(baselines, key=lambda arm: sign * float(np.mean([arm.val[draw] for draw in shared])))

    @property
    def _baselines_are_finished(self) -> bool:
        return all(len(arm.test) == self.header["draws"] for arm in self.arms if arm.baseline)

    @property
    def _sign(self) -> int:
        return 1 if self.header["metric"]["better"] == HIGHER else -1

    @property
    def compared(self) -> list[str]:
        """The arms of which something may be claimed: neither baselines nor with other pictures."""
        return [arm.name for arm in self.arms if not arm.baseline and not arm.reference]

    def comparisons(self) -> list[Comparison]:
        """Every arm but the best baseline against a baseline; empty as long as none is the best."""
        best = self.baseline
        if best is None:
            return []
        family = self.compared
        found = [self._compare(arm, self._other(arm, best)) for arm in self.arms if arm.name != best.name]
        tested = [one for one in found if one.arm in family and one.differences]
        # Arms that have no run yet belong to the family: what is claimed now must hold when they have.
        values = [significance.sign_flip(one.differences) for one in tested]
        adjusted = significance.holm([*values, *[1.0] * (len(family) - len(values))])
        judged = {
            one.arm: self._judged(one, value, holm, len(family))
            for one, value, holm in zip(tested, values, adjusted, strict=False)
        }
        return [judged.get(one.arm, one) for one in found]

    def compare(self, arm: str, other: str) -> Comparison:
        """An arm against any other, draw by draw; nothing is tested or claimed.

        Args:
            arm: Its name.
            other: The other's.
        """
        return self._compare(self.arm(arm), self.arm(other))

    def _other(self, arm: ArmResult, best: ArmResult) -> ArmResult:
        """What an arm is compared with: more pictures than the best baseline's, with less done to them, say nothing."""
        if not arm.reference:
            return best
        alike = [one for one in self.arms if one.baseline and _manner(one) == _manner(arm)]
        return alike[0] if alike and best not in alike else best

    def _compare(self, arm: ArmResult, best: ArmResult) -> Comparison:
        draws = tuple(sorted(set(arm.test) & set(best.test)))
        differences = tuple(self._sign * (arm.test[draw] - best.test[draw]) for draw in draws)
        known = bool(draws) and all(draw in arm.resampled and draw in best.resampled for draw in draws)
        known = known and len(arm.pictures | best.pictures) == 1
        resampled = None
        if known:
            pairs = [(arm.resampled[draw], best.resampled[draw]) for draw in draws]
            resampled = np.array([self._sign * (np.array(mine) - np.array(theirs)) for mine, theirs in pairs])
        # Fewer can find nothing, and their interval would look as if they had.
        enough = len(draws) >= significance.draws_needed(max(1, len(self.compared)))
        interval = significance.interval(differences, resampled) if enough else None
        return Comparison(arm.name, best.name, draws, differences, interval, known and enough)

    def _judged(self, one: Comparison, value: float, adjusted: float, family: int) -> Comparison:
        verdict = NOT_TOLD
        if len(one.draws) < significance.draws_needed(family):
            verdict = TOO_FEW
        elif len(one.draws) < self.header["draws"] or not self._baselines_are_finished:
            # Who stops at a claim, or goes on without the trainings that failed, makes more than chance allows.
            verdict = UNFINISHED
        elif self.arm(one.arm).repeats and self.arm(one.other).repeats:
            # One training that was counted several times.
            verdict = REPEATED
        elif adjusted <= significance.ALPHA:
            verdict = BETTER if sum(one.differences) > 0 else WORSE
        resolved = significance.resolved(one.differences, family)
        return replace(one, p=value, adjusted=adjusted, resolved=resolved, verdict=verdict)

    def words(self) -> list[str]:
        """What can be said, in sentences, most important first."""
        from inpaint_transform.tools.study import words

        return words.of(self)

    def table(self, markdown: bool = False) -> str:
        """The arms in a table of text.

        Args:
            markdown: Whether it is for a README rather than a terminal.
        """
        from inpaint_transform.tools.study import table

        return table.draw(self, markdown)

    def plot(self, out: Path) -> None:
        """Draw the differences to a PNG or SVG file; needs matplotlib.

        Args:
            out: The file.
        """
        from inpaint_transform.tools.study import plot

        plot.draw(self, out)

    def page(self, out: Path) -> None:
        """Write the page, which holds all of it and opens without network.

        Args:
            out: The HTML file.
        """
        from inpaint_transform.tools.study import page

        page.write(self, out)


def read_study(path: str | Path) -> Study:
    """Read a results file; nothing is trained, and neither configuration nor data set are needed.

    Args:
        path: ``results.jsonl``, or the folder that holds it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It holds something else, or no study yet.
    """
    path = Path(path)
    path = path / rows.NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no results of a study")
    return study_of(*rows.read(path), path)


def study_of(header: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]], path: Path) -> Study:
    """The study that a header and rows tell of.

    Args:
        header: What the study was when it was last started.
        runs: Rows by digest.
        path: The results file, for messages.

    Raises:
        ValueError: There is no header.
    """
    if not header:
        raise ValueError(f"{path}: it holds no study yet; start one with inpaint-transform study")
    arms, failed = [], []
    for settings in header["arms"]:
        listed = [(draw, runs[key]) for draw, key in enumerate(header["runs"][settings["name"]]) if key in runs]
        kept = {draw: row for draw, row in listed if _usable(row, header["metric"])}
        failed += [row for draw, row in listed if draw not in kept]
        arms.append(_arm(settings, kept, header))
    planned = sum(len(listed) for listed in header["runs"].values())
    arms.sort(key=lambda arm: (not arm.baseline, arm.reference))
    return Study(header["name"], header, tuple(arms), tuple(failed), planned, tuple(_unused(header, runs)))


def _unused(header: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Finished runs of the study's arms and draws whose command, transform or files were others."""
    used = {digest for listed in header["runs"].values() for digest in listed}
    sizes = {arm["name"]: arm["n"] for arm in header["arms"]}
    for digest, row in runs.items():
        if digest in used or row["status"] != rows.DONE or row["arm"] not in sizes:
            continue
        # More or fewer draws, other seeds and other pictures are told as a change of the plan.
        planned = header["seed"] + row["draw"], sizes[row["arm"]]
        if row["draw"] < header["draws"] and (row["seed"], row["n"]) == planned:
            yield row


def _manner(arm: ArmResult) -> dict[str, Any]:
    """What is done to pictures, however many there are."""
    return {key: value for key, value in arm.settings.items() if key not in ("name", "baseline", "n")}


def _usable(row: Mapping[str, Any], metric: Mapping[str, Any]) -> bool:
    return row["status"] == rows.DONE and metric["test"] in row["metrics"]


def _arm(settings: Mapping[str, Any], kept: Mapping[int, Mapping[str, Any]], header: Mapping[str, Any]) -> ArmResult:
    metric = header["metric"]
    again = {draw: row["resampled"] for draw, row in kept.items() if row.get("resampled")}
    return ArmResult(
        name=settings["name"],
        baseline=settings["baseline"],
        reference=settings["n"] != header["n"],
        settings=settings,
        test={draw: row["metrics"][metric["test"]] for draw, row in kept.items()},
        val={draw: row["metrics"][metric["val"]] for draw, row in kept.items() if metric["val"] in row["metrics"]},
        # Of another metric, if the configuration has changed since.
        resampled={draw: one["values"] for draw, one in again.items() if one["metric"] == metric["test"]},
        pictures=frozenset(one["pictures"] for one in again.values()),
    )
