"""What every command that paints does: load the model, show progress and problems, write the picture."""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.cli.terminal import say, warn

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.protocol import Inpainter
    from inpaint_transform.datasets.files import Problem

# The exit code of a process that Ctrl-C has ended.
INTERRUPTED = 130
# Problems of one kind that are told one by one.
MAX_TOLD = 20


class Reporter:
    """Tells of problems, the first ones of each kind; the numbers of all stand in the balance sheet."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()

    def __call__(self, problem: "Problem") -> None:
        """Write a problem to stderr."""
        self._told[problem.reason] += 1
        if self._told[problem.reason] <= MAX_TOLD:
            warn(problem)
        elif self._told[problem.reason] == MAX_TOLD + 1:
            warn(f"... and more that are {problem.reason}")


def progress_bar(items: Iterable[Any] | None, **options: Any) -> Any:
    """A progress bar on a terminal, and nothing in a log file."""
    from tqdm import tqdm

    return tqdm(items, **options, disable=None)


def load(spec: ModelSpec) -> "Inpainter":
    """The inpainter of a model, with the model loaded."""
    from inpaint_transform.serving import registry

    return registry.load(spec, warn)


def write(out: Path, picture: "np.ndarray", start: float) -> None:
    """Write a picture and tell how long it took since ``start``, a ``time.perf_counter``."""
    save(out, picture)
    tell(out, start)


def save(out: Path, picture: "np.ndarray") -> None:
    """Write a picture."""
    from PIL import Image

    Image.fromarray(picture).save(out)


def tell(out: Path, start: float, problems: int = 0) -> None:
    """Say that a file is written and how long it took since ``start``, a ``time.perf_counter``."""
    say(f"wrote {out} in {time.perf_counter() - start:.1f} s{named(problems)}")


def named(problems: int) -> str:
    """The end of a command's last line where it ends with an error in spite of a result."""
    if not problems:
        return ""
    return f"; not all could be read: see the {'problem' if problems == 1 else f'{problems} problems'} above"
