"""An export by the painters of a cluster: the files of one machine, resumable anywhere."""

import json
from pathlib import Path

import pytest
from PIL import Image
from ray_cluster import RESOURCE, joined, needs_ray, ray_spec

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets.export import export
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.ray import painters

pytestmark = needs_ray


@pytest.fixture(autouse=True)
def engine_by_id(monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:by_id")


@pytest.fixture
def source(tmp_path):
    """Twelve pictures with a box each."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(12):
        Image.effect_noise((96, 80), 40 + number).convert("RGB").save(folder / "images" / f"{number:02}.png")
        (folder / "labels" / f"{number:02}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return folder


# Long enough for the second painter to be greeted before the first one has painted everything.
def run(source: Path, target: Path, model: ModelSpec) -> Path:
    return export(source, target, "yolo", names="cone", copies=3, prompts="sleep 0.1", model=model).target


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the manifest, whose order is chance, without when it was and how long it took."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found["export.jsonl"]
    lines = [json.loads(line) for line in found["provenance.jsonl"].splitlines()]
    found["provenance.jsonl"] = json.dumps([{**line, "milliseconds": 0, "time": ""} for line in lines]).encode()
    return found


def test_painters_write_the_files_of_one_machine(nodes, source, tmp_path):
    with joined(nodes):
        started = painters.start(ray_spec(nodes, "crowded"), 2, resource=RESOURCE)
        try:
            remote = run(source, tmp_path / "remote", ray_spec(nodes, "crowded"))
            rows = painters.look(started).values()
            assert all(row["requests"] for row in rows)
            assert sum(row["requests"] for row in rows) == 36
        finally:
            painters.end(started, drain_s=0.0)
    local = run(source, tmp_path / "local", ModelSpec("crowded", device="cpu", serving="local"))
    assert contents(remote) == contents(local)


def test_an_export_on_painters_that_are_lost_goes_on_on_one_machine(nodes, source, tmp_path):
    with joined(nodes):
        started = painters.start(ray_spec(nodes, "crowded"), 1, resource=RESOURCE)

        def tell(_: object) -> None:
            painters.end(started, drain_s=0.0)

        with pytest.raises(InpaintError, match="no painter"):
            export(
                source,
                tmp_path / "broken",
                "yolo",
                names="cone",
                copies=3,
                prompts="sleep 0.1",
                model=ray_spec(nodes, "crowded"),
                progress=lambda items, **about: _told(items, tell if about["desc"] == "painting" else None),
            )
    spec = ModelSpec("crowded", device="cpu", serving="local")
    assert contents(run(source, tmp_path / "broken", spec)) == contents(run(source, tmp_path / "local", spec))


def _told(items, tell):
    for number, item in enumerate(items):
        if tell is not None and number == 1:
            tell(item)
        yield item
