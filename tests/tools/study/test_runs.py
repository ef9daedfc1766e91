"""A run's digest knows what its result depends on and nothing else; its command is told what the README promises."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import albumentations as A
import pytest
from studies import configuration

from inpaint_transform import BBoxInpaint
from inpaint_transform.tools.study import config as configs
from inpaint_transform.tools.study.runs import Places, command_line, environment, plan


def digests(folder: Path, **changes: Any) -> dict[str, str]:
    config = configs.read(configuration(folder, **{"depends": [folder / "train.py"], **changes}))
    return {f"{run.arm.name}/{run.draw}": run.digest for run in plan(config, None)}


@pytest.fixture
def flip(tmp_path: Path) -> Path:
    A.save(A.HorizontalFlip(p=0.5), str(tmp_path / "flip.json"))
    return tmp_path / "flip.json"


def test_what_changes_no_result_changes_no_digest(tmp_path: Path) -> None:
    before = digests(tmp_path)
    assert len(set(before.values())) == len(before) == 12
    more = {"nothing": {"baseline": True}, "better": {"baseline": "no"}, "third": {"baseline": True}}
    metric = {"test": "test.other", "val": "val.other", "better": "lower", "scale": 1}
    after = digests(
        tmp_path, name="x", devices=["a", "b"], draws=8, arms=more, metric=metric, out=tmp_path / "elsewhere"
    )
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"command": "other {seed}"}, 0),
        ({"training": "other"}, 0),
        ({"metric": {"test": "m", "file": "{out}/other.json"}}, 0),
        ({"metric": {"test": "m", "images": "{out}/images.json"}}, 0),
        ({"seed": 1}, 0),
        ({"arms": {"nothing": {"baseline": True}, "better": {"args": "--more"}}}, 6),
        ({"arms": {"nothing": {"baseline": True}, "renamed": None}}, 6),
        ({"draws": 3}, 6),
    ],
)
def test_what_may_change_a_result_changes_its_digest(tmp_path: Path, changes: dict[str, Any], kept: int) -> None:
    before = digests(tmp_path)
    assert len(before.items() & digests(tmp_path, **changes).items()) == kept


def test_the_content_of_a_transform_counts_and_not_its_file(tmp_path: Path, flip: Path) -> None:
    def arm(path: Path) -> set[str]:
        arms = {"nothing": {"baseline": True}, "flip": {"transform": str(path), "use": "online"}}
        return set(digests(tmp_path, arms=arms).values())

    before = arm(flip)
    renamed = tmp_path / "renamed.json"
    renamed.write_text(json.dumps({**json.loads(flip.read_text()), "__version__": "9"}, indent=4))
    assert arm(renamed) == before
    A.save(A.HorizontalFlip(p=0.4), str(flip))
    assert len(arm(flip) & before) == 6


def test_the_weights_of_a_model_on_this_disk_count(tmp_path: Path) -> None:
    """Fitted again into the same folder it is another model."""
    model, saved = tmp_path / "my-model", tmp_path / "painted.json"
    (model / "unet").mkdir(parents=True)
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"first")
    A.save(BBoxInpaint(str(model)), str(saved))

    def painted() -> set[str]:
        arms = {"nothing": {"baseline": True}, "painted": {"transform": str(saved), "use": "online"}}
        return {digest for run, digest in digests(tmp_path, arms=arms).items() if run.startswith("painted")}

    before = painted()
    (model / "README.md").write_text("changes nothing")
    assert painted() == before
    weights.write_bytes(b"other")
    assert not painted() & before


def test_draws_come_one_after_the_other(tmp_path: Path) -> None:
    config = configs.read(configuration(tmp_path, seed=5))
    runs = plan(config, None)
    assert [(run.draw, run.seed, run.arm.name) for run in runs][:3] == [
        (0, 5, "nothing"),
        (0, 5, "better"),
        (1, 6, "nothing"),
    ]


def test_a_command_is_told_everything_in_words_of_the_shell(tmp_path: Path, flip: Path) -> None:
    arms = {"nothing": {"baseline": True}, "flip": {"transform": str(flip), "use": "online", "args": "--a 'b c'"}}
    command = " ".join(f"{{{name}}}" for name in configs.PLACEHOLDERS if name not in ("data", "folder"))
    config = configs.read(configuration(tmp_path, arms=arms, command=command, out=tmp_path / "it's out"))
    places = Places(config, pytest.fail)
    run = plan(config, None)[1]
    out = places.begin(run)
    values = places.values(run, "cuda:0; rm x", None)
    assert shlex.split(command_line(config.command, values)) == [
        *("0", str(out), "cuda:0; rm x", "0", "flip", "all", "--a", "b c", values["transform"], values["python"])
    ]
    env = environment(values)
    assert env["INPAINT_STUDY_OUT"] == str(out)
    assert env["INPAINT_STUDY_ARGS"] == "--a 'b c'"
    assert env["INPAINT_STUDY_DATA"] == ""
    assert list(out.iterdir()) == []
    assert A.load(values["transform"]).p == 0.5
    plain = places.values(plan(config, None)[0], "cpu", None)
    assert plain["transform"] == ""


def test_a_folder_of_a_broken_off_run_is_emptied(tmp_path: Path) -> None:
    config = configs.read(configuration(tmp_path))
    places, run = Places(config, pytest.fail), plan(configs.read(configuration(tmp_path)), None)[0]
    (places.begin(run) / "metrics.json").write_text("stale")
    assert list(places.begin(run).iterdir()) == []


def test_five_lines_load_the_transform(flip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the README."""
    readme = Path(configs.__file__).with_name("README.md").read_text("utf-8")
    [snippet] = [part.split("```")[0] for part in readme.split("```python\n") if "environ" in part.split("```")[0]]
    assert len([line for line in snippet.splitlines() if line]) == 5
    for path, count in ((str(flip), 1), ("", 0)):
        monkeypatch.setenv("INPAINT_STUDY_TRANSFORM", path)
        names: dict[str, Any] = {}
        exec(snippet, names)
        assert len(names["augment"]) == count
