"""The transforms of arms: files that ``A.save`` wrote, read, checked and told apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped] # ships no types, and one call is not worth a stub package

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.datasets.files import exists, read_text
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.tools.study.config import EXPORT, Arm
from inpaint_transform.tools.study.keys import ConfigError

if TYPE_CHECKING:
    from inpaint_transform.datasets.formats.base import Annotation
    from inpaint_transform.faces.albumentations import BBoxInpaint


# How diffusers keeps them.
WEIGHTS = (".bin", ".ckpt", ".safetensors")


def content_of(path: Path) -> dict[str, Any]:
    """What a file of ``A.save`` says, as JSON values.

    Raises:
        ConfigError: It is not such a file.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text) if path.suffix.lower() in (".yaml", ".yml") else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise _unusable(path, f"it is not what A.save writes ({error}); save it again") from error
    if not isinstance(content, dict) or not isinstance(content.get("transform"), dict):
        raise _unusable(path, "it is not what A.save writes; save it again")
    return content


def identity_of(path: Path) -> Any:
    """What a transform's result depends on, as JSON values: what its file says, and the weights of models on this disk.

    Not Albumentations' version, which stands beside it. Of what the hub holds the file names the revision.
    """
    content = content_of(path)["transform"]
    weights = {place: _digest(Path(place).expanduser()) for place in sorted(set(_places(content)))}
    found = {place: digest for place, digest in weights.items() if digest is not None}
    return {"transform": content, "weights": found} if found else content


def _places(content: Any, of_model: bool = False) -> Iterator[str]:
    """What may be a file or folder: all text about models and reference pictures."""
    if isinstance(content, str) and of_model:
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _places(value, of_model or name in ("model", "reference"))
    elif isinstance(content, list):
        for value in content:
            yield from _places(value, of_model)


def _digest(place: Path) -> str | None:
    """Of a file, or of all weights in a folder; None where there is neither."""
    if not exists(place):
        return None
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.suffix in WEIGHTS)
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as opened:
            for part in iter(lambda: opened.read(2**20), b""):
                whole.update(part)
    return whole.hexdigest() if files else None


def check(arm: Arm) -> None:
    """Load an arm's transform, if it has one, so that what is wrong with it is told before anything is trained.

    Raises:
        ConfigError: It does not load, or does what a set on disk cannot hold although it is to be exported.
    """
    if arm.transform is None:
        return
    content = content_of(arm.transform)
    if arm.use == EXPORT:
        painting_of(arm.transform)
        return
    import albumentations as A

    # Albumentations loads the classes that are imported.
    from inpaint_transform.faces.albumentations import BBoxInpaint as _  # noqa: F401

    try:
        A.from_dict(content)
    except Exception as error:  # constructors raise whatever they like
        raise _unusable(arm.transform, f"it does not load ({type(error).__name__}: {error})") from error


def advice(arm: Arm, pictures: Iterable[Annotation]) -> str | None:
    """What to say before training of prompts that an arm's model has no word for; None where there is nothing.

    A training's own output, where its transform says so itself, is not on the terminal. An export says it there.

    Args:
        arm: Which passed ``check``.
        pictures: Those of the data set.
    """
    if arm.transform is None or arm.use == EXPORT:
        return None
    from inpaint_transform.tools.pipeline_file import load

    try:
        saved = load(arm.transform)
        recipe = dataclasses.replace(saved.recipe, num_boxes=1, box_p=None)
        listener = Listener(ModelSpec.of(saved.inpaint.editor.arguments["model"]).resolved())
        edits = (
            plan(recipe, Scene(one.height, one.width, one.boxes, one.labels), random.Random(number))  # noqa: S311
            for number, one in enumerate(pictures)
        )
        return listener.advice(edit.prompt for planned in edits for edit in planned)
    except ValueError:
        # It holds none of ours or several, or its labels are others than those on the disk: the training knows.
        return None


def painting_of(path: Path) -> BBoxInpaint:
    """The ``BBoxInpaint`` of a file, whose painting a set on disk can hold.

    Raises:
        ConfigError: It does not load, the file has other transforms too, or what is painted changes with the epoch.
    """
    from inpaint_transform.tools.pipeline_file import load

    listed = content_of(path)["transform"].get("transforms")
    try:
        inpaint = load(path).inpaint
    except Exception as error:  # constructors raise whatever they like
        raise _unusable(path, f"{error}") from error
    if listed is not None and len(listed) > 1:
        raise _unusable(
            path,
            "a set on disk holds painted boxes, and there are other transforms too; save BBoxInpaint alone, or "
            "give use: online",
        )
    if inpaint.editor.arguments["schedule"] is not None:
        raise _unusable(path, "its schedule goes by epochs, which a set on disk does not know; give use: online")
    return inpaint


def model_of(path: Path) -> ModelSpec:
    """The model that a file's ``BBoxInpaint`` paints sets with: in this process, or on a Ray cluster."""
    spec = ModelSpec.of(painting_of(path).editor.arguments["model"])
    return spec if spec.serving == "ray" else dataclasses.replace(spec, serving="local")


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"transform={str(path)!r}: {why}")
