"""The fit command."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inpaint_transform.tools.cli.options import Boxes, Clip, Format, Names, Split, usage_errors
from inpaint_transform.tools.cli.progress import INTERRUPTED, Reporter, named, progress_bar
from inpaint_transform.tools.cli.terminal import say, warn
from inpaint_transform.tools.cli.typed import read_attributes, read_class_names, read_prompts, read_splits

if TYPE_CHECKING:
    from inpaint_transform.datasets.files import Problem
    from inpaint_transform.datasets.reading import Source
    from inpaint_transform.fit import Sample

DEVICES = "auto, cpu, cuda or mps"
PROMPT_HELP = (
    "What objects are called in training: for every label, or LABEL=PROMPT for one (=PROMPT where the prompt itself "
    "holds '='). Repeat it for several, which are learnt alike. Default: 'a photo of a {label}', 'a {label}' and more."
)


def fit(
    source: Annotated[
        Path, typer.Argument(metavar="DATA", help="A data set's folder; with --boxes a folder of pictures.")
    ],
    box_format: Format,
    out: Annotated[Path, typer.Option(help="Folder to write; a run that was broken off in it goes on.")],
    base: Annotated[
        str,
        typer.Option(
            help="What to train: a 9-channel Stable Diffusion or SDXL inpainting checkpoint (preset, hub id or folder) "
            "gets a LoRA; all weights of 'tiny' are trained, and of a small model from nothing with 'none'."
        ),
    ] = "tiny",
    architecture: Annotated[str, typer.Option(help="With --base none: which small model.")] = "tiny",
    boxes: Boxes = None,
    names: Names = None,
    split: Split = None,
    clip: Clip = False,
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help=PROMPT_HELP)] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="NAME=VALUE[,VALUE...]",
            help="Values of a slot {NAME} in the prompts, all of which are learnt. Repeatable.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="LABEL", help="Learn this label only; objects of others stay as they are. Repeatable."
        ),
    ] = None,
    turnable: Annotated[
        list[str] | None,
        typer.Option("--turnable", metavar="LABEL", help="A class without an upright position. Repeatable."),
    ] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Rank of the LoRA. Default: 16.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Training steps; 0 keeps a small model's denoiser. Default: by the base."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Examples a step. Default: by the base.")] = None,
    crops: Annotated[int | None, typer.Option(min=1, help="Examples to draw. Default: by the number of boxes.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Learning rate. Default: by the base.")] = None,
    autoencoder_steps: Annotated[
        int | None, typer.Option(min=0, help="Training steps of a small model's autoencoder. Default: by the base.")
    ] = None,
    decoder_steps: Annotated[
        int | None, typer.Option(min=0, help="Further steps that make its decoder sharp. Default: by the base.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=8, help="Side of the working crop; twice that of a small base gives finer detail.")
    ] = None,
    edits: Annotated[int, typer.Option(min=0, help="Held-out boxes to paint for the page; 0: no evaluation.")] = 360,
    licence: Annotated[str | None, typer.Option(help="Licence of the pictures, for the card.")] = None,
    device: Annotated[str, typer.Option(help=f"Where to train: {DEVICES}.")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
) -> None:
    """Teach a model the objects of a data set, from nothing but its boxes; run it again to go on where it stopped."""
    from inpaint_transform.datasets import manifest, reading
    from inpaint_transform.datasets.templates import check_labels, no_class
    from inpaint_transform.fit import fit as run
    from inpaint_transform.fit.captions import TEMPLATES
    from inpaint_transform.fit.pictures import count_labels, of_labels

    class_names = read_class_names(names, box_format)
    with usage_errors():
        attributes = read_attributes(attribute or ())
        templates = read_prompts(prompt, attributes) if prompt else {}
        wanted = read_splits(split or ())
        if device not in ("auto", "cpu", "cuda", "mps"):
            raise ValueError(f"--device {device}: use {DEVICES}")
    found = reading.find(source, box_format, boxes, class_names, wanted, clip)
    manifest.check_apart(out, source, found.parts)
    problems: list[Problem] = []
    tell_of = Reporter()

    def report(problem: "Problem") -> None:
        problems.append(problem)
        tell_of(problem)

    train, held_out = _read(found, only or (), report)
    with usage_errors():
        labels = _classes((*train, *held_out))
        check_labels(templates, labels)
        if unknown := sorted({*(only or ()), *(turnable or ())} - set(labels)):
            raise ValueError(no_class(unknown[0], labels))
    if only:
        train, held_out = of_labels(train, only), of_labels(held_out, only)
        turnable = [label for label in turnable or () if label in only]
    prompts = {label: list(templates.get(label) or templates.get(None) or TEMPLATES) for label in count_labels(train)}
    try:
        card = run(
            train,
            held_out or None,
            base=base,
            out=out,
            architecture=architecture,
            prompts=prompts,
            attributes=attributes,
            turnable=turnable or (),
            rank=rank,
            steps=steps,
            batch=batch,
            crops=crops,
            rate=rate,
            steps_of_autoencoder=autoencoder_steps,
            steps_of_decoder=decoder_steps,
            size=size,
            seed=seed,
            device=device,
            edits=edits,
            licence=licence,
            command=f"inpaint-transform {shlex.join(sys.argv[1:])}",
            progress=True,
        )
    except KeyboardInterrupt:
        warn(f"stopped; the same command goes on from the last checkpoint in {out}")
        raise typer.Exit(INTERRUPTED) from None
    took = card["seconds"] / 60
    say(f"wrote {out} after {took:.1f} minutes of training: look at {out / 'page.html'}{named(len(problems))}")
    if problems:
        raise typer.Exit(1)


def _classes(samples: "Iterable[Sample]") -> list[str]:
    return sorted({label for sample in samples for label in sample.labels})


def _read(
    found: "Source", only: Collection[str], report: Callable[["Problem"], None]
) -> "tuple[list[Sample], list[Sample]]":
    """The pictures to train on, and those of the set's own validation split; its test split is for neither."""
    from inpaint_transform.datasets.balance_sheet import BalanceSheet
    from inpaint_transform.datasets.files import Problem
    from inpaint_transform.fit import Sample

    samples: dict[str, list[Sample]] = {"train": [], "val": []}
    balance = BalanceSheet()
    with progress_bar(found.read(balance), desc="reading", total=len(found), unit="image") as items:
        for item in items:
            if isinstance(item, Problem):
                report(item)
                continue
            split = found.places[item.image].split
            if split not in samples:
                balance.lose(item, f"of the split {split}")
                continue
            samples[split].append(Sample(item.image, item.boxes, item.labels, item.outlines))
            kept = [box for box, label in zip(item.boxes, item.labels, strict=True) if not only or label in only]
            balance.use(dataclasses.replace(item, boxes=kept))
            balance.left_out("boxes", "of other labels than --only", len(item.boxes) - len(kept))
    warn(balance)
    return samples["train"], samples["val"]
