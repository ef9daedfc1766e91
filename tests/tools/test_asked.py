"""What was asked for: options alone, a saved transform, and options in the place of what it says."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pipelines
import pytest
from commands import pixels, run
from PIL import Image

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.gates import FillGate, gate_of
from inpaint_transform.tools.cli.asked import Asked, placed, read_asked, read_spec
from inpaint_transform.tools.cli.options import ModelOptions, RecipeOptions

pytest_plugins = ["commands"]

SCENE = Scene(200, 300, [(10, 10, 60, 60), (80, 20, 130, 70), (150, 80, 250, 180)], ["cone", "cube", "cone"])
SAVED: dict[str, Any] = {
    "model": {"id": "sd15", "steps": 8, "lora": "style.safetensors"},
    "prompts": ["a {color} {label}", "one {color} {label}"],
    "attributes": {"color": ["red", "blue"]},
    "negative_prompt": "blurry",
    "include_labels": ["cone"],
    "num_boxes": 2,
    "shape": "ellipse",
    "strength": (0.5, 0.9),
    "feather": 0.2,
    "gate": FillGate(0.6),
    "p": 0.1,
    "seed": 7,
}


def asked(config: Path | None = None, model: str | None = None, **typed: Any) -> Asked:
    models = ModelOptions(**{name: typed.pop(name) for name in list(typed) if name in ("steps", "lora", "size")})
    return read_asked(model, config, models, RecipeOptions(**typed))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    A.save(BBoxInpaint(**SAVED), str(tmp_path / "recipe.json"))
    return tmp_path / "recipe.json"


def test_nothing_typed_is_what_a_transform_does_by_itself() -> None:
    found, plain = asked(), BBoxInpaint({"id": "tiny"})
    assert found.spec == ModelSpec("tiny")
    assert BBoxInpaint(**found.arguments(["cone"])).editor.arguments == plain.editor.arguments
    drawn = [plan(recipe, SCENE, random.Random(0)) for recipe in (found.recipe_for(), plain.editor.recipe)]
    assert drawn[0] == drawn[1]


def test_a_file_says_all_of_it(config: Path) -> None:
    found = asked(config)
    original = BBoxInpaint(**SAVED).editor
    assert found.spec == ModelSpec("sd15", steps=8, lora="style.safetensors")
    assert found.gate == FillGate(0.6)
    assert plan(found.recipe_for(), SCENE, random.Random(3)) == plan(original.recipe, SCENE, random.Random(3))
    assert BBoxInpaint(**found.arguments(["cone", "cube"])).editor.arguments == original.arguments


def test_prompts_of_a_file_take_turns(config: Path) -> None:
    found = asked(config)
    words = [plan(found.recipe_for(turn), SCENE, random.Random(0))[0].prompt.split()[0] for turn in range(3)]
    assert words == ["a", "one", "a"]


def test_what_is_typed_replaces_that_one_thing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(config, steps=4, strength=1.0, gate=["change"], prompt=["the {color} {label}"], only=["cube"])
    assert found.spec == ModelSpec("sd15", steps=4, lora="style.safetensors")
    assert found.gate == gate_of([{"gate": "change"}])
    for recipe in (found.recipe_for(), BBoxInpaint(**found.arguments(["cone", "cube"])).editor.recipe):
        [edit] = plan(recipe, SCENE, random.Random(0))
        assert (edit.label, edit.strength, edit.negative_prompt) == ("cube", 1.0, "blurry")
        assert edit.prompt in ("the red cube", "the blue cube")
        assert (recipe.feather, recipe.shape) == (0.2, "ellipse")
    said = capsys.readouterr().err
    assert "what was typed replaces steps of its model" in said
    for name in ("strength", "gate", "prompt", "only"):
        assert name in said


def test_another_model_is_another_altogether(config: Path) -> None:
    assert asked(config, model="sdxl").spec == ModelSpec("sdxl")
    assert asked(config, model="sdxl", lora=["other", "a:b:0.5"]).spec == ModelSpec(
        "sdxl", lora=["other", ("a:b", 0.5)]
    )


def test_a_saved_swap_paints_all_labels_and_a_typed_one_those_it_is_for(tmp_path: Path) -> None:
    A.save(BBoxInpaint(relabel={"cone": "cube"}, num_boxes=3), str(tmp_path / "swap.json"))
    saved, typed = asked(tmp_path / "swap.json"), asked(swap=["cone=cube"])
    assert [edit.target for edit in plan(saved.recipe_for(), SCENE, random.Random(0))] == ["cube"] * 3
    assert typed.recipe_for().include_labels == ["cone"]
    A.save(BBoxInpaint(num_boxes=3), str(tmp_path / "plain.json"))
    both = asked(tmp_path / "plain.json", swap=["cone=cube"])
    assert [edit.label for edit in plan(both.recipe_for(), SCENE, random.Random(0))] == ["cone", "cone"]


def test_labels_without_a_prompt_are_left_alone_by_a_transform_too() -> None:
    found = asked(prompt=["cone=a big cone"], swap=None)
    arguments = found.arguments(["cone", "cube"])
    assert (arguments["prompts"], arguments["include_labels"]) == ({"cone": ["a big cone"]}, ["cone"])
    assert {edit.label for edit in plan(BBoxInpaint(**arguments).editor.recipe, SCENE, random.Random(0))} == {"cone"}


def test_ids_of_a_file_are_the_names_of_the_data_set(tmp_path: Path) -> None:
    saved = BBoxInpaint(prompts={0: "a red cone", 1: "a cube"}, class_names=["cone", "cube"], num_boxes=3)
    A.save(saved, str(tmp_path / "ids.json"))
    edits = plan(asked(tmp_path / "ids.json").recipe_for(), SCENE, random.Random(0))
    assert [edit.prompt for edit in edits] == ["a red cone", "a cube", "a red cone"]
    typed = asked(tmp_path / "ids.json", prompt=["my {label}"])
    assert [edit.prompt for edit in plan(typed.recipe_for(), SCENE, random.Random(0))] == [
        "my cone",
        "my cube",
        "my cone",
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"strength": 0.0}, "strength=0.0"),
        ({"shape": "mask"}, "instance masks"),
        ({"shape": "star"}, "shape='star'"),
        ({"attribute": ["color"]}, "NAME=VALUE"),
        ({"prompt": ["a {size} {label}"]}, "--attribute size"),
        ({"only": ["car"], "swap": ["cone=cube"]}, "--only 'cone'"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_what_cannot_be_is_refused(typed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked(**typed)


def test_pictures_to_paint_after_reach_every_variant(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    found = asked(reference=[f"cone={tmp_path / 'a.png'},{tmp_path / 'b.png'}"])
    edits = [plan(found.recipe_for(), SCENE, random.Random(seed))[0] for seed in range(20)]
    sources = {edit.reference.source for edit in edits if edit.reference is not None}
    assert {Path(source).name for source in sources} == {"a.png", "b.png"}
    assert all((edit.reference is not None) == (edit.label == "cone") for edit in edits)
    assert set(BBoxInpaint(**found.arguments(["cone", "cube"])).editor.recipe.reference) == {"cone"}


def test_masks_of_a_file_are_refused_and_the_mend_works(tmp_path: Path) -> None:
    A.save(BBoxInpaint(shape="mask"), str(tmp_path / "mask.json"))
    with pytest.raises(ValueError, match="--shape box or ellipse"):
        asked(tmp_path / "mask.json")
    assert asked(tmp_path / "mask.json", shape="box").recipe.shape == "box"


def test_where_it_is_painted() -> None:
    assert placed(ModelSpec("sd15", serving="shared", address="/x")) == ModelSpec("sd15", serving="local")
    ray = ModelSpec("sd15", serving="ray", address="head:6379")
    assert placed(ray) == ray
    assert placed(ModelSpec("sd15", serving="shared", address="/x"), ray=True) == ModelSpec("sd15", serving="ray")
    assert placed(ray, ray=True, address="other:1") == ModelSpec("sd15", serving="ray", address="other:1")


def options(model: str, lora: Path) -> list[object]:
    """The recipe of ``saved_recipe``, typed."""
    of_model = ["--model", model, "--steps", 2, "--lora", lora, "--size", 32, "--guidance-scale", 3]
    words = ["--prompt", "a {color} {label}", "--attribute", "color=red", "--negative-prompt", "blurry"]
    return [*of_model, *words, "--shape", "ellipse", "--strength", 0.8, "--gate", "change:min_inside=1", "--retries", 0]


def saved_recipe(model: str, lora: Path) -> BBoxInpaint:
    return BBoxInpaint(
        {"id": model, "steps": 2, "lora": str(lora), "size": 32, "guidance_scale": 3},
        prompts="a {color} {label}",
        attributes={"color": ["red"]},
        negative_prompt="blurry",
        shape="ellipse",
        strength=0.8,
        gate={"gate": "change", "min_inside": 1},
        retries=0,
        p=0.1,
    )


def test_a_preview_shows_what_an_export_of_the_same_file_writes(dataset: Path, model: str) -> None:
    """Typed or from a file is the same; a LoRA reaches both commands."""
    lora = pipelines.save_sd_lora(dataset / "lora")
    A.save(saved_recipe(model, lora), "recipe.json")
    names = ["--format", "yolo", "--names", "cone,cube"]
    for out, more in (("file.png", ["--config", "recipe.json"]), ("typed.png", options(model, lora))):
        code, said = run("preview", ".", *names, *more, "--variants", 1, "--limit", 2, "--out", out)
        assert code == 0, said
    np.testing.assert_array_equal(pixels("file.png"), pixels("typed.png"))
    without = options(model, lora)
    del without[without.index("--lora") : without.index("--lora") + 2]
    run("preview", ".", *names, *without, "--variants", 1, "--limit", 2, "--out", "without.png")
    assert (pixels("without.png")[..., :] != pixels("file.png")).any()
    for out, more in (("file", ["--config", "recipe.json"]), ("typed", options(model, lora))):
        code, said = run("export", ".", dataset.parent / f"{dataset.name}-{out}", *names, *more)
        assert code == 0, said
    lines = [
        (dataset.parent / f"{dataset.name}-{out}" / "provenance.jsonl").read_text().splitlines()
        for out in ("file", "typed")
    ]
    assert len(lines[0]) == 3
    for one, other in zip(*(map(json.loads, texts) for texts in lines), strict=True):
        assert {**one, "time": 0, "milliseconds": 0, "scores": 0} == {
            **other,
            "time": 0,
            "milliseconds": 0,
            "scores": 0,
        }
        assert one["model"]["lora"] == str(lora)
        assert one["edit"]["prompt"] in ("a red cone", "a red cube")
        assert (one["edit"]["negative_prompt"], one["edit"]["strength"]) == ("blurry", 0.8)
        assert one["recipe"]["shape"] == "ellipse"


def test_an_export_goes_on_with_the_same_file_and_with_no_other(dataset: Path, model: str) -> None:
    target = dataset.parent / f"{dataset.name}-out"
    command = ["export", ".", target, "--format", "yolo", "--names", "cone,cube", "--config", "recipe.json"]
    for feather, code in ((0.1, 0), (0.1, 0), (0.3, 1)):
        A.save(BBoxInpaint({"id": model, "steps": 1}, feather=feather), "recipe.json")
        found, said = run(*command, "--only", "cone")
        assert found == code, said
    assert "'feather': 0.1" in said
    assert "'feather': 0.3" in said


def test_what_stands_before_it_in_a_pipeline_is_said(dataset: Path, model: str) -> None:
    pipeline = A.Compose(
        [A.Resize(64, 64), BBoxInpaint({"id": model, "steps": 1})],
        bbox_params=A.BboxParams("yolo", label_fields=["labels"]),
    )
    A.save(pipeline, "pipeline.json")
    code, said = run(
        *("preview", ".", "--format", "yolo", "--names", "cone,cube", "--config", "pipeline.json"),
        *("--variants", 1, "--limit", 1, "--boxes-per-image", 2),
    )
    assert code == 0, said
    assert "Resize before BBoxInpaint is left out" in said


@pytest.mark.parametrize("command", ["preview", "export", "paint-ahead", "bench", "serve"])
def test_a_file_that_is_none_is_one_line(dataset: Path, command: str) -> None:
    (dataset / "recipe.json").write_text("[]")
    places = {"preview": ["."], "export": [".", "out"], "paint-ahead": [".", "--pool", "pool"]}.get(command)
    more = [] if places is None else [*places, "--format", "yolo"]
    code, said = run(command, *more, "--config", "recipe.json")
    assert code == 2
    assert "not a pipeline that A.save has written" in " ".join(said.replace("│", " ").split())


def test_a_model_alone(config: Path) -> None:
    assert read_spec(None, config, ModelOptions(steps=2)) == ModelSpec("sd15", steps=2, lora="style.safetensors")
    assert read_spec(None, None, ModelOptions()) == ModelSpec("tiny")
