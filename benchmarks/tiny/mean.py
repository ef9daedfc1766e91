"""The mean of two models' weights: ``python -m benchmarks.tiny.mean ONE OTHER --out DIR``.

Of two averages from one training, or of a model and what it became in further training: where both do the same by other
ways, their mean may do it better than either (Wortsman et al., 2203.05482). Whether it does has to be looked at.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file


def mean(one: Path, other: Path, out: Path, share: float = 0.5) -> None:
    """Write a model folder whose weights are the mean of those of two.

    Args:
        one: A folder that ``fit`` wrote; everything but weights is copied from it.
        other: A folder of the same architecture and vocabulary.
        out: A new folder.
        share: What the other's weights count, in [0, 1].

    Raises:
        ValueError: The share is outside of [0, 1], or the two are no models of one architecture.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: use a number from 0 to 1")
    files = [path.relative_to(one) for path in sorted(one.glob("*/*.safetensors"))]
    if not files:
        raise ValueError(f"one={str(one)!r}: has no part with safetensors weights; give a folder that fit wrote")
    for file in files:
        _check_alike(one / file, other / file)
    shutil.copytree(one, out, ignore=shutil.ignore_patterns("training", "sheets", "page.html", "fit.json", "README.md"))
    for file in files:
        mine, theirs = load_file(one / file), load_file(other / file)
        mixed = {
            name: value.float().lerp(theirs[name].float(), share).to(value.dtype).contiguous()
            for name, value in mine.items()
        }
        save_file(mixed, out / file, {"format": "pt"})


def _check_alike(mine: Path, theirs: Path) -> None:
    shapes = [
        {name: value.shape for name, value in load_file(path).items()} for path in (mine, theirs) if path.exists()
    ]
    if len(shapes) != 2 or shapes[0] != shapes[1]:
        raise ValueError(f"other: {theirs} has not the weights of {mine}; give two models of one architecture")


def main() -> None:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path, help="a folder that fit wrote")
    parser.add_argument("other", type=Path, help="another one")
    parser.add_argument("--share", type=float, default=0.5, help="what the other's weights count")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    mean(arguments.one, arguments.other, arguments.out, arguments.share)


if __name__ == "__main__":
    main()
