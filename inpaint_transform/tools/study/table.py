"""The table of a study, as text for a terminal or as Markdown for a README."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inpaint_transform.tools.study.words import number

if TYPE_CHECKING:
    from inpaint_transform.tools.study.result import Study

HEADS = ("arm", "draws", "{metric}", "over best baseline", "95 % interval", "p", "verdict")


def rows(study: Study) -> list[list[str]]:
    """The head and a row for each arm, in words."""
    best, found = study.baseline, {one.arm: one for one in study.comparisons()}
    lines = [[head.format(metric=study.header["metric"]["test"]) for head in HEADS]]
    for arm in study.arms:
        mean = "-" if arm.mean is None else number(study, arm.mean)
        one = found.get(arm.name)
        if one is None or one.mean is None:
            verdict = "best baseline" if best is not None and arm.name == best.name else "no result yet"
            lines.append([arm.name, str(len(arm.test)), mean, "", "", "", verdict])
            continue
        low, high = one.interval or (None, None)
        between = "" if low is None or high is None else f"{number(study, low, True)} to {number(study, high, True)}"
        p = "" if one.adjusted is None else f"{one.adjusted:.2g}"
        verdict = "baseline" if arm.baseline else one.verdict
        if one.other != getattr(best, "name", None):
            verdict += f", over {one.other}"
        lines.append([arm.name, str(len(one.draws)), mean, number(study, one.mean, True), between, p, verdict])
    return lines


def draw(study: Study, markdown: bool = False) -> str:
    """The table, without a line break at its end."""
    lines = rows(study)
    if markdown:
        rule = ["---", *["---:"] * (len(HEADS) - 2), "---"]
        return "\n".join(
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
            for line in [lines[0], rule, *lines[1:]]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    texts = []
    for line in lines:
        cells = [
            cell.ljust(width) if column in (0, len(HEADS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)
