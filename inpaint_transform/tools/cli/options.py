"""Options that several commands take: each is declared here once.

A command takes a whole group of options by one parameter of the group's type, and ``grouped`` gives it an option for
each field. What was asked for with them, and with ``--config``, ``asked.py`` puts together.
"""

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.tools.cli.typed import read_loras, read_words

Source = Annotated[
    Path, typer.Argument(metavar="SRC", help="A data set's folder; with --boxes a picture or a folder of pictures.")
]
Format = Annotated[BoxFormat, typer.Option("--format", help="How the boxes of SRC are written down.")]
Boxes = Annotated[
    Path | None,
    typer.Option("--boxes", help="Label file or folder of label files; for coco the JSON file. Default: found in SRC."),
]
Names = Annotated[
    str | None,
    typer.Option(
        help="YOLO class names: data.yaml, a file with one a line, or a,b,c. Default: found beside the labels."
    ),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="NAME=SPLIT",
        help="The split (train, val or test) of a folder, where neither its name nor the data set itself says it; it "
        "counts more than both. Repeatable.",
    ),
]
Clip = Annotated[
    bool, typer.Option("--clip", help="Cut boxes off at the picture's edge, however far they reach beyond.")
]
PROMPT_HELP = (
    "What to paint: for every label, or LABEL=PROMPT for one (=PROMPT where the prompt itself holds '='). Repeat it "
    "for several, one of which is taken for each painting. With LABEL=PROMPT only, other labels are left alone. "
    "Default: 'a photo of a {label}'; {a_label} puts a or an before it."
)
ONLY_HELP = "Paint this label only. Repeatable."
Budget = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="LABEL=N", help="Paint at most N boxes of this label. Repeatable."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]

MODEL = "The model"
PAINTED = "What is painted"
# One for the models of all commands: a preset, or whatever else ModelSpec loads.
MODEL_HELP = "Preset, hub id, diffusers folder or .safetensors file. Default: that of --config, or tiny."
Model = Annotated[str | None, typer.Option("--model", help=MODEL_HELP, rich_help_panel=MODEL)]
ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A BBoxInpaint that A.save has written, alone or in a Compose: model, prompts, gate and all else that "
        "says what is painted are its. An option beside it replaces what it says of that one thing, and a model named "
        "beside it the whole model.",
    ),
]


def _of_model(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=MODEL, **more)


def _of_recipe(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PAINTED, **more)


@dataclass(frozen=True)
class ModelOptions:
    """How the model is loaded and run: fields of ``ModelSpec`` by their names; None where nothing was typed."""

    device: Annotated[str | None, _of_model("auto, cpu, cuda, cuda:N or mps. Default: auto.")] = None
    dtype: Annotated[str | None, _of_model("auto, float32, float16 or bfloat16. Default: auto.")] = None
    variant: Annotated[str | None, _of_model("Weight files of the checkpoint, such as fp16.")] = None
    size: Annotated[int | None, _of_model("Side of the working crop in pixels. Default: the model's.")] = None
    steps: Annotated[int | None, _of_model("Denoising steps. Default: the model's.", min=1)] = None
    guidance_scale: Annotated[float | None, _of_model("Weight of the prompt. Default: the model's.", min=0)] = None
    scheduler: Annotated[str | None, _of_model("A diffusers scheduler class instead of its own.")] = None
    lora: Annotated[
        list[str] | None,
        _of_model("LoRA folder, file or hub id, and how much of it. Repeatable.", metavar="PLACE[:WEIGHT]"),
    ] = None
    textual_inversion: Annotated[
        list[str] | None,
        _of_model("A word for prompts, and the file that teaches it. Repeatable.", metavar="WORD=PLACE"),
    ] = None
    vae: Annotated[str | None, _of_model("Folder or hub id of another autoencoder.")] = None
    controlnet: Annotated[str | None, _of_model("Folder or hub id of a ControlNet that reads Canny edges.")] = None
    ip_adapter: Annotated[
        str | None, _of_model("What lets Stable Diffusion and SDXL see --reference, such as h94/IP-Adapter.")
    ] = None
    ip_adapter_scale: Annotated[float | None, _of_model("How much it counts. Default: 0.6.", min=0)] = None
    offload: Annotated[str | None, _of_model("For a small card: model, or sequential, which is far slower.")] = None
    quantize: Annotated[str | None, _of_model("int8: the denoiser's weights in half the memory of float16.")] = None
    vae_tiling: Annotated[bool | None, _of_model("Decode large crops tile by tile.", "--vae-tiling")] = None
    vae_slicing: Annotated[bool | None, _of_model("Decode a batch one by one.", "--vae-slicing")] = None
    reproducible: Annotated[bool | None, _of_model("Results independent of the batch.", "--reproducible")] = None

    def typed(self) -> dict[str, Any]:
        """What was typed, as fields of ``ModelSpec``.

        Raises:
            ValueError: A LoRA or a word cannot be read.
        """
        found = {name: value for name, value in vars(self).items() if value is not None}
        for name, read in (("lora", read_loras), ("textual_inversion", read_words)):
            if name in found:
                found[name] = read(found[name])
        return found


