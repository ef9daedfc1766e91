"""The preview command: what it writes, what it says, and how it exits."""

import re
from pathlib import Path

import numpy as np
import pytest
from commands import pixels, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LABELS = {"yolo": ".txt", "voc": ".xml"}

pytest_plugins = ["commands"]


def preview(*more: object, names: str = "cone,cube") -> tuple[int, str]:
    return run("preview", "images", "--boxes", "labels", "--format", "yolo", "--names", names, "--steps", 2, *more)


def test_preview_writes_a_sheet_and_names_it(dataset: Path, model: str) -> None:
    code, said = preview("--model", model, "--variants", 2, "--limit", 2)
    assert code == 0, said
    assert re.search(r"^wrote preview\.png in [\d.]+ s$", said.splitlines()[-1])
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


def test_a_sheet_among_the_pictures_is_refused(dataset: Path) -> None:
    code, said = preview("--out", "images/sheet.png")
    assert code == 2
    assert "would lie among the pictures of images" in " ".join(said.replace("│", " ").split())
    assert not Path("images/sheet.png").exists()


def test_problems_are_named_and_the_rest_goes_on(dataset: Path, model: str) -> None:
    (dataset / "images" / "a.png").write_bytes(b"no picture")
    (dataset / "labels" / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 oops 0.5 0.5\n7 0.5 0.5 0.5 0.5\n")
    code, said = preview("--model", model, "--variants", 1)
    assert code == 1
    assert f"{Path('images/a.png')}: not a picture" in said
    assert f"{Path('labels/b.txt')}:2: 'oops' is not a number" in said
    assert f"{Path('labels/b.txt')}:3: class id '7' has no name" in said
    # The last word is on both: what there is, and why the command fails all the same.
    assert re.search(r"^wrote preview\.png in .*; not all could be read: see the .* above$", said.splitlines()[-1])
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


def with_splits(dataset: Path, *names: str) -> None:
    """Move the pictures a, b and c into folders of splits."""
    for kind, suffix in (("images", ".png"), ("labels", ".txt")):
        for letter, split in zip("abc", names, strict=True):
            (dataset / kind / split).mkdir(exist_ok=True)
            (dataset / kind / f"{letter}{suffix}").rename(dataset / kind / split / f"{letter}{suffix}")


def test_only_pictures_that_an_export_would_paint_are_shown(dataset: Path, model: str) -> None:
    with_splits(dataset, "val", "train", "test")
    options = ["--format", "yolo", "--names", "cone,cube", "--steps", 2, "--model", model, "--variants", 1]
    code, said = run("preview", ".", *options, "--out", "p.html")
    assert code == 0, said
    for split, picture in (("train", "b.png"), ("val", "a.png"), ("test", "c.png")):
        assert f"images/{split} -> {split}: 1 picture" in said
        assert (f"in {picture}</h2>" in Path("p.html").read_text()) == (split == "train")
    assert "pictures: 1 seen, 1 used" in said
    assert "pictures that are held out, and not shown without --held-out: 2" in said
    assert "an export with these options" in said
    code, said = run("preview", ".", *options, "--held-out", "--out", "all.html")
    assert code == 0, said
    text = Path("all.html").read_text()
    for picture, split in (("a.png", "val"), ("b.png", None), ("c.png", "test")):
        section = text[text.index(f"in {picture}</h2>") :].split("</section>")[0]
        assert ("held out" in section) == (split is not None)
        assert split is None or f"{split}: held out, an export does not paint it" in section


def test_a_set_without_training_pictures_is_one_line_with_the_mend(dataset: Path, model: str) -> None:
    with_splits(dataset, "val", "val", "val")
    options = ["--format", "yolo", "--names", "cone,cube", "--steps", 2, "--model", model, "--limit", 1]
    code, said = run("preview", ".", *options)
    assert code == 1
    assert "Error: .: it has no picture of train" in said
    for more in (["--held-out"], ["--split", "val=train"]):
        code, said = run("preview", ".", *options, *more)
        assert code == 0, said


def test_classes_that_the_limit_leaves_out_are_called_so(dataset: Path, model: str) -> None:
    code, said = preview("--model", model, "--limit", 1, "--variants", 1, names="cone,cube,hat")
    assert code == 0, said
    one, other = [line for line in said.splitlines() if line.startswith("not shown: ")]
    assert re.match("not shown: (cone|cube): the pictures have boxes that may be painted, and this limit", one)
    assert other == "not shown: hat: no box that may be painted is in the first 1 of 3 pictures"
