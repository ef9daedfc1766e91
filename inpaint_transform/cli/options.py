"""Options that several commands take, and how settings that the library refuses are told."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def png(path: Path) -> Path:
    """Refuse an output that could not be written, before anything is painted."""
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} does not end in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


Out = Annotated[Path, typer.Option(help="PNG file to write.", callback=png)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps. Default: the model's.")]
Strength = Annotated[float, typer.Option(help="How far to leave the old pixels, in (0, 1].")]
Context = Annotated[float, typer.Option(min=1, help="Side of what the model sees over the box's longer side.")]
MinBoxSize = Annotated[int, typer.Option(min=0, help="Boxes with a shorter side (pixels) are left alone.")]
Model = Annotated[str, typer.Option(help="Preset, hub id or diffusers folder.")]
Names = Annotated[
    str | None,
    typer.Option(help="YOLO class names: data.yaml, classes.txt or a,b,c. Default: found beside the labels."),
]
Guidance = Annotated[float | None, typer.Option(min=0, help="Weight of the prompt. Default: the model's.")]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Settings that the library refuses are usage errors, like those that the command line refuses by itself."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
