"""The page of a study: conclusions, table, plot, every value, and what failed."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inpaint_transform.reports import page as pages
from inpaint_transform.tools.study import plot, significance, table
from inpaint_transform.tools.study.words import number

if TYPE_CHECKING:
    from inpaint_transform.tools.study.result import ArmResult, Study


def write(study: Study, out: Path) -> None:
    """Write the page.

    Args:
        study: As far as it has come.
        out: The HTML file.
    """
    lines = table.rows(study)
    metric = study.header["metric"]
    draws = range(study.header["draws"])
    pages.write(
        pages.render(
            "study",
            title=f"Study {study.name}",
            words=study.words(),
            head=lines[0],
            rows=lines[1:],
            plot=_plot(study),
            metric=metric["test"],
            draws=draws,
            values=[(arm.name, [_value(study, arm, draw) for draw in draws]) for arm in study.arms],
            protocol=_protocol(study),
            settings=[(arm.name, _settings(arm)) for arm in study.arms],
            failed=[(row["arm"], row["draw"], row.get("reason", ""), row.get("tail", "")) for row in study.failed],
        ),
        out,
    )


def _value(study: Study, arm: ArmResult, draw: int) -> str:
    return number(study, arm.test[draw]) if draw in arm.test else ""


def _settings(arm: ArmResult) -> str:
    shown = {key: value for key, value in arm.settings.items() if key != "name" and value not in (None, False, "")}
    return ", ".join(key if value is True else f"{key}: {value}" for key, value in shown.items()) or "nothing"


def _protocol(study: Study) -> list[str]:
    header, family = study.header, len(study.compared)
    size = "all" if header["n"] is None else header["n"]
    pictures = "" if header["data"] is None and header["n"] is None else f" of {size} training pictures"
    drawn = "Initialisation and order" if header["n"] is None else "Pictures, initialisation and order"
    exact = f"exact up to {significance.MAX_EXACT} draws"
    return [
        f"{header['draws']} draws{pictures}, seeds from {header['seed']}. {drawn} are drawn together, the same for "
        f"all arms.",
        f"p: sign-flip test of the paired differences, two-sided, {exact}"
        f"{f', adjusted by Holm for {family} arms' if family > 1 else ''}; a claim is one at or below "
        f"{significance.ALPHA}.",
        "Intervals: bootstrap over draws, and over test pictures where the runs tell of each, widened for few draws.",
        f"Command: {header['command']}",
    ]


def _plot(study: Study) -> Any:
    if not plot.available():
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "plot.png"
        try:
            plot.draw(study, out)
        except ValueError:
            return None
        return f"data:image/png;base64,{base64.b64encode(out.read_bytes()).decode()}"
