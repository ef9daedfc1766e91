"""The command line: arguments in, one call into the library, words and files out."""

# What needs OpenCV or torch is imported inside the commands, so that --help and usage errors come at once.
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from inpaint_transform.annotations import BoxFormat, read, read_names
from inpaint_transform.errors import InpaintError
from inpaint_transform.label_files import Problem
from inpaint_transform.models import ModelSpec

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.inpainter import Inpainter


class _Commands(TyperGroup):
    """Commands whose expected failures are one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, InpaintError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    help="Repaint labelled boxes with a diffusion model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _png(path: Path) -> Path:
    """Refuse an output that could not be written, before anything is painted."""
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} does not end in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


Out = Annotated[Path, typer.Option(help="PNG file to write.", callback=_png)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps. Default: the model's.")]
Guidance = Annotated[float | None, typer.Option(min=0, help="Weight of the prompt. Default: the model's.")]


@app.command()
def demo(out: Out = Path("before_after.png"), seed: Seed = 0) -> None:
    """Repaint boxes of a bundled picture with the embedded model: no network, no GPU."""
    from tqdm import tqdm

    from inpaint_transform import demo as bundled
    from inpaint_transform import pictures

    start = time.perf_counter()
    picture = bundled.load(seed)
    inpainter = _load(ModelSpec("tiny", device="cpu", serving="local"))
    with tqdm(bundled.paint(picture, inpainter), "painting", len(picture.edits), unit="box") as progress:
        painted = list(progress)[-1]
    boxes, labels, prompts = zip(*((edit.box, str(edit.label), edit.prompt) for edit in picture.edits), strict=True)
    _write(out, pictures.before_after(picture.image, painted, boxes, labels, prompts), start)


@app.command()
def preview(
    images: Annotated[Path, typer.Argument(metavar="IMAGE_OR_FOLDER", help="A picture, or a folder of pictures.")],
    boxes: Annotated[Path, typer.Option(help="Label file or folder of label files; for coco the JSON file.")],
    box_format: Annotated[BoxFormat, typer.Option("--format", help="How the boxes are written down.")],
    names: Annotated[
        str | None,
        typer.Option(help="YOLO class names: data.yaml, classes.txt or a,b,c. Default: found beside the labels."),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What to paint: for every label, or LABEL=PROMPT for one (name another thing to swap). Repeat it to "
            "let prompts take turns. With LABEL=PROMPT only, other labels are left alone. Default: 'a photo of a "
            "{label}'."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Preset, hub id or diffusers folder.")] = "tiny",
    variants: Annotated[int, typer.Option(min=1, help="Variants of each box.")] = 4,
    boxes_per_image: Annotated[int, typer.Option(min=1, help="Boxes to repaint in each picture.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Most pictures on the sheet.")] = 8,
    context: Annotated[float, typer.Option(min=1, help="Side of what the model sees over the box's longer side.")] = 2,
    min_box_size: Annotated[int, typer.Option(min=0, help="Boxes with a shorter side (pixels) are left alone.")] = 32,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    strength: Annotated[float, typer.Option(help="How far to leave the old pixels, in (0, 1].")] = 1,
    seed: Seed = 0,
    out: Out = Path("preview.png"),
) -> None:
    """Show what a model makes of your own boxes: a contact sheet of originals and repainted variants."""
    from tqdm import tqdm

    from inpaint_transform import core, pictures
    from inpaint_transform import preview as sheet

    if names is not None and box_format is not BoxFormat.YOLO:
        raise typer.BadParameter(f"--names is for yolo; {box_format.value} files hold their class names themselves")
    with _usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        recipe = core.Recipe(num_boxes=boxes_per_image, context=context, min_box_size=min_box_size, strength=strength)
        templates = sheet.read_templates(prompt or ["a photo of a {label}"])
    start = time.perf_counter()
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(problem)
        typer.echo(problem, err=True)

    class_names = read_names(names) if names is not None else None
    found = read(images, boxes, box_format, class_names)
    rows = sheet.plan_sheet(found, recipe, templates, variants, seed, limit, report)
    inpainter = _load(spec)
    with tqdm(rows, "painting", unit="box") as progress:
        picture = pictures.contact_sheet(sheet.paint_row(row, recipe, inpainter) for row in progress)
    _write(out, picture, start)
    if problems:
        raise typer.Exit(1)


@app.command()
def serve(
    model: Annotated[str | None, typer.Argument(help="Preset, hub id or diffusers folder.")] = None,
    stats: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Serve nothing; print the counters of the server there.")
    ] = None,
    address: Annotated[
        Path | None, typer.Option(help="Folder for the socket, private to you. Default: a new one.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    variant: Annotated[str | None, typer.Option(help="Weight files of the checkpoint, such as fp16.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the working crop in pixels. Default: the model's.")] = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    scheduler: Annotated[str | None, typer.Option(help="A diffusers scheduler class instead of its own.")] = None,
    lora: Annotated[str | None, typer.Option(help="LoRA folder, file or hub id.")] = None,
    vae: Annotated[str | None, typer.Option(help="Folder or hub id of another autoencoder.")] = None,
    max_batch_size: Annotated[int | None, typer.Option(help="Most requests in one pipeline call. Default: 8.")] = None,
    max_wait_ms: Annotated[float | None, typer.Option(help="Longest wait for a batch to fill. Default: 10.")] = None,
    memory_fraction: Annotated[float | None, typer.Option(help="Most of the GPU's memory to use, in (0, 1].")] = None,
    reproducible: Annotated[bool, typer.Option("--reproducible", help="Results independent of the batch.")] = False,
) -> None:
    """Run the resident pipeline by hand, until Ctrl-C; ModelSpec(..., address=...) reaches it."""
    if (model is None) == (stats is None):
        raise typer.BadParameter("give either a MODEL to serve or --stats ADDRESS")
    if stats is not None:
        _print_stats(stats)
        return
    with _usage_errors():
        spec = ModelSpec(
            str(model),
            device=device,
            dtype=dtype,
            variant=variant,
            size=size,
            steps=steps,
            guidance_scale=guidance_scale,
            scheduler=scheduler,
            lora=lora,
            vae=vae,
            max_batch_size=max_batch_size,
            max_wait_ms=max_wait_ms,
            memory_fraction=memory_fraction,
            reproducible=reproducible,
        )
    _serve(spec, address)


def _print_stats(address: str) -> None:
    from inpaint_transform.inpainter import connect

    # The counters do not depend on the model, so any will do to ask for them.
    counters = connect(ModelSpec("tiny", serving="shared", address=address)).stats()
    if not counters:
        raise InpaintError(f"no server listens in {address}; start one with 'inpaint-transform serve MODEL'")
    typer.echo(json.dumps(counters, indent=2))


def _serve(spec: ModelSpec, address: Path | None) -> None:
    from inpaint_transform.inpainter import current_session
    from inpaint_transform.inpainter import serve as server
    from inpaint_transform.inpainter.directory import ServerDirectory, directory_for

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    directory = directory_for(current_session(), "by hand") if address is None else ServerDirectory(address.absolute())
    with directory.held():
        if directory.occupied():
            raise InpaintError(f"a server runs in {directory.path} already; end it first, or give another --address")
        directory.occupy()  # the lock lasts as long as this process, for nobody closes the descriptor
    model = {**spec.to_dict(), "address": str(directory.path)}
    server.serve(spec, directory, on_listening=lambda: typer.echo(f"serving; use it with model={model}"))


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Settings that the library refuses are usage errors, like those that the command line refuses by itself."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _load(spec: ModelSpec) -> "Inpainter":
    from inpaint_transform.inpainter import connect

    # Whoever paints pictures has no use for remarks on image processors that no pipeline here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    typer.echo(f"loading {spec.id} ...", err=True)
    inpainter = connect(spec)
    inpainter.size  # noqa: B018 - asking for the size is what loads the model
    return inpainter


def _write(out: Path, picture: "np.ndarray", start: float) -> None:
    from PIL import Image

    Image.fromarray(picture).save(out)
    typer.echo(f"wrote {out} in {time.perf_counter() - start:.1f} s")


def main() -> None:
    """Run the command line."""
    app(prog_name="inpaint-transform")
