"""Which painters a server finds: those that paint the same, however they are run."""

import dataclasses
import json

import pytest

from inpaint_transform.core.models import FIELDS, ModelSpec
from inpaint_transform.core.presets import PRESET_FIELDS
from inpaint_transform.core.service import Service
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.placement import LATER_FIELDS, portable
from inpaint_transform.serving.ray import names

SPEC = ModelSpec("sd15", serving="ray")
OTHER = {
    "id": "sd2",
    "revision": "main",
    "variant": "other",
    "dtype": "bfloat16",
    "size": 256,
    "steps": 9,
    "guidance_scale": 3.0,
    "scheduler": "LCMScheduler",
    "quantize": "int8",
    "lora": [("folder", 0.5), "other"],
    "textual_inversion": {"<cone>": "folder"},
    "vae_tiling": True,
    "vae_slicing": True,
    "ip_adapter": "folder",
    "ip_adapter_scale": 0.0,
    "offload": "model",
    "vae": "folder",
    "controlnet": "folder",
    "clip": "tiny",
    "compile": True,
    "channels_last": False,
    "safety_checker": True,
    "reproducible": True,
    "serving": "local",
    "address": "10.0.0.1:6379",
    "timeout_s": 7.0,
    "device": "cuda:3",
    "max_batch_size": 3,
    "max_wait_ms": 77.0,
    "memory_fraction": 0.5,
    "device_share": 0.5,
}


@pytest.mark.parametrize("field", FIELDS)
def test_painters_are_told_apart_by_what_they_paint(field):
    other = dataclasses.replace(SPEC, **{field: OTHER[field]})
    same = names.family(other) == names.family(SPEC)
    assert same == (field in {one.name for one in dataclasses.fields(Service)})
    for wanted, there in ((SPEC, other), (other, SPEC)):
        differs = names.difference(wanted, json.loads(json.dumps(portable(there))))
        assert differs is None if same else differs.startswith(f"{field}=") or field == "id"


def test_a_field_that_specs_did_not_always_have_changes_no_name_of_before():
    assert not LATER_FIELDS & portable(SPEC).keys()
    assert names.family(ModelSpec("sd15", vae_tiling=False)) == names.family(SPEC)


def test_a_preset_is_what_it_stands_for():
    assert names.family(ModelSpec("sd15", steps=20)) == names.family(SPEC) == names.family(SPEC.resolved())


def test_the_embedded_model_has_the_same_name_wherever_it_is_installed(monkeypatch):
    here = names.family(ModelSpec("tiny"))
    elsewhere = {**PRESET_FIELDS["tiny"], "id": "/opt/other/site-packages/checkpoint"}
    monkeypatch.setitem(PRESET_FIELDS, "tiny", elsewhere)
    assert names.family(ModelSpec("tiny")) == here
    assert portable(ModelSpec("tiny"))["id"] == "tiny"


def test_another_engine_is_another_painter(monkeypatch):
    before = names.family(SPEC)
    monkeypatch.setenv(ENGINE_VARIABLE, "elsewhere:Engine")
    assert names.family(SPEC) != before


def test_new_names_belong_to_the_family_and_differ():
    found = {names.new_name(SPEC) for _ in range(20)}
    assert len(found) == 20
    assert all(name.startswith(names.family(SPEC)) for name in found)
