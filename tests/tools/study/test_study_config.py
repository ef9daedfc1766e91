"""Configurations: what is read, and that one message names key, value and mend of what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.tools.study import config as configs
from inpaint_transform.tools.study.config import Arm, fill, read
from inpaint_transform.tools.study.keys import ConfigError

GOOD: dict[str, Any] = {
    "command": "train {seed}",
    "metric": {"test": "map"},
    "arms": {"nothing": {"baseline": True}, "painted": None},
    "out": "results",
}
YAML = """
data: {source: cones, format: yolo, to: coco, clip: yes, split: {dev: val}, names: names.txt}
n: 20
draws: 8
seed: 3
command: "python train.py --data {data} --seed {seed} {args} > {out}/log"
metric:
  file: "{out}/results.csv"
  test: metrics/mAP50-95(B)
  val: 0.5
  better: lower
  scale: 1e2
devices: [0, cuda:1]
depends: train.py
arms:
  no: {baseline: on, args: "mosaic=1.0 {not} a placeholder"}
  off: {transform: painted.json, use: export, copies: 2}
  on-line: {transform: painted.json, use: online}
  more: {n: 40}
  ~: {transform: none}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("painted.json", "train.py", "names.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "cones").mkdir()
    return tmp_path


def test_a_file_says_everything_and_no_and_off_are_names(folder: Path) -> None:
    path = folder / "cones-study.yaml"
    path.write_text(YAML.replace("  ~:", "  null.1:"))
    found = read(path)
    assert [arm.name for arm in found.arms] == ["no", "off", "on-line", "more", "null.1"]
    assert found.arms[0] == Arm("no", baseline=True, args="mosaic=1.0 {not} a placeholder")
    assert found.arms[1] == Arm("off", transform=folder / "painted.json", use="export", copies=2)
    assert found.arms[3].n == 40
    assert found.arms[4] == Arm("null.1")
    assert (found.n, found.draws, found.seed, found.devices) == (20, 8, 3, ("0", "cuda:1"))
    assert (found.metric.better, found.metric.scale, found.metric.val) == ("lower", 100, "0.5")
    assert found.depends == (folder / "train.py",)
    assert found.out == folder / "cones-study"
    assert found.name == "cones-study"
    assert found.data is not None
    assert (found.data.box_format, found.data.to, found.data.clip) == (BoxFormat.YOLO, BoxFormat.COCO, True)
    assert found.data.names == str(folder / "names.txt")
    assert found.data.source == folder / "cones"


def test_a_dict_says_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = read(
        {**GOOD, "n": "all", "depends": [Path("train.py")], "data": {"source": Path("cones"), "format": "voc"}}
    )
    assert (found.out, found.folder, found.n, found.draws) == (folder / "results", folder, None, 10)
    assert found.data is not None
    assert found.data.to is BoxFormat.VOC
    assert found.metric.file == "{out}/metrics.json"
    assert read({**GOOD, "arms": {"a": {"baseline": True}, "b": "null"}}).arms[1] == Arm("b")
    # Without a data set the command is told how many pictures to draw.
    assert read({**GOOD, "n": 20}).n == 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"comand": "x"}, "comand: there is no such key; did you mean 'command'"),
        ({"whatever": "x"}, "whatever: there is no such key; the keys are out, data"),
        ({"command": None}, "command is missing"),
        (
            {"command": "train {sed}"},
            r"command='train {sed}': {sed} is no placeholder; there are {data}.*written twice",
        ),
        ({"command": "train {"}, "command='train {': .*written twice"),
        ({"command": "train {seed:3d}"}, "{seed} is no placeholder"),
        ({"command": {"python": ""}}, "is put in quotes"),
        ({"command": "train {data}"}, "{data} needs the key data, with source and format"),
        ({"arms": {"a": {"baseline": True}}}, r"arms=\['a'\]: give at least one with 'baseline: true' and another"),
        ({"arms": {"a": None, "b": None}}, "give at least one with 'baseline: true'"),
        ({"arms": {"a": {"baseline": True}, "b": {"baseline": "true"}}}, "'baseline: true' and another"),
        ({"arms": ["a", "b"]}, "arms=.*: give keys and values below it"),
        ({"arms": {"a": {"baseline": "maybe"}}}, "arms.a.baseline='maybe': use true or false"),
        ({"arms": {"a b": None}}, "arms.a b: name an arm with letters"),
        ({"arms": {"../a": None}}, "name an arm with letters"),
        ({"arms": {"a": {"transform": "none.json", "use": "online"}}}, "a.transform='none.json': there is no file"),
        ({"arms": {"a": {"use": "online"}}}, "arms.a.use='online': one of export or online goes with a transform"),
        ({"arms": {"a": {"copies": 0}}}, "arms.a.copies=0: use a count >= 1"),
        ({"arms": {"a": {"n": "many"}}}, "arms.a.n='many': use a whole number"),
        ({"arms": {"a": {"basline": True}}}, "arms.a.basline: there is no such key; did you mean 'baseline'"),
        ({"metric": {}}, "metric.test is missing"),
        ({"metric": "map"}, "metric='map': give keys and values below it"),
        (
            {"metric": {"test": "map", "file": "metrics.json"}},
            "metric.file='metrics.json': each run .*begin with {out}/",
        ),
        ({"metric": {"test": "map", "better": "more"}}, "metric.better='more': use higher or lower"),
        ({"metric": {"test": "map", "scale": 0}}, "metric.scale=0: use a number > 0"),
        ({"metric": {"test": "map", "ground_truth": __file__}}, "name the detections as metric.images"),
        ({"n": 0}, "n=0: use a count >= 1, or all"),
        ({"draws": "1_000"}, "draws='1_000': use a whole number"),
        ({"draws": True}, "draws=True: use a whole number"),
        ({"seed": -1}, "seed=-1: use a number >= 0"),
        ({"devices": []}, r"devices=\[\]: name at least one"),
        ({"depends": ["none.py"]}, "depends=.*there is no file"),
        ({"out": None}, "out is missing; name the folder"),
        ({"data": {"source": "none", "format": "yolo"}}, "data.source='none': there is no file or folder"),
        ({"data": {"source": ".", "format": "cvat"}}, "data.format='cvat': use yolo or coco or voc"),
        ({"data": {"source": "."}}, "data.format is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: .*{said}"):
        read({**GOOD, **changes})


