"""The command line: what it writes, what it says, and how it exits. Never a traceback."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pipelines
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.connect import connect
from inpaint_transform.tools.cli import app
from inpaint_transform.tools.demo import FOLDER

LABEL_LINES = "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.4 0.4\n"
LABELS = {"yolo": ".txt", "voc": ".xml"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small inpainting checkpoint with random weights."""
    return str(pipelines.save_sd_inpaint(tmp_path_factory.mktemp("cli") / "model"))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures with YOLO labels; it is the working folder, so that messages are short."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "labels" / f"{name}.txt").write_text(LABEL_LINES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    # An exit is the only exception that the user is spared.
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def preview(*more: object, names: str = "cone,cube") -> tuple[int, str]:
    return run("preview", "images", "--boxes", "labels", "--format", "yolo", "--names", names, "--steps", 2, *more)


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_preview_writes_a_sheet_and_names_it(dataset: Path, model: str) -> None:
    code, said = preview("--model", model, "--variants", 2, "--limit", 2)
    assert code == 0, said
    assert re.search(r"^wrote preview\.png in [\d.]+ s$", said, re.MULTILINE)
    assert "pictures: 2 seen, 2 used" in said
    two = pixels("preview.png")
    preview("--model", model, "--variants", 3, "--limit", 3, "--boxes-per-image", 2, "--out", "more.png")
    more = pixels("more.png")
    # Six rows instead of two, and one column more.
    assert more.shape[0] > 2.5 * two.shape[0]
    assert more.shape[1] > two.shape[1]


def test_preview_of_a_data_sets_folder_as_a_page_with_a_gate(dataset: Path, model: str) -> None:
    options = ["--format", "yolo", "--names", "cone,cube", "--steps", 2, "--model", model, "--variants", 2]
    code, said = run("preview", ".", *options, "--only", "cube", "--gate", "change:min_inside=250", "--out", "p.html")
    assert code == 0, said
    assert re.search(r"^wrote p\.html in [\d.]+ s$", said, re.MULTILINE)
    page = Path("p.html").read_text()
    assert "a photo of a cube" in page
    assert "a photo of a cone" not in page
    assert "original kept" in page


def test_the_same_seed_gives_the_same_sheet(dataset: Path, model: str) -> None:
    for out, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        code, said = preview("--model", model, "--limit", 1, "--variants", 1, "--seed", seed, "--out", out)
        assert code == 0, said
    np.testing.assert_array_equal(pixels("a.png"), pixels("b.png"))
    assert pixels("a.png").shape != pixels("c.png").shape or (pixels("a.png") != pixels("c.png")).any()


def test_problems_are_named_and_the_rest_goes_on(dataset: Path, model: str) -> None:
    (dataset / "images" / "a.png").write_bytes(b"no picture")
    (dataset / "labels" / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 oops 0.5 0.5\n7 0.5 0.5 0.5 0.5\n")
    code, said = preview("--model", model, "--variants", 1)
    assert code == 1
    assert f"{Path('images/a.png')}: not a picture" in said
    assert f"{Path('labels/b.txt')}:2: 'oops' is not a number" in said
    assert f"{Path('labels/b.txt')}:3: class id '7' has no name" in said
    assert "wrote preview.png" in said
    assert pixels("preview.png").shape[0] > 200


def test_nothing_usable_is_one_clear_error(dataset: Path) -> None:
    for name in "abc":
        (dataset / "labels" / f"{name}.txt").unlink()
    code, said = preview()
    assert code == 1
    assert "no picture of the split train has labels" in said
    assert said.strip().splitlines()[-1].startswith("Error: nothing to paint: no picture could be read")
    assert not (dataset / "preview.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--variants", 0),
        ("--variants", "many"),
        ("--limit", 0),
        ("--boxes-per-image", 0),
        ("--context", 0.5),
        ("--context", "nan"),
        ("--strength", 0),
        ("--strength", "nan"),
        ("--strength", 1.5),
        ("--steps", 0),
        ("--guidance-scale", -1),
        ("--min-box-size", -1),
        ("--prompt", ""),
        ("--prompt", "a {colour} car"),
        ("--prompt", "cone="),
        ("--model", ""),
        ("--out", "preview.jpg"),
        ("--out", "nowhere/preview.png"),
        ("--format", "csv"),
        ("--nonsense",),
    ],
)
def test_bad_options_are_usage_errors(dataset: Path, arguments: tuple[object, ...]) -> None:
    code, said = preview(*arguments)
    assert code == 2, said
    assert "Usage" in said
    assert sorted(path.name for path in dataset.iterdir()) == ["images", "labels"]


