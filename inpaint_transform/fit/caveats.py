"""What fit says honestly: where there is too little, too small or too much alike for a model to learn it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inpaint_transform.core.boxes import sides
from inpaint_transform.fit.pictures import MIN_SIDE, Sample, count_labels

# Of a class.
MIN_BOXES = 10
# In pixels of the shorter side: smaller objects are a few pixels in the working crop's source.
SMALL_SIDE = 32
# How well a reader must tell real boxes of a class apart for its paint to be judged by it.
MIN_READ = 0.9
# In dB, of the autoencoder on what is to be painted; JPEG pictures of everyday things come back with 25 and more.
MIN_PSNR = 22.0
# Of the share of real boxes that a reader recognises, and that a detector finds: what is painted worse is not learnt.
MIN_LEARNT = 0.75
# Who recognises or finds fewer real boxes than this says nothing of painted ones.
MIN_JUDGED = 0.5
# Painted boxes this much nearer to training boxes than unseen real ones are copies.
MIN_NEAREST = 0.5
MIN_DIVERSITY = 0.2


def before(
    train: Sequence[Sample], held_out: Sequence[Sample], new_words: Sequence[str], psnr: float, seen: int = 0
) -> list[str]:
    """What speaks against success before training, one sentence each.

    Args:
        train: The pictures to train on.
        held_out: Those kept apart.
        new_words: The words of the captions that the base does not know.
        psnr: Of the base's autoencoder on training crops, in dB; infinite for a base from nothing.
        seen: How many of the held-out pictures the base was made of.
    """
    said = []
    counts = count_labels(train)
    for label in sorted({label for sample in train for label in sample.labels}):
        boxes = [box for sample in train for box, own in zip(sample.boxes, sample.labels, strict=True) if own == label]
        shorter = float(np.median([min(sides(box)) for box in boxes]))
        if not counts.get(label):
            said.append(f"{label!r} has no box of {MIN_SIDE} pixels or more and is not learnt")
        elif counts[label] < MIN_BOXES:
            said.append(
                f"{label!r} has {counts[label]} boxes to train on; under {MIN_BOXES} it will be remembered, not learnt"
            )
        if shorter < SMALL_SIDE:
            said.append(
                f"boxes of {label!r} are {shorter:g} pixels small; under {SMALL_SIDE} there is no detail to learn"
            )
    unseen = count_labels(held_out)
    said += [
        f"{label!r} has no held-out box: nothing says how well it is learnt" for label in counts if label not in unseen
    ]
    if seen:
        said.append(
            f"the base was trained on {seen} of {len(held_out)} held-out pictures, so what is measured on them is too "
            f"good to be true; hold out others"
        )
    if psnr < MIN_PSNR:
        said.append(
            f"the base has never seen anything like it: its autoencoder gives these pictures back with {psnr:.1f} dB, "
            f"where {MIN_PSNR:g} are needed for detail; fit a base that knows such pictures"
        )
    if new_words:
        said.append(f"the base does not know the words {', '.join(new_words)}; they are learnt from these boxes alone")
    return said


def after(numbers: dict[str, Any]) -> list[str]:
    """What the evaluation speaks against, one sentence each; its numbers as ``evaluate`` gives them."""
    said = _not_learnt(numbers)
    if len(numbers["classes"]) == 1:
        said.append(
            "there is one class, so a reader has nothing to tell it from and read-back says nothing; what counts is "
            "the detector, and how well paint is told from real boxes"
        )
    alike = [label for label, share in numbers["read_back_with_blur"]["real_by_class"].items() if share < MIN_READ]
    if alike:
        said.append(
            f"classes look alike: a reader tells real unseen boxes of {', '.join(alike)} apart in under {MIN_READ:.0%}"
            f"; read-back says little of them"
        )
    found = numbers["detector"]["real_found"]
    if found is not None and found < MIN_JUDGED:
        said.append(f"a detector finds {found:.0%} of real unseen boxes; how many painted ones it finds says little")
    copied = [label for label, ratio in numbers["nearest"].items() if ratio is not None and ratio < MIN_NEAREST]
    if copied:
        said.append(
            f"painted boxes of {', '.join(copied)} are copies of training boxes; more pictures or fewer steps help"
        )
    same = [label for label, ratio in numbers["diversity"].items() if ratio is not None and ratio < MIN_DIVERSITY]
    if same:
        said.append(f"every seed paints {', '.join(same)} nearly the same")
    return said


def _not_learnt(numbers: dict[str, Any]) -> list[str]:
    """Classes that others do not recognise, or do not find, where they were painted."""
    read, found = numbers["read_back_with_blur"], numbers["detector"]
    pairs = {
        "recognised by a reader": (read["by_class"], read["real_by_class"]),
        "found by a detector": (found["by_class"], dict.fromkeys(found["by_class"], found["real_found"])),
    }
    said = []
    for how, (painted, real) in pairs.items():
        missed = [
            f"{label} ({share:.0%}, real ones {real[label]:.0%})"
            for label, share in painted.items()
            if (real.get(label) or 0) >= MIN_JUDGED and share < MIN_LEARNT * real[label]
        ]
        if missed:
            said.append(
                f"not learnt: painted boxes are too seldom {how}: {', '.join(missed)}; it takes more pictures, more "
                f"steps, or a base that knows such things"
            )
    return said
