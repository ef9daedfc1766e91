"""Options that commands share: every command that paints has all of them, spelled alike and declared once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.tools.cli import app
from inpaint_transform.tools.cli.options import ModelOptions, RecipeOptions, grouped

MODEL = {field.name for field in dataclasses.fields(ModelOptions)}
RECIPE = {field.name for field in dataclasses.fields(RecipeOptions)}


def parameters(command: str) -> dict[str, Any]:
    commands: Any = typer.main.get_command(app)
    return {one.name: one for one in commands.commands[command].params}


@pytest.mark.parametrize("command", ["preview", "export", "paint-ahead", "bench", "serve"])
def test_every_command_that_paints_takes_every_option_of_a_model(command: str) -> None:
    found = parameters(command)
    assert {"model", "config", *MODEL} <= set(found)
    for name in ("config", *MODEL):
        assert found[name].opts == [f"--{name.replace('_', '-')}"]
        # Nobody who does not ask changes what a file or a preset says.
        assert found[name].default is None


@pytest.mark.parametrize("command", ["preview", "export", "paint-ahead", "bench"])
def test_every_command_that_plans_edits_takes_every_option_of_a_recipe(command: str) -> None:
    found = parameters(command)
    assert set(found) >= RECIPE
    assert all(found[name].default is None for name in RECIPE)


def test_options_of_a_model_are_fields_of_its_spec() -> None:
    assert {field.name for field in dataclasses.fields(ModelSpec)} >= MODEL
    plain = {"prompt": "prompts", "only": "include_labels", "swap": "relabel", "attribute": "attributes"}
    names = {plain.get(name, name) for name in RECIPE - {"gate"}}
    assert names <= {field.name for field in dataclasses.fields(Recipe)}


@dataclass(frozen=True)
class Group:
    """Two options."""

    long_name: Annotated[int | None, typer.Option(help="A number.", min=1)] = None
    words: Annotated[list[str] | None, typer.Option("--word", help="Repeatable.")] = None


def test_a_group_stands_for_its_options() -> None:
    seen: list[Any] = []

    @grouped
    def command(first: Annotated[str, typer.Argument()], group: Group, other: int = 3) -> None:
        """What it does."""
        seen.append((first, group, other))

    small = typer.Typer()
    small.command()(command)
    runner = CliRunner()
    assert runner.invoke(small, ["x", "--long-name", "2", "--word", "a", "--word", "b"]).exit_code == 0
    assert runner.invoke(small, ["y", "--other", "5"]).exit_code == 0
    assert seen == [("x", Group(2, ["a", "b"]), 3), ("y", Group(), 5)]
    assert runner.invoke(small, ["x", "--long-name", "0"]).exit_code == 2
    assert "What it does." in runner.invoke(small, ["--help"]).output
