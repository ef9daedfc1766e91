"""What is in a pool, added up by class, in words and as a page or a sheet of pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from inpaint_transform.core import blend
from inpaint_transform.reports import drawing
from inpaint_transform.reports import page as pages
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.view import View


@dataclass
class OfClass:
    """The looks of one class.

    Attributes:
        accepted: How many go into images.
        rejected: How many do not.
        reasons: Why not.
        shown: Some of the pictures, each with its prompt.
    """

    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[np.ndarray, str]] = field(default_factory=list)


@dataclass
class Summary:
    """A pool.

    Attributes:
        folder: Where it is.
        classes: Its looks by what they show.
        objects: How many objects have looks.
        uses: How often looks that serve were used.
        total_bytes: What they take.
        waiting: How many results nobody has judged yet.
        settings: With which settings it was filled, in words.
    """

    folder: Path
    classes: dict[str, OfClass] = field(default_factory=dict)
    objects: int = 0
    uses: int = 0
    total_bytes: int = 0
    waiting: int = 0
    settings: list[str] = field(default_factory=list)


def read(folder: Path, limit: int) -> Summary:
    """Read a pool, which may be in use.

    Args:
        folder: Its folder.
        limit: Most pictures of a class to keep.

    Raises:
        InpaintError: There is none, or it is damaged.
    """
    store = keeper_of(folder, 0, True, 1).store
    summary = Summary(folder)
    with store.reading() as transaction:
        contents = Contents(transaction, store.dbs)
        for kept in View(contents).looks():
            found = summary.classes.setdefault(str(kept.label), OfClass())
            if not kept.accepted:
                found.rejected += 1
                found.reasons[str(kept.reason)] += 1
                continue
            found.accepted += 1
            if len(found.shown) < limit and kept.pixels is not None:
                found.shown.append((blend.to_rgb8(np.array(kept.pixels)), kept.prompt))
        slots = [slot for _, slot in contents.slots()]
        summary.objects = len({slot.content for slot in slots})
        summary.uses = sum(slot.uses for slot in slots)
        summary.total_bytes = contents.total_bytes
        keys = [key for key, _ in contents.states()]
        summary.waiting = sum(len(key) != len(slots[0].look) for key in keys) if slots else len(keys)
        summary.settings = list(contents.settings().values())
    return summary


def words(summary: Summary) -> Iterator[str]:
    """The pool in lines of text."""
    looks = sum(found.accepted + found.rejected for found in summary.classes.values())
    size = summary.total_bytes / 1e6
    yield f"{looks} looks of {summary.objects} objects, {summary.uses} uses since each was painted, {size:.4g} MB"
    if summary.waiting:
        yield f"{summary.waiting} were painted and are not judged yet"
    for label, found in sorted(summary.classes.items()):
        why = ", ".join(f"{count} {reason}" for reason, count in found.reasons.most_common())
        yield f"  {label}: {found.accepted} accepted, {found.rejected} rejected{f' ({why})' if why else ''}"
    for text in summary.settings:
        values = json.loads(text)
        yield f"filled by {values['model'].get('id')}" + (f", gate {values['gate']}" if values["gate"] else "")


def write(summary: Summary, out: Path) -> None:
    """Write the page, or the sheet of pictures where ``out`` ends in .png."""
    if out.suffix.lower() == ".png":
        rows = [
            [drawing.Tile(pixels, f"{label}: {prompt}") for pixels, prompt in found.shown[:8]]
            for label, found in sorted(summary.classes.items())
            if found.shown
        ]
        if not rows:
            raise ValueError(f"{summary.folder} has no accepted look to show; write a page (.html) instead")
        Image.fromarray(drawing.contact_sheet(rows)).save(out)
        return
    classes = [
        {
            "name": label,
            "accepted": found.accepted,
            "rejected": found.rejected,
            "reasons": ", ".join(f"{count} {reason}" for reason, count in found.reasons.most_common()),
            "pictures": [{"src": pages.data_uri(pixels), "prompt": prompt} for pixels, prompt in found.shown],
        }
        for label, found in sorted(summary.classes.items())
    ]
    lines = [line for line in words(summary) if not line.startswith("  ")]
    pages.write(pages.render("pool", title=f"Pool {summary.folder.resolve().name}", lines=lines, classes=classes), out)
