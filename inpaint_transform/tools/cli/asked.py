"""What was asked for: a saved transform, the options beside it, or options alone, put together for any command."""

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.templates import Templates, painted_labels, plain_prompts, recipe_for
from inpaint_transform.tools.cli.options import ModelOptions, RecipeOptions
from inpaint_transform.tools.cli.terminal import warn
from inpaint_transform.tools.cli.typed import read_attributes, read_gates, read_prompts, read_references, read_swaps

if TYPE_CHECKING:
    from inpaint_transform.core.recipe import Recipe
    from inpaint_transform.gates import Gate
    from inpaint_transform.tools.pipeline_file import Saved


@dataclass(frozen=True)
class Asked:
    """What is painted, and with what.

    Attributes:
        spec: The model.
        recipe: What is painted and where, in the words of the data set's labels; but for what was typed of prompts and
            labels.
        templates: The prompts that were typed; None: the recipe's.
        only: The labels that were typed, as ``templates.painted_labels`` takes them.
        gate: Who judges.
        changes: What was typed, as arguments of ``BBoxInpaint``, but for model, prompts and labels.
        saved: The transform that was saved, or None.
    """

    spec: ModelSpec
    recipe: "Recipe"
    templates: Templates | None
    only: Collection[str] | None
    gate: "Gate | None"
    changes: dict[str, Any]
    saved: "Saved | None"

    def recipe_for(self, turn: int | None = None) -> "Recipe":
        """The recipe in full; ``turn`` as of ``templates.recipe_for``."""
        return recipe_for(self.recipe, self.templates, self.only, turn)

    def arguments(self, labels: Iterable[str]) -> dict[str, Any]:
        """The same as arguments of a ``BBoxInpaint``, those that were typed in the place of those that were saved.

        Args:
            labels: All labels of the data set.
        """
        arguments = {} if self.saved is None else dict(self.saved.inpaint.editor.arguments)
        arguments |= {**self.changes, "model": self.spec}
        swap = self.recipe.relabel
        if self.templates is not None:
            every = dict.fromkeys([*labels, *map(str, swap.labels() if swap is not None else ())])
            arguments["prompts"] = plain_prompts(self.templates, every)
        # Those of the file may be ids.
        if self.templates is not None or self.only:
            arguments["include_labels"] = painted_labels(self.recipe, self.templates, self.only)
        return arguments


def read_asked(model: str | None, config: Path | None, models: ModelOptions, recipes: RecipeOptions) -> Asked:
    """Read what was typed, and the file that it is to change.

    Args:
        model: The model by name; it replaces that of the file with all its settings.
        config: What ``A.save`` has written, or None.
        models: Each option replaces that field of the model.
        recipes: Each option replaces that argument.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Something that was typed or is in the file cannot be; the message names it and the mend.
    """
    from inpaint_transform.core.recipe import Recipe

    saved = _load(config)
    base = Recipe() if saved is None else saved.recipe
    changes: dict[str, Any] = {
        name: value
        for name in ("negative_prompt", "shape", "strength", "context", "min_box_size", "retries")
        if (value := getattr(recipes, name)) is not None
    }
    if recipes.attribute:
        changes["attributes"] = read_attributes(recipes.attribute)
    if recipes.reference:
        changes["reference"] = read_references(recipes.reference)
    if recipes.swap:
        changes["relabel"] = read_swaps(recipes.swap)
    if recipes.gate:
        changes["gate"] = read_gates(recipes.gate)
    recipe = dataclasses.replace(base, **{name: value for name, value in changes.items() if name != "gate"})
    if recipe.shape == "mask":
        raise ValueError("shape='mask': data sets are read without instance masks here; use --shape box or ellipse")
    templates = None
    if recipes.prompt or saved is None:
        templates = read_prompts(recipes.prompt or (), recipe.attributes)
    only: Collection[str] | None = recipes.only or ()
    if saved is not None and not only:
        # A transform with a swap paints the other labels as what they are, a command only those that are swapped.
        only = list(recipe.relabel.targets) if recipes.swap and recipe.relabel is not None else None
    gate = changes.get("gate", None if saved is None else saved.inpaint.editor.gate)
    asked = Asked(read_spec(model, config, models, saved), recipe, templates, only, gate, changes, saved)
    asked.recipe_for()  # which refuses what does not go together
    others = {"model": model, "prompt": recipes.prompt, "only": recipes.only}
    if config is not None and (replaced := [*changes, *(name for name, value in others.items() if value)]):
        warn(f"{config}: what was typed replaces {', '.join(replaced)} of it")
    return asked


def read_spec(model: str | None, config: Path | None, models: ModelOptions, saved: "Saved | None" = None) -> ModelSpec:
    """The model that was asked for.

    Args:
        model: As of ``read_asked``, and so the next two.
        config: What ``A.save`` has written, or None.
        models: What was typed.
        saved: What is in the file, if it is read already.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As of ``read_asked``.
    """
    base: dict[str, Any] = {"id": "tiny" if model is None else model}
    typed = models.typed()
    if model is None and config is not None:
        found = saved or _load(config)
        base = ModelSpec.of(found.inpaint.editor.arguments["model"]).to_dict() if found is not None else base
        if replaced := [name for name in typed if name in base]:
            warn(f"{config}: what was typed replaces {', '.join(replaced)} of its model")
    return ModelSpec.of({**base, **typed})


def placed(spec: ModelSpec, ray: bool = False, address: str | None = None) -> ModelSpec:
    """A model for a command that paints by itself: in its own process, or by the painters of a Ray cluster.

    Args:
        spec: The model; one that was saved to be painted by a cluster stays with it.
        ray: Whether the painters were asked for.
        address: The cluster that was typed, or None.
    """
    own = spec.address if spec.serving == "ray" else None
    if ray or spec.serving == "ray":
        return dataclasses.replace(spec, serving="ray", address=address or own)
    return dataclasses.replace(spec, serving="local", address=None)


def tell_of_rest(asked: Asked, config: Path | None) -> None:
    """Say what of a saved pipeline a command leaves out that paints pictures as they lie on the disk."""
    if asked.saved is not None and asked.saved.before:
        names = ", ".join(type(transform).__name__ for transform in asked.saved.before)
        warn(f"{config}: {names} before BBoxInpaint is left out, pictures are painted as they are")


def _load(config: Path | None) -> "Saved | None":
    if config is None:
        return None
    from inpaint_transform.tools.pipeline_file import load

    return load(config)