@dataclass(frozen=True)
class RecipeOptions:
    """What is painted and where; None where nothing was typed."""

    prompt: Annotated[list[str] | None, _of_recipe(PROMPT_HELP)] = None
    only: Annotated[list[str] | None, _of_recipe(ONLY_HELP, metavar="LABEL")] = None
    swap: Annotated[
        list[str] | None,
        _of_recipe(
            "Paint boxes of one class as another, drawn from the list; their new label is NEW. Repeatable. Only the "
            "classes that are swapped are painted, unless --only says otherwise; {label} is the new one.",
            metavar="OLD=NEW[,NEW...]",
        ),
    ] = None
    gate: Annotated[
        list[str] | None,
        _of_recipe(
            "Who judges what was painted: change, fill or clip, e.g. fill:min_fill=0.5 or clip:model=tiny,"
            "min_margin=0.1. Repeat it for several, all of which must accept. clip takes the class names as words.",
            metavar="NAME[:FIELD=VALUE,...]",
        ),
    ] = None
    attribute: Annotated[
        list[str] | None,
        _of_recipe(
            "Values of a slot {NAME} in the prompts, one of which is drawn for each painting. Repeatable.",
            metavar="NAME=VALUE[,VALUE...]",
        ),
    ] = None
    negative_prompt: Annotated[str | None, _of_recipe("What to avoid.")] = None
    reference: Annotated[
        list[str] | None,
        _of_recipe(
            "Pictures of what to paint for a label, one of which is drawn for each painting. Repeatable.",
            metavar="LABEL=FILE[,FILE...]",
        ),
    ] = None
    shape: Annotated[str | None, _of_recipe("box, or ellipse for the ellipse inside it. Default: box.")] = None
    strength: Annotated[float | None, _of_recipe("How far to leave the old pixels, in (0, 1]. Default: 1.")] = None
    context: Annotated[
        float | None, _of_recipe("Side of what the model sees over the box's longer side. Default: 2.", min=1)
    ] = None
    min_box_size: Annotated[
        int | None, _of_recipe("Boxes with a shorter side (pixels) are left alone. Default: 32.", min=0)
    ] = None
    retries: Annotated[int | None, _of_recipe("New seeds for what is rejected. Default: 2.", min=0)] = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command in whose place stands one with an option for each field of its groups.

    Args:
        command: Parameters that are annotated with a dataclass are groups of options. A field's annotation and default
            are those of its option.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if dataclasses.is_dataclass(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        annotations = typing.get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotations[field.name]
            )
            for field in dataclasses.fields(groups[name])
        ]

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        command(**given)

    # What typer asks a function for.
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def png(path: Path) -> Path:
    """Refuse an output that could not be written, before anything is painted."""
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} does not end in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


def _html_or_png(path: Path) -> Path:
    if path.suffix.lower() not in (".html", ".png"):
        raise typer.BadParameter(f"{path} ends neither in .html nor in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


PageOrSheet = Annotated[
    Path, typer.Option(help="Page (.html) or sheet of pictures (.png) to write.", callback=_html_or_png)
]
Out = Annotated[Path, typer.Option(help="PNG file to write.", callback=png)]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Settings that the library refuses are usage errors, like those that the command line refuses by itself."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
