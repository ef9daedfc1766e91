"""The command line: arguments in, one call into the library, words and files out."""

# What needs OpenCV or torch is imported inside the commands, so that --help and usage errors come at once.
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from inpaint_transform.annotations import BoxFormat, find_pictures, read, read_names
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
def export(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A data set's folder; with --boxes a picture or a folder of pictures.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; that of a broken-off run goes on.")],
    box_format: Annotated[BoxFormat, typer.Option("--format", help="How the boxes of SRC are written down.")],
    to: Annotated[BoxFormat | None, typer.Option(help="How to write them down in DST. Default: as in SRC.")] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Label file or folder of label files; for coco the JSON file. Default: found in SRC."),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="YOLO class names: data.yaml, classes.txt or a,b,c. Default: found beside the labels."),
    ] = None,
    copies: Annotated[int, typer.Option(min=0, help="Painted copies of each training picture; 0 only converts.")] = 1,
    p: Annotated[float, typer.Option("--p", min=0, max=1, help="Probability of each copy.")] = 1,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What to paint: for every label, or LABEL=PROMPT for one. Repeat it to draw one for each box. With "
            "LABEL=PROMPT only, other labels are left alone. Default: 'a photo of a {label}'."
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="Paint this label only. Repeatable.")] = None,
    budget: Annotated[
        list[str] | None, typer.Option(metavar="LABEL=N", help="Paint at most N boxes of this label. Repeatable.")
    ] = None,
    boxes_per_image: Annotated[int, typer.Option(min=1, help="Boxes to repaint in each copy.")] = 1,
    context: Annotated[float, typer.Option(min=1, help="Side of what the model sees over the box's longer side.")] = 2,
    min_box_size: Annotated[int, typer.Option(min=0, help="Boxes with a shorter side (pixels) are left alone.")] = 32,
    model: Annotated[str, typer.Option(help="Preset, hub id or diffusers folder.")] = "tiny",
    steps: Steps = None,
    guidance_scale: Guidance = None,
    strength: Annotated[float, typer.Option(help="How far to leave the old pixels, in (0, 1].")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read and write while the model paints.")] = 2,
    link: Annotated[bool, typer.Option("--link/--copy", help="Hard-link the originals, or copy them.")] = True,
) -> None:
    """Write a data set with painted copies of its pictures; run it again to go on where it stopped."""
    from tqdm import tqdm

    from inpaint_transform import core, export_plan, layouts, manifest
    from inpaint_transform.export import Export
    from inpaint_transform.preview import read_templates

    if names is not None and box_format is not BoxFormat.YOLO:
        raise typer.BadParameter(f"--names is for yolo; {box_format.value} files hold their class names themselves")
    with _usage_errors():
        spec = ModelSpec(model, steps=steps, guidance_scale=guidance_scale, serving="local")
        settings = export_plan.Settings(to or box_format, copies, p, seed, export_plan.read_budget(budget or ()), link)
        base = core.Recipe(num_boxes=boxes_per_image, context=context, min_box_size=min_box_size, strength=strength)
        recipe = export_plan.recipe_for(base, read_templates(prompt or ["a photo of a {label}"]), only or ())
    start = time.perf_counter()
    parts = [layouts.Part(source, boxes)] if boxes is not None else layouts.find_parts(source, box_format)
    layouts.check_target(target, parts)
    class_names = read_names(names) if names is not None else None
    arguments = {
        "source": [[str(part.images.resolve()), str(part.boxes.resolve())] for part in parts],
        "format": box_format.value,
        "to": settings.to.value,
        "names": names,
        "copies": copies,
        "p": p,
        "prompt": prompt,
        "only": only,
        "budget": budget,
        "boxes_per_image": boxes_per_image,
        "context": context,
        "min_box_size": min_box_size,
        "model": spec.to_dict(),
        "strength": strength,
        "seed": seed,
        "link": link,
    }
    manifest.check(target, arguments)  # before the source is read, which may take long
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        problems.append(problem)
        tqdm.write(str(problem), file=sys.stderr)

    classes = export_plan.classes_of(parts, box_format, class_names, settings.to)
    pictures = sum(len(find_pictures(part.images)) for part in parts)
    with tqdm(export_plan.read_parts(parts, box_format, class_names), "reading", pictures, unit="image") as found:
        plan = export_plan.make_plan(found, classes, recipe, settings, report)
    with manifest.Manifest(target, arguments) as state:
        job = Export(plan, target, settings, state, spec.id)
        with tqdm(job.place_originals(workers), "originals", len(plan.originals), unit="image") as progress:
            for _ in progress:
                pass
        done = job.finished
        edits, accepted = sum(copy.edits for copy in done), sum(copy.accepted for copy in done)
        if len(done) < len(plan.copies):
            batch = spec.resolved().max_batch_size or 1
            painting = job.paint(recipe, _load(spec), batch, workers, report)
            with tqdm(painting, "painting", len(plan.copies), initial=len(done), unit="image") as progress:
                for copy in progress:
                    edits, accepted = edits + copy.edits, accepted + copy.accepted
                    progress.set_postfix_str(f"{accepted / max(edits, 1):.0%} accepted")
        written = job.finish()
    took = time.perf_counter() - start
    typer.echo(
        f"wrote {target}: {', '.join(f'{count} {split}' for split, count in written.items())} pictures, "
        f"{accepted} of {edits} painted boxes accepted, in {took:.1f} s"
    )
    if problems:
        raise typer.Exit(1)


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Preset, hub id or diffusers folder.")] = "tiny",
    images: Annotated[
        Path | None, typer.Option(help="Your pictures: one, or a folder. Default: the embedded one.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Label file or folder of label files; for coco the JSON file.")
    ] = None,
    box_format: Annotated[BoxFormat | None, typer.Option("--format", help="How the boxes are written down.")] = None,
    names: Annotated[
        str | None,
        typer.Option(help="YOLO class names: data.yaml, classes.txt or a,b,c. Default: found beside the labels."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A first impression, with fewer and shorter runs.")] = False,
    workers: Annotated[str | None, typer.Option(help="Numbers of DataLoader workers. Default: 0,2,4,8.")] = None,
    p: Annotated[str | None, typer.Option("--p", help="Probabilities. Default: 0,0.1,0.25,0.5,1.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples in a mini-batch. Default: 8.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Least time of each measurement. Default: 8.")] = None,
    steps: Steps = None,
    size: Annotated[int | None, typer.Option(help="Side of the working crop in pixels. Default: the model's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    train_rate: Annotated[
        float | None, typer.Option(min=1e-3, help="Images/s that your training step takes; the advice is for it.")
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON file to write; the plot goes beside it.")] = Path("bench.json"),
) -> None:
    """Measure which p and how many workers this machine affords, and what the loader makes of the pipeline."""
    from inpaint_transform.bench.settings import QUICK, Settings, read_numbers

    if len({value is None for value in (images, boxes, box_format)}) != 1:
        raise typer.BadParameter("--images, --boxes and --format go together")
    if names is not None and box_format is not BoxFormat.YOLO:
        raise typer.BadParameter("--names is for --format yolo")
    if out.suffix.lower() != ".json" or out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"{out} cannot be written: give a name that ends in .json, in an existing folder")
    with _usage_errors():
        given: dict[str, Any] = {"batch_size": batch_size, "seconds": seconds}
        given["workers"] = read_numbers(workers, "workers", int) if workers is not None else None
        given["p"] = read_numbers(p, "p", float) if p is not None else None
        chosen = {name: value for name, value in given.items() if value is not None}
        spec = ModelSpec(model, device=device, dtype=dtype, size=size, steps=steps)
        settings = Settings(spec, **{**(QUICK if quick else {}), **chosen})

    # Whoever measures has no use for remarks on image processors that no pipeline here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from inpaint_transform.bench import plot, samples
    from inpaint_transform.bench.run import run

    if images is not None and boxes is not None and box_format is not None:
        class_names = read_names(names) if names is not None else None
        pictures = samples.read_own(
            images, boxes, box_format, class_names, lambda problem: typer.echo(problem, err=True)
        )
        source = images.resolve().name
    else:
        pictures, source = samples.embedded(), "embedded"
    if not plot.available():
        typer.echo(plot.MISSING, err=True)
    run(settings, pictures, out, ("inpaint-transform", sys.argv[1:]), typer.echo, source, train_rate)


@app.command()
def report(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Log that BBoxInpaint(log=...) has written.")],
    out: Annotated[Path, typer.Option(help="Page (.html) or sheet of pictures (.png) to write.")] = Path("report.html"),
    limit: Annotated[int, typer.Option(min=1, help="How many of the worst accepted and best rejected to show.")] = 24,
) -> None:
    """Add up a log of edits: accept rates, scores, the worst accepted and the best rejected."""
    from inpaint_transform import report as pages

    if out.suffix.lower() not in (".html", ".png"):
        raise typer.BadParameter(f"{out} ends neither in .html nor in .png")
    if out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"{out} cannot be written: {out.parent} is not a folder")
    summary = pages.write(log, out, limit)
    edits = sum(counts.edits for counts in summary.classes.values())
    accepted = sum(counts.accepted for counts in summary.classes.values())
    typer.echo(f"wrote {out}: {accepted} of {edits} edits accepted")


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Log that BBoxInpaint(log=...) has written.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture as the transform got it.")],
    line: Annotated[int, typer.Option(min=1, help="Which line of the log.")],
    model: Annotated[str | None, typer.Option(help="Preset, hub id or diffusers folder. Default: the line's.")] = None,
    out: Out = Path("replay.png"),
) -> None:
    """Paint one edit of a log again."""
    from inpaint_transform import pictures, provenance
    from inpaint_transform.annotations import read_image

    start = time.perf_counter()
    record = provenance.at(log, line)
    original = read_image(image)
    provenance.check(record, original)
    # A server that was started by hand then may be gone now.
    here = {"serving": "local", "address": None}
    spec = ModelSpec.of({**record.model, **here, **({} if model is None else {"id": model})})
    painted, outcome = provenance.replay(record, original, _load(spec))
    if not outcome.accepted:
        typer.echo(f"nothing is painted: {outcome.reason}", err=True)
    edit = record.edit
    _write(out, pictures.before_after(original, painted, [edit.box], [str(edit.target)], [edit.prompt]), start)


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
