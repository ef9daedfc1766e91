"""The parts of the study, each a configuration of ``inpaint_transform.study``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.study import bank, program, sets
from benchmarks.study.train import CACHE, DATA, MODEL

# What costs nothing to have: the best of these, by the validation part, is what the others are measured against.
FREE: Mapping[str, str] = {
    "nothing": "--classical none",
    "weak": "--classical weak",
    "strong": "",
    "repeat-factor": "--repeat-factor",
    "copy-paste": "--paint paste",
    "copy-paste-new": "--paint insert",
}
IDENTITY: Mapping[str, str] = {"identity": "--paint identity"}
OURS: Mapping[str, str] = {
    "ours": "--paint prior",
    "ours-gated": "--paint prior --gate",
    "ours-gated-balanced": "--paint prior --gate --balance",
    "ours-gated-repeat": "--paint prior --gate --repeat-factor",
}
CLOSED: Mapping[str, str] = {
    "closed-identity": "--paint closed-identity",
    "closed": "--paint closed",
    "closed-gated": "--paint closed --gate",
    "closed-gated-balanced": "--paint closed --gate --balance",
}
# So many paintings of a box that hardly any is seen twice: a box is painted about 180 times in a run with 20 pictures.
FRESH = 60
REUSE: Mapping[str, str] = {
    "variants-1": f"{OURS['ours-gated']} --looks 1",
    "variants-3": f"{OURS['ours-gated']} --looks 3",
    # As many as all other parts have, so their paintings and trainings count here too.
    "variants-6": OURS["ours-gated"],
    "variants-3-echo-3": f"{OURS['ours-gated']} --variants {FRESH} --looks 3 --echo 3",
    "variants-3-echo-10": f"{OURS['ours-gated']} --variants {FRESH} --looks 3 --echo 10",
    "fresh": f"{OURS['ours-gated']} --variants {FRESH}",
}
REALISM: Mapping[str, str] = {
    **{f"steps-{steps}": f"--paint prior --steps {steps} --measure" for steps in (2, 4, 12, 25)},
    **{f"steps-{steps}-matched": f"--paint prior --steps {steps} --matched --measure" for steps in (2, 12)},
    "steps-12-scrambled": "--paint prior --steps 12 --words scrambled --measure",
    "identity": "--paint identity --measure",
    "copy-paste": "--paint paste --measure",
}


# Which arms are told apart besides from the best baseline: an arm, and the one that lacks what is asked about.
PAIRS = (
    ("weak", "nothing"),
    ("strong", "weak"),
    ("identity", "strong"),
    ("ours-gated", "strong"),
    ("ours-gated", "identity"),
    ("ours-gated", "ours"),
    ("ours-gated", "copy-paste"),
    ("ours-gated-balanced", "strong"),
    ("ours-gated-balanced", "identity"),
    ("ours-gated-balanced", "ours-gated"),
    ("ours-gated-repeat", "repeat-factor"),
    ("closed-gated", "strong"),
    ("closed-gated", "closed-identity"),
    ("closed-gated-balanced", "closed-gated"),
    ("variants-3", "variants-1"),
    ("variants-6", "variants-3"),
    ("variants-6", "variants-1"),
    ("fresh", "variants-6"),
    ("variants-3-echo-3", "variants-3"),
    ("variants-3-echo-10", "variants-3"),
    ("steps-12", "steps-2"),
    ("steps-4", "steps-2"),
    ("steps-12", "steps-4"),
    ("steps-25", "steps-12"),
    ("steps-2-matched", "steps-2"),
    ("steps-12-matched", "steps-12"),
    ("steps-12", "steps-12-scrambled"),
)


@dataclass(frozen=True)
class Part:
    """One table of the study.

    Attributes:
        dataset: Name of the set.
        baselines: Free arms.
        arms: The others.
        n: Pictures of a draw, 0 for all, in as many studies.
        detector: Which.
        iterations: Steps of a training.
        oracle: Whether more real pictures are an arm: half as many and as many again.
        draws: How many.
    """

    dataset: str
    baselines: Mapping[str, str]
    arms: Mapping[str, str]
    n: tuple[int, ...] = (20,)
    detector: str = "scratch"
    iterations: int = 1500
    oracle: bool = True
    draws: int = 10


MAIN_N = (20, 10, 40, 0)
STRONG = {"strong": ""}
PARTS: Mapping[str, Part] = {
    "main_bccd": Part("bccd", FREE, {**IDENTITY, **OURS}, MAIN_N),
    "main_cones": Part("cones_cubes", FREE, {**IDENTITY, **OURS}, MAIN_N),
    "closed": Part("bccd", FREE, CLOSED),
    "reuse": Part("bccd", STRONG, REUSE, oracle=False),
    "realism": Part("bccd", STRONG, REALISM, oracle=False),
    "second_detector": Part("bccd", FREE, {**IDENTITY, **OURS}, detector="lite0", iterations=1000),
}
# The whole path with hardly any painting and training, on a drawn set.
QUICK = Part(
    "drawn",
    {name: FREE[name] for name in ("strong", "copy-paste-new")},
    {**IDENTITY, "ours-gated-balanced": OURS["ours-gated-balanced"], "closed": CLOSED["closed"]},
    n=(6,),
    iterations=4,
    draws=1,
)
QUICK_OPTIONS = "--batch 2 --variants 1 --steps 2 --fit-steps 2 2 2"


@dataclass(frozen=True)
class Settings:
    """What a run of a part may be told.

    Attributes:
        data: Folder of the sets.
        out: Folder for results, banks and runs.
        draws: How many; None for the part's.
        arms: Only these; None for all.
        n: Only these numbers of pictures; None for the part's.
        devices: One training at a time for each.
        options: Further options of each training.
        model: The prior.
    """

    data: Path
    out: Path
    draws: int | None = None
    arms: Sequence[str] | None = None
    n: Sequence[int] | None = None
    devices: Sequence[str] = ("cpu",)
    options: str = ""
    model: str = "tiny"


def oracle(n: int) -> dict[str, int]:
    """Arms with more real pictures, half as many and as many again: how many they have."""
    return {f"real-{extra}-more": n + extra for extra in (n // 2, n) if extra}


def studies(name: str, part: Part, settings: Settings) -> list[dict[str, Any]]:
    """The configurations of a part, one for each number of pictures.

    Raises:
        ValueError: The part has no such arm, or the study does not know its set.
    """
    root = settings.data / part.dataset
    truth = settings.out / f"truth-{part.dataset}.json"
    truth.parent.mkdir(parents=True, exist_ok=True)
    truth.write_text(json.dumps(sets.truth(root, sets.load(root).test)), "utf-8")
    return [_study(name, part, n, settings, truth) for n in settings.n or part.n]


def _study(name: str, part: Part, n: int, settings: Settings, truth: Path) -> dict[str, Any]:
    more = oracle(n) if part.oracle else {}
    every = {**part.baselines, **part.arms, **dict.fromkeys(more, "")}
    unknown = [arm for arm in settings.arms or () if arm not in every]
    if unknown:
        raise ValueError(f"{unknown[0]!r}: {name} with n={n} has the arms {', '.join(every)}")
    called = f"{name}-{n or 'all'}"
    # Where things lie is no part of a result: the environment tells it, see ``train``.
    command = (
        f"{{python}} -m benchmarks.study.train --set {part.dataset} --n {n or 'all'} --pictures {{n}} --draw {{draw}} "
        f"--seed {{seed}} --out {{out}} --device {{device}} --detector {part.detector} --iterations {part.iterations} "
        f"{settings.options} {{args}}"
    )
    weights = bank.digest_of_weights(settings.model)
    arms: dict[str, dict[str, Any]] = {}
    for arm, args in every.items():
        if settings.arms is None or arm in settings.arms:
            by_prior = any(f"--paint {kind}" in args for kind in ("prior", "identity"))
            said = f"{args} --weights {weights}" if by_prior else args
            arms[arm] = {"baseline": arm in part.baselines, "args": said, "n": more.get(arm)}
    # Arms share their paintings, which take minutes: one begins with them while other devices train what needs none.
    paints = [arm for arm in arms if arm in part.arms and "identity" not in arm]
    arms = {arm: arms[arm] for arm in [*paints[:1], *(arm for arm in arms if arm not in paints[:1])]}
    return {
        "name": called,
        "out": str(settings.out / called),
        "command": " ".join(command.split()),
        "metric": {
            "test": "test.map",
            "val": "val.map",
            "images": "{out}/detections.json",
            "ground_truth": str(truth),
        },
        "n": n or "all",
        "depends": [str(file) for file in (settings.data / part.dataset / "coco.json", *program.FILES)],
        "draws": settings.draws or part.draws,
        "devices": list(settings.devices),
        "arms": arms,
    }


def environment(settings: Settings) -> dict[str, str]:
    """Where a training finds data, banks and prior."""
    return {
        DATA: str(settings.data.resolve()),
        CACHE: str((settings.out / "banks").resolve()),
        MODEL: settings.model,
    }
