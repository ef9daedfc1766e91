"""The card beside the weights: what they were made of, with what, and how well they did."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from inpaint_transform.fit.bases import CARD
from inpaint_transform.fit.pictures import Sample, content, count_labels, digest

VERSIONS = ("inpaint-transform", "torch", "diffusers", "transformers", "peft")
NO_LICENCE = "not stated"


def make(
    base: str,
    whole: bool,
    size: int,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    licence: str | None,
    command: str,
    plan: dict[str, Any],
    learnt: Collection[str] = (),
) -> dict[str, Any]:
    """What is known before training.

    Args:
        base: What was trained.
        whole: Whether all of its weights were.
        size: Side of the working crop in pixels.
        train: The pictures trained on.
        held_out: Those kept apart.
        licence: Of the pictures, as the user states it.
        command: How to do it again.
        plan: Steps, batch, seed and the like.
        learnt: Digests of the pictures that the base was made of.
    """
    return {
        "base": base,
        "weights": "all" if whole else "LoRA",
        "size": size,
        "data": {
            "digest": digest([*train, *held_out]),
            "licence": licence or NO_LICENCE,
            "train": {"pictures": len(train), "boxes": count_labels(train)},
            "held_out": {"pictures": len(held_out), "boxes": count_labels(held_out)},
        },
        # Of what was learnt from: who goes on from here must not call it unseen.
        "pictures": sorted({*learnt, *map(content, train)}),
        "command": command,
        "plan": plan,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in VERSIONS}},
    }


def finish(
    card: dict[str, Any],
    steps: dict[str, Any],
    seconds: float,
    said: Sequence[str],
    paints: dict[str, Any],
    numbers: dict[str, Any] | None,
) -> dict[str, Any]:
    """The card with what came of it.

    Args:
        card: What ``make`` gave.
        steps: Steps and losses of each stage.
        seconds: How long it took.
        said: Warnings.
        paints: Fields of a ``ModelSpec`` with which it paints best, beside its size.
        numbers: Measurements, if there are any.
    """
    return {
        **card,
        "date": datetime.date.today().isoformat(),
        "training": steps,
        "seconds": round(seconds),
        "warnings": list(said),
        "paints": paints,
        "evaluation": numbers,
    }


def write(card: dict[str, Any], folder: Path) -> None:
    """Write the card as JSON, and as a page of Markdown for people."""
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    data = card["data"]
    boxes = ", ".join(f"{label} {count}" for label, count in data["train"]["boxes"].items())
    paints = ", ".join(f"{name}={value:g}" for name, value in card["paints"].items())
    use = (
        f'ModelSpec("{folder.name}", size={card["size"]}, {paints})'
        if card["weights"] == "all"
        else f'ModelSpec("{card["base"]}", lora="{folder.name}", size={card["size"]})'
    )
    stages = ", ".join(f"{name} {stage['steps']} steps" for name, stage in card["training"].items())
    lines = [
        f"# {folder.name}",
        "",
        f"Paints {', '.join(data['train']['boxes'])}; {'all weights of' if card['weights'] == 'all' else 'a LoRA for'} "
        f"`{card['base']}`, made by `inpaint-transform fit`. Use: `{use}`.",
        "",
        f"- Data: {data['train']['pictures']} pictures ({boxes}), {data['held_out']['pictures']} held out; "
        f"digest `{data['digest']}`; licence: {data['licence']}.",
        f"- Command: `{card['command']}`",
        f"- Trained: {stages}, {card['seconds'] / 60:.0f} minutes, {card['date']}.",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in card['versions'].items())}.",
        *(f"- Warning: {sentence}." for sentence in card["warnings"]),
        "",
        "Numbers: `fit.json`; pictures: `page.html`." if card["evaluation"] else "Not evaluated.",
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
