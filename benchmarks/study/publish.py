"""Put results into the repository: ``python -m benchmarks.study.publish [OUT]``.

The rows of all finished trainings of OUT go to ``benchmarks/results/study``. From there the numbers are written between
the marks of this folder's ``README.md``, and those of one study into the project's. Without OUT only the latter.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.parts import PAIRS, PARTS, oracle
from inpaint_transform.study import Study, read_study
from inpaint_transform.tools.study import rows as results_file
from inpaint_transform.tools.study import significance, words
from inpaint_transform.tools.study.result import Comparison

README = Path(__file__).parent / "README.md"
FIRST_PAGE = README.parents[2] / "README.md"
# What the first page tells of.
HEADLINE = "main_bccd-20"
RESULTS = Path(__file__).parent.parent / "results" / "study"
# Of fewer draws nothing is told in pictures: it is chance.
MIN_DRAWS = significance.draws_needed()
# Of fewer arms a picture of one number against another shows a line through two points.
MIN_TOLD = 3
# What the first page asks of all parts: is it worth doing at all? Files, what they are about, and the arms.
FIRST_PARTS = {
    "main_bccd-10": "10 pictures of blood cells",
    "main_bccd-20": "20",
    "main_bccd-40": "40",
    "second_detector-10": "10, on a pretrained backbone",
    "closed-10": "10, painter fitted on these 10 alone",
    "main_cones-20": "20 pictures of cones and cubes",
}
BASELINE, PASTED, PAINTED = "strong", "copy-paste-new", ("ours-gated", "closed-gated")
# What nobody sees in a table of the arms.
FIRST_SAID = (
    "{metric} is COCO's mAP50-95, in points of a hundred, on the set's validation and test pictures. The painter was "
    "trained on all training pictures of the set, and which of its averages counts was chosen by its loss on the set's "
    "val pictures, which are part of the test; the detector was trained on {n} of them. What painting adds may be "
    "knowledge of those pictures."
)
MARKS = "<!-- numbers: written by benchmarks.study.publish -->", "<!-- end of the numbers -->"


def collect(out: Path, results: Path) -> list[Path]:
    """Copy the rows of finished trainings, those of other settings too, and what the study was.

    Args:
        out: Folder of the studies.
        results: Folder of the repository.

    Returns:
        The files that were written.
    """
    results.mkdir(parents=True, exist_ok=True)
    written = []
    for file in sorted(out.glob("*/results.jsonl")):
        header, rows = results_file.read(file)
        kept = [_plain(row) for row in rows.values() if row["status"] == results_file.DONE or _is_used(header, row)]
        if not any(row["status"] == results_file.DONE for row in kept):
            continue
        target = results / f"{file.parent.name}.jsonl"
        lines = [json.dumps(line) for line in ({"study": header}, *kept)]
        target.write_text("\n".join(lines) + "\n", "utf-8")
        written.append(target)
        study = read_study(target)
        plot, told_plot = target.with_suffix(".png"), target.with_name(f"{target.stem}_told.png")
        # Those of other rows would stand beside these.
        plot.unlink(missing_ok=True)
        told_plot.unlink(missing_ok=True)
        if any(len(one.draws) >= MIN_DRAWS for one in study.comparisons()):
            study.plot(plot)
        told = _told(header, rows)
        if len(told) >= MIN_TOLD:
            _draw_told(told, told_plot)
    return written


def _told(header: Mapping[str, Any], rows: Mapping[str, dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Of each arm, how often its painted boxes are told from real ones, and the test metric; means over draws."""
    found = {}
    for arm in header["runs"]:
        own = list(of_arm(header, rows, arm).values())
        if own and all("told_apart" in row["metrics"] for row in own):
            found[arm] = (_mean(own, "told_apart"), _mean(own, "test.map"))
    return found


