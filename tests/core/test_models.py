"""Model specifications: what is refused, what a preset fills in, and that a spec is a plain value."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.models import FIELDS, PRESETS, Model, ModelSpec, ResolvedSpec, as_json
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.core.service import Service
from inpaint_transform.tiny import CHECKPOINT

NAN = float("nan")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", None),
        ("id", 5),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("device", "cuda:x"),
        ("device", "cuda:-1"),
        ("device", "cuda:²"),
        ("device", "cpu:"),
        ("device", "cpu:0"),
        ("device", "auto:1"),
        ("device", ""),
        ("device", 0),
        ("device", None),
        ("dtype", "fp16"),
        ("dtype", ""),
        ("dtype", None),
        ("serving", "remote"),
        ("serving", None),
        ("size", 7),
        ("size", 0),
        ("size", -64),
        ("size", 64.0),
        ("size", "64"),
        ("size", NAN),
        ("steps", 0),
        ("steps", -1),
        ("steps", 2.5),
        ("steps", "20"),
        ("guidance_scale", -0.1),
        ("guidance_scale", NAN),
        ("guidance_scale", "7.5"),
        ("max_batch_size", 0),
        ("max_batch_size", 1.5),
        ("max_wait_ms", -1),
        ("max_wait_ms", NAN),
        ("memory_fraction", 0),
        ("memory_fraction", -0.5),
        ("memory_fraction", 1.01),
        ("memory_fraction", NAN),
        ("memory_fraction", "0.5"),
        ("address", ""),
        ("address", 7),
        ("timeout_s", 0),
        ("timeout_s", 1e10),
        ("timeout_s", float("inf")),
        ("max_wait_ms", float("inf")),
        ("timeout_s", -1),
        ("timeout_s", NAN),
        ("timeout_s", "60"),
        ("compile", 1),
        ("compile", None),
        ("compile", "max-autotune"),
        ("channels_last", 0),
        ("channels_last", "auto"),
        ("quantize", "int4"),
        ("quantize", ""),
        ("offload", "cpu"),
        ("offload", True),
        ("vae_tiling", None),
        ("vae_slicing", 1),
        ("ip_adapter", ""),
        ("ip_adapter", 3),
        ("ip_adapter_scale", -0.1),
        ("ip_adapter_scale", NAN),
        ("lora", ""),
        ("lora", 5),
        ("lora", ("style.safetensors", 0.6)),
        ("lora", [("style.safetensors", "0.6")]),
        ("lora", [("style.safetensors", NAN)]),
        ("lora", [("style.safetensors", True)]),
        ("lora", [3]),
        ("textual_inversion", "cone.safetensors"),
        ("textual_inversion", {"my cone": "cone.safetensors"}),
        ("textual_inversion", {"": "cone.safetensors"}),
        ("textual_inversion", ["cone.safetensors"]),
    ],
)
def test_a_field_out_of_range_is_named_with_its_value(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match="^" + field) as caught:
        ModelSpec(**{"id": "tiny", field: value})
    message = str(caught.value)
    assert f"{field}={value!r}" in message
    # After the colon stands the mend.
    assert message.partition(f"{value!r}: ")[2].startswith(("use ", "give "))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "cuda:0"),
        ("device", "cuda:11"),
        ("device", "cuda"),
        ("device", "mps"),
        ("dtype", "bfloat16"),
        ("serving", "shared"),
        ("size", 8),
        ("steps", 1),
        ("guidance_scale", 0),
        ("guidance_scale", 7.5),
        ("max_batch_size", 1),
        ("max_wait_ms", 0),
        ("memory_fraction", 1),
        ("memory_fraction", 0.001),
        ("timeout_s", 0.5),
    ],
)
def test_the_ends_of_a_range_are_fine(field: str, value: Any) -> None:
    assert getattr(ModelSpec(**{"id": "tiny", field: value}), field) == value


def test_an_unknown_id_names_the_presets() -> None:
    with pytest.raises(ValueError, match="sd15-lcm"):
        ModelSpec("")


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve(name: str) -> None:
    resolved = ModelSpec(name).resolved()
    assert resolved.id == PRESETS[name].id
    assert resolved.id not in PRESETS
    assert isinstance(resolved, ResolvedSpec)
    assert None not in (resolved.steps, resolved.max_batch_size, resolved.max_wait_ms, resolved.timeout_s)
    assert resolved.size is not None
    assert resolved.size % 8 == 0
    for field, value in PRESETS[name].to_dict().items():
        assert getattr(resolved, field) == value
    assert resolved.resolved() == resolved


def test_tiny_is_the_embedded_checkpoint() -> None:
    assert ModelSpec("tiny").resolved().id == str(CHECKPOINT)


def test_own_fields_win_and_the_rest_of_the_preset_stays() -> None:
    preset = ModelSpec("sd15").resolved()
    changed = ModelSpec("sd15", steps=8).resolved()
    assert (preset.steps, changed.steps) == (20, 8)
    assert {**changed.to_dict(), "steps": 20} == preset.to_dict()
    assert changed.variant == "fp16"
    assert changed.guidance_scale == 7.5

    lcm = ModelSpec("sd15-lcm", guidance_scale=1.5, device="cuda:1").resolved()
    assert (lcm.guidance_scale, lcm.steps, lcm.scheduler, lcm.device) == (1.5, 4, "LCMScheduler", "cuda:1")


def test_an_id_that_is_no_preset_gets_the_library_defaults() -> None:
    resolved = ModelSpec("someone/some-model", timeout_s=5.0).resolved()
    assert resolved.id == "someone/some-model"
    assert (resolved.steps, resolved.max_batch_size, resolved.max_wait_ms, resolved.timeout_s) == (20, 8, 10.0, 5.0)
    assert (resolved.size, resolved.guidance_scale, resolved.variant) == (None, None, None)


# A plain value

specs = st.builds(
    ModelSpec,
    id=st.sampled_from([*PRESETS, "someone/some-model"]),
    revision=st.none() | st.text(),
    device=st.sampled_from(["auto", "cpu", "cuda:3"]),
    size=st.none() | st.integers(8, 2048),
    steps=st.none() | st.integers(1, 100),
    guidance_scale=st.none() | st.floats(0, 50),
    safety_checker=st.booleans(),
    max_batch_size=st.none() | st.integers(1, 64),
    memory_fraction=st.none() | st.floats(0, 1, exclude_min=True),
    serving=st.sampled_from(["auto", "local", "shared"]),
    compile=st.booleans(),
    channels_last=st.sampled_from([None, True, False]),
    lora=st.none() | st.lists(st.sampled_from(["a", "b/c"]) | st.tuples(st.just("d"), st.floats(-2, 2)), max_size=3),
    textual_inversion=st.none() | st.dictionaries(st.sampled_from(["<a>", "b"]), st.just("file"), max_size=2),
    variant=st.none() | st.just("other"),
    dtype=st.sampled_from(["auto", "float32"]),
    quantize=st.sampled_from([None, "int8"]),
)


@given(specs)
def test_a_spec_survives_every_way_of_copying_it(spec: ModelSpec) -> None:
    assert ModelSpec.of(spec.to_dict()) == spec
    assert ModelSpec.of(json.loads(json.dumps(spec.to_dict()))) == spec
    assert pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec) == spec
    assert hash(copy.deepcopy(spec)) == hash(spec)
    assert {spec: 1}[ModelSpec.of(spec.to_dict())] == 1
    assert ModelSpec.of(spec) is spec


@given(specs)
def test_resolving_keeps_what_was_asked_for(spec: ModelSpec) -> None:
    resolved = spec.resolved()
    for field, value in spec.to_dict().items():
        if field == "steps":
            assert resolved.steps == (20 if spec.steps is None else spec.steps)
        elif field != "id":
            assert as_json(field, getattr(resolved, field)) == value
    assert resolved.resolved() == resolved
    assert ModelSpec.of(resolved.to_dict()).resolved() == resolved


def test_to_dict_holds_only_what_differs() -> None:
    assert ModelSpec("tiny").to_dict() == {"id": "tiny"}
    assert ModelSpec("tiny", steps=3, device="auto").to_dict() == {"id": "tiny", "steps": 3}


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ModelSpec("tiny").steps = 3  # type: ignore[misc] # the very mistake under test


def test_of_reads_a_name_a_dict_and_a_spec() -> None:
    assert ModelSpec.of("sd15") == ModelSpec.of({"id": "sd15"}) == ModelSpec.of(ModelSpec("sd15"))


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"id": "tiny", "step": 3}, "unknown field 'step'; a model has the fields id, revision"),
        ({"steps": 3}, "no 'id'; a model has the fields id, revision"),
        ({}, "no 'id'"),
        ({"id": "tiny", "steps": 0}, "steps=0: use a whole number of at least 1"),
    ],
)
def test_of_names_what_is_wrong_with_a_dict(model: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelSpec.of(model)


def test_a_path_is_a_place_too(tmp_path: Path) -> None:
    spec = ModelSpec.of(tmp_path)
    assert spec == ModelSpec(str(tmp_path)) == ModelSpec(tmp_path)  # type: ignore[arg-type] # at runtime it may be
    parts = {name: tmp_path / name for name in ("lora", "vae", "controlnet", "ip_adapter", "clip", "address")}
    assert ModelSpec("tiny", **parts).to_dict() == {"id": "tiny", **{name: str(part) for name, part in parts.items()}}


@pytest.mark.parametrize("model", [None, 3, object(), ["tiny"], b"tiny"])
def test_of_names_what_is_no_model_at_all(model: Any) -> None:
    with pytest.raises(ValueError, match=r"^model=.*: give a preset \(tiny, .*save_pretrained"):
        ModelSpec.of(model)


# Two halves


def test_every_field_is_of_one_half() -> None:
    """What decides about pixels, and what does not; whoever compares specs goes by the halves."""
    halves = [{one.name for one in dataclasses.fields(half)} for half in (Model, Service)]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == set(FIELDS) == {one.name for one in dataclasses.fields(ModelSpec)} - {"undone"}
    for fields in PRESET_FIELDS.values():
        assert set(fields) <= halves[0], "a preset says which model, and nothing about this machine"


def test_a_spec_is_written_down_in_the_order_of_before() -> None:
    spec = ModelSpec(
        "tiny", reproducible=True, max_batch_size=2, size=64, device="cpu", vae_tiling=True, serving="local"
    )
    names = ["id", "device", "size", "max_batch_size", "reproducible", "serving", "vae_tiling"]
    assert list(spec.to_dict()) == names


# Undoing what a preset says


def test_none_undoes_what_a_preset_says() -> None:
    spec = ModelSpec("sd15", variant=None)
    assert spec.to_dict() == {"id": "sd15", "variant": None}
    assert spec != ModelSpec("sd15")
    resolved = spec.resolved()
    assert {**resolved.to_dict(), "variant": "fp16"} == ModelSpec("sd15").resolved().to_dict()
    assert resolved.variant is None
    assert ModelSpec.of(json.loads(json.dumps(spec.to_dict()))) == spec
    assert repr(spec) == "ModelSpec(id='sd15', variant=None)"


@pytest.mark.parametrize("name", PRESETS)
def test_any_field_of_a_preset_can_be_undone(name: str) -> None:
    for field in PRESET_FIELDS[name].keys() - {"id"}:
        undone = ModelSpec(name, **{field: FIELDS[field]})
        assert field in undone.to_dict()
        assert getattr(undone.resolved(), field) == (20 if field == "steps" else FIELDS[field])
        for other in PRESET_FIELDS[name].keys() - {"id", field}:
            assert getattr(undone.resolved(), other) == PRESET_FIELDS[name][other]


def test_copies_undo_what_their_original_undoes_and_no_more() -> None:
    plain, undone = ModelSpec("sd15"), ModelSpec("sd15", variant=None)
    assert dataclasses.replace(plain, serving="local") == ModelSpec("sd15", serving="local")
    assert dataclasses.replace(undone, serving="local") == ModelSpec("sd15", variant=None, serving="local")
    assert dataclasses.replace(undone, variant="fp16") == ModelSpec("sd15", variant="fp16")
    assert pickle.loads(pickle.dumps(undone)) == copy.deepcopy(undone) == undone


def test_what_no_preset_says_is_not_undone() -> None:
    assert ModelSpec("someone/some-model", variant=None) == ModelSpec("someone/some-model")
    assert ModelSpec("sd15", vae=None, dtype="auto") == ModelSpec("sd15")


# Several LoRAs, and words


def test_one_lora_alone_stays_a_string() -> None:
    assert ModelSpec("sd15", lora="a").lora == ModelSpec("sd15", lora=[("a", 1)]).lora == "a"
    assert ModelSpec("sd15", lora=[]).lora is None
    assert ModelSpec("sd15", lora="a").loras == (("a", 1.0),)
    assert ModelSpec("sd15").loras == ()


def test_several_loras_each_with_its_weight(tmp_path: Path) -> None:
    spec = ModelSpec("sd15", lora=[(tmp_path / "a", 0.5), "b", ["c", -1]])
    assert spec.loras == ((str(tmp_path / "a"), 0.5), ("b", 1.0), ("c", -1.0))
    assert spec.to_dict()["lora"] == [[str(tmp_path / "a"), 0.5], ["b", 1.0], ["c", -1.0]]


def test_words_are_kept_with_their_files(tmp_path: Path) -> None:
    spec = ModelSpec("sd15", textual_inversion={"<cone>": tmp_path / "cone.safetensors"})
    assert spec.words == (("<cone>", str(tmp_path / "cone.safetensors")),)
    assert spec.to_dict()["textual_inversion"] == {"<cone>": str(tmp_path / "cone.safetensors")}
    assert ModelSpec("sd15", textual_inversion={}) == ModelSpec("sd15")