def test_the_best_of_baselines_is_never_chosen_on_what_is_compared() -> None:
    arms = {"a": {"baseline": True}, "b": {"baseline": True}, "c": None}
    for metric in ({"test": "map"}, {"test": "map", "val": "map"}):
        with pytest.raises(
            ConfigError, match="metric.val=.*with 2 baselines the best is chosen on validation pictures"
        ):
            read({**GOOD, "arms": arms, "metric": metric})
    assert read({**GOOD, "arms": arms, "metric": {"test": "map", "val": "val"}}).metric.val == "val"


def test_only_what_is_no_baseline_may_have_other_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    data = {"source": "cones", "format": "yolo"}
    with pytest.raises(ConfigError, match=r"arms\.a\.n=40: a baseline has the study's pictures"):
        read({**GOOD, "data": data, "n": 20, "arms": {"a": {"baseline": True, "n": 40}, "b": None}})
    assert read({**GOOD, "data": data, "n": 20, "arms": {"a": {"baseline": True}, "b": {"n": 40}}}).arms[1].n == 40


def test_exported_sets_need_a_data_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    arms = {"a": {"baseline": True}, "b": {"transform": "painted.json", "use": "export"}}
    with pytest.raises(ConfigError, match=r"arms\.b\.use='export': sets are made from the key data"):
        read({**GOOD, "arms": arms})


@pytest.mark.parametrize("text", ["", "- a\n", "a: 1\na: 2\n", "file: {out}/x\n", "\t"])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"s\.yaml"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.yaml: "):
        read(tmp_path / "none.yaml")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([*GOOD, "data", "n", "draws", "seed", "devices", "depends", "name", "x"]), ANYTHING)
def test_any_value_is_read_or_refused_in_words(key: str, value: Any) -> None:
    refused = None
    try:
        read({**GOOD, key: value})
    except ConfigError as error:
        refused = str(error)
    assert refused is None or refused.startswith("configuration: ")


def test_braces_that_are_written_twice_stand_for_themselves() -> None:
    found = read({**GOOD, "command": "awk '{{print}}' {out}"})
    values = dict.fromkeys(configs.PLACEHOLDERS, "there")
    assert fill(found.command, values) == "awk '{print}' there"
