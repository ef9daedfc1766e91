"""Model specifications: what is refused, what a preset fills in, and that a spec is a plain value."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.models import PRESETS, ModelSpec, ResolvedSpec, rank_device
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
    dtype=st.sampled_from(["auto", "float32"]),
    size=st.none() | st.integers(8, 2048),
    steps=st.none() | st.integers(1, 100),
    guidance_scale=st.none() | st.floats(0, 50),
    safety_checker=st.booleans(),
    max_batch_size=st.none() | st.integers(1, 64),
    memory_fraction=st.none() | st.floats(0, 1, exclude_min=True),
    serving=st.sampled_from(["auto", "local", "shared"]),
    compile=st.booleans(),
    channels_last=st.sampled_from([None, True, False]),
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
        if field != "id":
            assert getattr(resolved, field) == value
    assert resolved.resolved() == resolved
    assert ModelSpec.of(resolved.to_dict()).resolved() == resolved


@pytest.mark.parametrize(("rank", "count", "index"), [(None, 2, 0), ("1", 4, 1), ("5", 4, 1), ("3", 1, 0), ("2", 0, 0)])
def test_a_rank_has_a_device_also_where_it_sees_one_only(rank: str | None, count: int, index: int) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("LOCAL_RANK", raising=False)
        if rank is not None:
            environment.setenv("LOCAL_RANK", rank)
        assert rank_device(count) == index


def test_a_rank_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ValueError, match="LOCAL_RANK='first'"):
        rank_device(1)


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


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "10.0.0.7:6379", "[::1]:6379", "a-b.c_d:1"])
def test_addresses_of_a_cluster(address):
    assert ModelSpec("sd15", serving="ray", address=address).resolved().address == address


@pytest.mark.parametrize(
    "address", ["ray://head:10001", "head", "head:", ":6379", "head:0", "head:70000", "/tmp/x", "a b:1"]
)
def test_what_is_no_address_of_a_cluster(address):
    with pytest.raises(ValueError, match=r"address=.*host:port"):
        ModelSpec("sd15", serving="ray", address=address)


def test_a_path_is_a_place_too(tmp_path: Path) -> None:
    spec = ModelSpec.of(tmp_path)
    assert spec == ModelSpec(str(tmp_path)) == ModelSpec(tmp_path)  # type: ignore[arg-type] # at runtime it may be
    parts = {name: tmp_path / name for name in ("lora", "vae", "controlnet", "clip", "address")}
    assert ModelSpec("tiny", **parts).to_dict() == {"id": "tiny", **{name: str(part) for name, part in parts.items()}}


@pytest.mark.parametrize("model", [None, 3, object(), ["tiny"], b"tiny"])
def test_of_names_what_is_no_model_at_all(model: Any) -> None:
    with pytest.raises(ValueError, match=r"^model=.*: give a preset \(tiny, .*save_pretrained"):
        ModelSpec.of(model)


@pytest.mark.parametrize("address", ["gpu1:8000", "10.0.0.7:80", "http://gpu1/x", "tcp://gpu1:1", "localhost:8000"])
def test_a_server_on_another_machine_cannot_be_reached(address: str) -> None:
    with pytest.raises(ValueError, match=f"address='{address}': .*on its own machine only.*serving='ray'"):
        ModelSpec("tiny", address=address)


@pytest.mark.parametrize("address", ["/run/user/1/inpaint-x", "servers/a", "C:\\servers\\a", "servers:old/1"])
def test_folders_are_addresses(address: str) -> None:
    assert ModelSpec("tiny", address=address).address == address