def _draw_told(told: Mapping[str, tuple[float, float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for arm, (apart, value) in told.items():
        axes.plot(100 * apart, 100 * value, "o", color="tab:blue")
        axes.annotate(arm, (100 * apart, 100 * value), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.margins(0.2)
    axes.set_xlabel("painted boxes told from real ones, % (50 is chance)")
    axes.set_ylabel("mAP50-95")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what a command has written, which may tell of the machine."""
    return {key: value for key, value in row.items() if key != "tail"}


def _is_used(header: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return any(row["run"] in runs for runs in header["runs"].values())


def numbers(results: Path) -> str:
    """What the result files say, as Markdown."""
    order = [f"{name}-{n or 'all'}" for name, part in PARTS.items() for n in part.n]
    files = sorted(
        results.glob("*.jsonl"), key=lambda file: (order.index(file.stem) if file.stem in order else 99, file)
    )
    if not files:
        return "Nothing was run yet.\n"
    return "\n\n".join(_section(file) for file in files) + "\n"


def _section(file: Path) -> str:
    study = read_study(file)
    header, rows = results_file.read(file)
    done = f"{study.finished} of {study.planned} runs"
    if study.finished < study.planned:
        done = f"**Partial: {done}; read nothing into the order of the arms**"
    parts = [
        f"### {header['name']}",
        f"{done}. Draws planned: {header['draws']}; pictures of each: {header['n'] or 'all'}.",
        study.table(markdown=True),
        " ".join(study.words()),
        _left_out(header),
        _details(study, header, rows),
        _worth(study),
        _pairs(study),
    ]
    if file.with_suffix(".png").exists():
        parts.append(f"![Differences to the best baseline](../results/study/{file.stem}.png)")
    told = file.with_name(f"{file.stem}_told.png")
    if told.exists():
        parts.append(f"![mAP against how well painted boxes are told from real ones](../results/study/{told.name})")
    return "\n\n".join(filter(None, parts))


def _left_out(header: Mapping[str, Any]) -> str:
    """Which arms of a part were not run."""
    part = PARTS.get(str(header["name"]).rpartition("-")[0])
    if part is None:
        return ""
    run = {arm["name"] for arm in header["arms"]}
    more = oracle(header["n"]) if part.oracle and header["n"] else {}
    missing = [arm for arm in (*part.baselines, *part.arms, *more) if arm not in run]
    return f"Arms of this part that were not run: {', '.join(missing)}." if missing else ""


def headline(results: Path) -> str:
    """What the first page says of one study, as Markdown: its table, what can be concluded, and its plot.

    Of few draws, or without an arm that is compared, there is no table: it would be read.
    """
    file = results / f"{HEADLINE}.jsonl"
    if not file.exists():
        return "Nothing was run yet.\n"
    study = read_study(file)
    compared = [one for one in study.comparisons() if one.arm in study.compared]
    if not any(len(one.draws) >= MIN_DRAWS for one in compared):
        return f"Not known yet: {study.finished} trainings are done, too few to say anything.\n"
    parts = [
        FIRST_SAID.format(metric=study.header["metric"]["test"], n=study.header["n"]),
        study.table(markdown=True),
        " ".join(study.words()),
    ]
    if file.with_suffix(".png").exists():
        parts.append(f"![Differences to the best baseline](benchmarks/results/study/{HEADLINE}.png)")
    return "\n\n".join(filter(None, [*parts, _overview(results)])) + "\n"


def _overview(results: Path) -> str:
    """What pasting and painting gave over the usual augmentation, in all parts."""
    lines = [
        "| the detector learnt from | draws | real objects pasted | repainted, gated |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, about in FIRST_PARTS.items():
        file = results / f"{name}.jsonl"
        if not file.exists():
            continue
        study = read_study(file)
        # Nothing is claimed of a part before all of it is there.
        if study.finished < study.planned:
            continue
        gains = [
            next(filter(None, (_gain(study, arm, BASELINE) for arm in arms)), None) for arms in ((PASTED,), PAINTED)
        ]
        if not any(gains):
            continue
        cells = [_gained(study, gain) for gain in gains]
        draws = max(len(gain[0].draws) for gain in gains if gain)
        lines.append(f"| {about} | {draws} | {' | '.join(cells)} |")
    if len(lines) == 2:
        return ""
    return "\n".join([f"What is gained over `{BASELINE}`, with 95 % intervals, in all parts that ask it:", "", *lines])


def _gained(study: Study, gain: tuple[Comparison, tuple[float, float]] | None) -> str:
    if gain is None:
        return ""
    mean, low, high = _ends(study, *gain)
    return f"{mean} ({low} to {high})"


def _ends(study: Study, gain: Comparison, between: tuple[float, float]) -> tuple[str, str, str]:
    """A gain and the ends of its interval, in words."""
    mean, low, high = (words.number(study, value, signed=True) for value in (np.mean(gain.differences), *between))
    return mean, low, high


def of_arm(header: Mapping[str, Any], rows: Mapping[str, dict[str, Any]], arm: str) -> dict[int, dict[str, Any]]:
    """The rows of an arm's finished trainings by draw."""
    found = {draw: rows[run] for draw, run in enumerate(header["runs"][arm]) if run in rows}
    return {draw: row for draw, row in found.items() if row["status"] == results_file.DONE}


def _details(study: Study, header: Mapping[str, Any], rows: Mapping[str, dict[str, Any]]) -> str:
    """Means over the draws that an arm has."""
    keys = sorted({key for row in rows.values() for key in row.get("metrics", ())})
    classes = [key for key in keys if key.startswith("test.by_class.")]
    shown = ["test.map50", "test.map75", *classes]
    told = "told_apart" in keys
    heads = ["mAP50", "mAP75", *(f"AP {key.removeprefix('test.by_class.')}" for key in classes)]
    tail = ["boxes changed a picture", "of these", "minutes a run", *(["told from real ones"] if told else [])]
    lines = [["arm", *heads, *tail]]
    for arm in (one.name for one in study.arms):
        found = list(of_arm(header, rows, arm).values())
        if not found:
            continue
        means = [f"{100 * _mean(found, key):.1f}" for key in shown]
        # One that was paused, or had to paint first, says little of the others.
        minutes = np.median([row["seconds"] for row in found]) / 60
        line = [arm, *means, f"{_mean(found, 'changed'):.2f}", _by_class(found), f"{minutes:.1f}"]
        if told:
            line.append(f"{100 * _mean(found, 'told_apart'):.0f} %" if "told_apart" in found[0]["metrics"] else "")
        lines.append(line)
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _gain(study: Study, name: str, other: str) -> tuple[Comparison, tuple[float, float]] | None:
    """What an arm has over another, and its interval; None where either is not there, or draws are too few."""
    if not {name, other} <= {arm.name for arm in study.arms}:
        return None
    found = study.compare(name, other)
    return None if found.interval is None else (found, found.interval)


def _pairs(study: Study) -> str:
    """The questions of the study that are no comparison with the best baseline: pairs of arms, on the draws of both."""
    found = [(name, other, gain) for name, other in PAIRS if (gain := _gain(study, name, other))]
    if not found:
        return ""
    lines = []
    adjusted = significance.holm([significance.sign_flip(gain.differences) for _, _, (gain, _) in found])
    chance = f"{significance.POWER:.0%}"
    for (name, other, (gain, between)), p in zip(found, adjusted, strict=True):
        mean, low, high = _ends(study, gain, between)
        effect = significance.resolved(gain.differences, len(found))
        power = "" if effect is None else words.number(study, effect)
        lines.append(f"| {name} | {other} | {len(gain.draws)} | {mean} | {low} to {high} | {p:.2g} | {power} |")
    head = f"| arm | over | draws | better by | 95 % interval | p | would be found in {chance} |\n"
    rule = "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    holm = f"; p after Holm over {len(found)} pairs" if len(found) > 1 else ""
    said = f"Besides the best baseline, in pairs that stand in the program{holm}:"
    return "\n".join([said, "", head + rule, *lines])


def _by_class(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many boxes of each class are changed in a picture; empty where none is."""
    means = {key: _mean(rows, key) for key in rows[0]["metrics"] if key.startswith("changed_by_class.")}
    shown = [f"{key.removeprefix('changed_by_class.')} {value:.2f}" for key, value in means.items()]
    return ", ".join(shown) if any(means.values()) else ""


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([row["metrics"][key] for row in rows]))


def _worth(study: Study) -> str:
    """How many more real pictures an arm's gain over ``strong`` is worth, between the numbers that were tried."""
    header = study.header
    oracles = {arm["name"]: arm["n"] - header["n"] for arm in header["arms"] if header["n"] and arm["n"] > header["n"]}
    gains = [
        (extra, float(np.mean(gain[0].differences)))
        for name, extra in oracles.items()
        if (gain := _gain(study, name, "strong"))
    ]
    steps = sorted([(0, 0.0), *gains])
    if len(steps) == 1:
        return ""
    if any(low >= high for (_, low), (_, high) in pairwise(steps)):
        return "More real pictures are not better than `strong` here, so no gain can be counted in them."
    said = []
    for arm in study.arms:
        found = None if arm.name in oracles else _gain(study, arm.name, "strong")
        # What may be no gain at all is worth no pictures.
        if found is not None and found[1][0] > 0:
            worth, low, high = (_pictures(end, steps) for end in (float(np.mean(found[0].differences)), *found[1]))
            said.append(f"{arm.name} {worth}" + (f" ({low} to {high})" if len({worth, low, high}) > 1 else ""))
    if not said:
        return "No arm's gain over `strong` is sure enough to be counted in real pictures."
    return f"Gains over `strong` in more real pictures, with straight lines between those tried: {'; '.join(said)}."


def _pictures(gain: float, steps: Sequence[tuple[int, float]]) -> str:
    """A gain in pictures."""
    if gain <= 0:
        return "none"
    for (few, low), (many, high) in pairwise(steps):
        if low <= gain <= high:
            return f"{few + (gain - low) / max(high - low, 1e-9) * (many - few):.0f}"
    return f"more than {steps[-1][0]}"


def fill(text: str, said: str) -> str:
    """A README with something else between its marks.

    Raises:
        ValueError: The marks are not there.
    """
    begin, end = MARKS
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"README: the numbers stand between {begin} and {end}, each once; put them in")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{said}\n{end}{rest.split(end)[1]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder of the studies")
    given = parser.parse_args(arguments)
    if given.out is not None:
        for file in collect(given.out, RESULTS):
            print(f"wrote {file}")
    for page, said in ((README, numbers(RESULTS)), (FIRST_PAGE, headline(RESULTS))):
        page.write_text(fill(page.read_text("utf-8"), said), "utf-8")
        print(f"wrote {page}")


if __name__ == "__main__":
    main()