def test_names_are_for_yolo(dataset: Path) -> None:
    code, said = run("preview", "images", "--boxes", "labels", "--format", "voc", "--names", "cone")
    assert code == 2
    assert "--names" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--boxes", "labels", "--format", "yolo"), "nowhere"),
        (("images", "--boxes", "nowhere", "--format", "yolo"), "nowhere"),
        (("images", "--boxes", "labels", "--format", "yolo"), "class ids only"),
        (("images", "--boxes", "labels", "--format", "yolo", "--names", "data.yaml"), "data.yaml: No such file"),
        (("images", "--boxes", "labels/a.txt", "--format", "coco"), "a.txt:1: not JSON"),
        (("images", "--boxes", "labels", "--format", "yolo", "--names", "a,b", "--model", "./nowhere"), "nowhere"),
    ],
)
def test_what_the_library_refuses_is_one_line(dataset: Path, arguments: tuple[str, ...], message: str) -> None:
    code, said = run("preview", *arguments)
    assert code == 1
    [error] = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert message in error
    assert not (dataset / "preview.png").exists()


def test_an_impossible_schedule_is_one_line(dataset: Path, model: str) -> None:
    code, said = preview("--model", model, "--strength", 0.1)
    assert code == 1
    assert "Error: strength=0.1 with steps=2" in said
    assert not (dataset / "preview.png").exists()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=100),
        st.lists(st.sampled_from(["0", "1", "9", "-1", "0.5", "nan", "inf", "1e999", "x", "\n", "\0"])).map(
            lambda words: " ".join(words).encode()
        ),
        st.lists(st.sampled_from(["<annotation>", "<object>", "</object>", "<name>x</name>", "<bndbox/>", "\n"])).map(
            lambda words: "".join([*words, "</annotation>"]).encode()
        ),
    ),
    box_format=st.sampled_from(sorted(LABELS)),
)
def test_garbage_label_files_never_end_in_a_traceback(dataset: Path, content: bytes, box_format: str) -> None:
    (dataset / "labels" / f"a{LABELS[box_format]}").write_bytes(content)
    names = ("--names", "cone,cube") if box_format == "yolo" else ()
    # No box is this large, so whatever is readable ends before a model is loaded.
    code, said = run(
        "preview", "images/a.png", "--boxes", "labels", "--format", box_format, "--min-box-size", 1000, *names
    )
    assert code == 1
    assert "Error: nothing to paint" in said


def test_module_runs_in_a_process_of_its_own(dataset: Path) -> None:
    """The real thing, end to end; --help and errors come without loading any heavy library."""
    (dataset / "images" / "a.png").write_bytes(b"no picture")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONPROFILEIMPORTTIME": "1"}
    helped, failed = (
        subprocess.run(
            [sys.executable, "-m", "inpaint_transform", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        for arguments in (
            ["--help"],
            ["preview", "images/a.png", "--boxes", "labels", "--format", "yolo", "--names", "a,b"],
        )
    )
    assert helped.returncode == 0
    assert "preview" in helped.stdout
    imported = set(re.findall(r"\|\s+([\w.]+)$", helped.stderr, re.MULTILINE))
    assert "typer" in imported
    assert not imported & {"torch", "diffusers", "transformers", "albumentations", "cv2"}
    assert failed.returncode == 1
    assert f"{Path('images/a.png')}: not a picture" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


def test_serve_leaves_a_folder_alone_that_has_other_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "log").write_text("of something else")
    code, said = run("serve", "tiny", "--address", tmp_path)
    assert code == 1
    assert "other files lie there" in said
    assert (tmp_path / "log").read_text() == "of something else"


@pytest.mark.slow
def test_serve_by_hand_paints_counts_and_ends_with_ctrl_c(tmp_path: Path, model: str) -> None:
    place = tmp_path / "server"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-u", "-m", "inpaint_transform", "serve", model, "--address", str(place), "--steps", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("serving; use it with model={")
            spec = ast.literal_eval(said.partition("model=")[2].partition(";")[0])
            assert process.stdout.readline().strip() == str(place)
            inpainter = connect(ModelSpec.of(spec))
            crop = np.zeros((inpainter.size, inpainter.size, 3), np.uint8)
            [result] = inpainter.paint([InpaintRequest(crop, crop[..., 0] == 0, "a cube")])
            assert result.image is None or result.image.shape == crop.shape
            code, counters = run("serve", "--stats", place)
            assert code == 0
            assert json.loads(counters)["requests"] == 1
            code, refused = run("serve", model, "--address", place)
            assert code == 1
            assert "a server runs in" in refused
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not place.exists()
    code, said = run("serve", "--stats", place)
    assert code == 1
    assert "no server listens" in said


@pytest.mark.parametrize(
    "arguments", [(), ("tiny", "--stats", "x"), ("tiny", "--dtype", "int8"), ("tiny", "--size", 3), ("--nonsense",)]
)
def test_bad_serve_options_are_usage_errors(arguments: tuple[object, ...]) -> None:
    code, said = run("serve", *arguments)
    assert code == 2
    assert "Usage" in said


@pytest.mark.skipif(
    not (FOLDER / "demo.json").exists() or not Path(PRESETS["tiny"].id).is_dir(),
    reason="the embedded model or its picture is not in this checkout",
)
def test_demo_needs_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("demo")
    assert code == 0, said
    assert re.search(r"wrote before_after\.png in [\d.]+ s\n$", said)
    sheet = pixels("before_after.png")
    assert sheet.shape[1] > 960
    # The right half shows other pixels than the left one.
    middle = sheet.shape[1] // 2
    assert (sheet[60:300, :middle] != sheet[60:300, -middle:]).any()
