"""Reading label files: what is right comes back exactly, what is wrong is named with its file and line."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import dataset_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.datasets.files import BrokenFileError, Problem
from inpaint_transform.datasets.reading import Annotation, BoxFormat, find, find_pictures, read, read_image, read_names

DATA = Path(__file__).parents[3] / "shared" / "data"
HEIGHT, WIDTH = 60, 80
NAMES = {0: "cone", 1: "cube"}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")
shared_folder = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture(path: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 150)).save(path)
    return path


def voc(*objects: str, size: str = "<size><width>80</width><height>60</height></size>") -> str:
    return "<annotation>\n" + size + "\n" + "\n".join(objects) + "\n</annotation>\n"


def voc_object(x0: Any, y0: Any, x1: Any, y1: Any, name: str = "cone") -> str:
    corners = "".join(
        f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), (x0, y0, x1, y1), strict=True)
    )
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def coco(*annotations: dict[str, Any], file_name: str = "a.png", **image: Any) -> str:
    return json.dumps(
        {
            "images": [{"id": 7, "file_name": file_name, **image}],
            "annotations": [{"id": number, "image_id": 7, **row} for number, row in enumerate(annotations)],
            "categories": [{"id": 0, "name": "cone"}, {"id": 1, "name": "cube"}],
        }
    )


def read_one(folder: Path, box_format: BoxFormat, content: str | bytes) -> list[Annotation | Problem]:
    """Read one picture of 80x60 whose label file has this content."""
    image = folder / "a.png"
    if not image.exists():
        picture(image)
    labels = folder / {"yolo": "a.txt", "coco": "coco.json", "voc": "a.xml"}[box_format.value]
    labels.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read(image, labels, box_format, NAMES))


boxes_in_picture = st.tuples(
    st.integers(0, WIDTH), st.integers(0, HEIGHT), st.integers(0, WIDTH), st.integers(0, HEIGHT)
).map(lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])))


@shared_folder
@given(rows=st.lists(st.tuples(boxes_in_picture, st.sampled_from(sorted(NAMES)))))
def test_every_format_gives_back_the_boxes_it_was_given(tmp_path: Path, rows: list[Any]) -> None:
    lines, objects, annotations = [], [], []
    for (x0, y0, x1, y1), index in rows:
        centre = f"{(x0 + x1) / 2 / WIDTH:.6f} {(y0 + y1) / 2 / HEIGHT:.6f}"
        lines.append(f"{index} {centre} {(x1 - x0) / WIDTH:.6f} {(y1 - y0) / HEIGHT:.6f}")
        objects.append(voc_object(x0, y0, x1, y1, NAMES[index]))
        annotations.append({"category_id": index, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    expected = Annotation(tmp_path / "a.png", tuple(box for box, _ in rows), tuple(NAMES[index] for _, index in rows))
    assert read_one(tmp_path, BoxFormat.YOLO, "\n".join(lines)) == [expected]
    assert read_one(tmp_path, BoxFormat.VOC, voc(*objects)) == [expected]
    assert read_one(tmp_path, BoxFormat.COCO, coco(*annotations, width=WIDTH, height=HEIGHT)) == [expected]


BAD_LINES = {
    "0 0.5 0.5 0.2": "4 columns",
    "0 0.5 0.5 0.2 0.2 0.9": "6 columns",
    "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1": "8 columns",
    "0 0.5 0.5 nan 0.2": "not finite",
    "0 0.5 0.5 1e999 0.2": "not finite",
    "0 0.5 0.5 -0.2 0.2": "inverted",
    "0 0.5 0.5 0.2 -0.2": "inverted",
    "0 0.9 0.5 0.4 0.2": "outside the picture of 80x60",
    "0 40 30 20 20": "outside",
    "0 a 0.5 0.2 0.2": "'a' is not a number",
    "2 0.5 0.5 0.2 0.2": "class id '2' has no name",
    "-1 0.5 0.5 0.2 0.2": "class id '-1' has no name",
    "0.5 0.5 0.5 0.2 0.2": "class id '0.5' has no name",
    "nan 0.5 0.5 0.2 0.2": "class id 'nan' has no name",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_yolo_line_is_named(tmp_path: Path, line: str) -> None:
    [problem] = read_one(tmp_path, BoxFormat.YOLO, f"0 0.5 0.5 0.2 0.2\n\n{line}\n1 0.5 0.5 0.2 0.2\n")
    assert isinstance(problem, Problem)
    assert (problem.path, problem.line) == (tmp_path / "a.txt", 3)
    assert BAD_LINES[line] in problem.message
    assert str(problem).startswith(f"{tmp_path / 'a.txt'}:3: ")


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    problems = read_one(tmp_path, BoxFormat.YOLO, "\n".join(BAD_LINES))
    assert [problem.line for problem in problems] == list(range(1, len(BAD_LINES) + 1))


def test_yolo_drift_below_zero_is_clipped_and_whole_float_ids_count(tmp_path: Path) -> None:
    [found] = read_one(tmp_path, BoxFormat.YOLO, "1.0 0.0624999 0.083333 0.1250001 0.1666667\r\n")
    assert found == Annotation(tmp_path / "a.png", ((0, 0, 10, 10),), ("cube",))


def test_a_byte_order_mark_is_no_part_of_the_first_number(tmp_path: Path) -> None:
    [found] = read_one(tmp_path, BoxFormat.YOLO, b"\xef\xbb\xbf1 0.5 0.5 0.5 0.5\n")
    assert isinstance(found, Annotation)
    assert found.labels == ("cube",)


def test_an_empty_label_file_is_a_picture_without_boxes(tmp_path: Path) -> None:
    assert read_one(tmp_path, BoxFormat.YOLO, "\n") == [Annotation(tmp_path / "a.png", (), ())]
    assert read_one(tmp_path, BoxFormat.VOC, voc()) == [Annotation(tmp_path / "a.png", (), ())]
    assert read_one(tmp_path, BoxFormat.COCO, coco()) == [Annotation(tmp_path / "a.png", (), ())]


BAD_VOC = {
    voc("", voc_object(10, 10, "nan", 20)): (4, "not finite"),
    voc("", voc_object(10, 10, 5, 20)): (4, "inverted"),
    voc("", voc_object(10, 10, 200, 20)): (4, "outside"),
    voc("", voc_object(10, 10, "", 20)): (4, "missing"),
    voc("", voc_object(10, 10, 20, 20, name=" ")): (4, "without a <name>"),
    voc("<object><name>cone</name></object>"): (3, "without a <bndbox>"),
    voc(size="<size><width>800</width><height>600</height></size>"): (2, "800x600"),
    "<annotation>\n<object>\n</annotation>": (3, "mismatched tag"),
    "<html/>": (1, "not a Pascal VOC file"),
    "": (1, "not XML"),
    '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>\n<annotation>&c;</annotation>': (
        2,
        "DOCTYPE",
    ),
    '<?xml version="1.0" encoding="nonsense"?><annotation/>': (1, "not XML"),
}


@pytest.mark.parametrize("content", BAD_VOC)
def test_a_bad_voc_file_is_named_with_its_line(tmp_path: Path, content: str) -> None:
    line, message = BAD_VOC[content]
    [problem] = read_one(tmp_path, BoxFormat.VOC, content)
    assert isinstance(problem, Problem)
    assert (problem.path, problem.line) == (tmp_path / "a.xml", line)
    assert message in problem.message


def test_a_voc_file_that_does_not_know_the_size_is_believed(tmp_path: Path) -> None:
    size = "<size><width>0</width><height>0</height></size>"
    [found] = read_one(tmp_path, BoxFormat.VOC, voc(voc_object(1, 2, 30, 40), size=size))
    assert found == Annotation(tmp_path / "a.png", ((1, 2, 30, 40),), ("cone",))


BAD_COCO: list[tuple[dict[str, Any], str]] = [
    ({"category_id": 0, "bbox": [10, 10, float("nan"), 10]}, "not finite"),
    ({"category_id": 0, "bbox": [10, 10, -5, 10]}, "inverted"),
    ({"category_id": 0, "bbox": [70, 10, 50, 10]}, "outside"),
    ({"category_id": 0, "bbox": [10, 10, 10]}, "expected [x, y, width, height]"),
    ({"category_id": 0, "bbox": [10, 10, "x", 10]}, "not a number"),
    ({"category_id": 0, "bbox": [10, 10, 10**400, 10]}, "not a number"),
    ({"category_id": 0}, "bbox=None"),
    ({"category_id": 5, "bbox": [10, 10, 10, 10]}, "category id 5"),
    ({"bbox": [10, 10, 10, 10]}, "category id None"),
]


@pytest.mark.parametrize(("row", "message"), BAD_COCO)
def test_a_bad_coco_annotation_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {"category_id": 0, "bbox": [1, 2, 3, 4]}
    [problem] = read_one(tmp_path, BoxFormat.COCO, coco(good, row))
    assert isinstance(problem, Problem)
    assert problem.path == tmp_path / "coco.json"
    assert "annotation id 1 of a.png" in problem.message
    assert message in problem.message


def test_polygons_are_kept_beside_their_boxes(tmp_path: Path) -> None:
    """For whom an object's outline says more; of several parts, or where it is broken, the box stands alone."""
    triangle = ((8.0, 6.0), (40.0, 6.0), (24.0, 30.0))
    [found] = read_one(tmp_path, BoxFormat.YOLO, "0 0.1 0.1 0.5 0.1 0.3 0.5\n1 0.5 0.5 0.2 0.2\n")
    assert isinstance(found, Annotation)
    assert found.boxes[0] == (8, 6, 40, 30)
    assert found.outlines[1] is None
    assert np.allclose(found.outlines[0], triangle)
    flat = [value for point in triangle for value in point]
    compressed = {"counts": "x", "size": [1, 2]}
    parts = ([flat], [flat, flat], [], None, compressed, [["x"] * 6], [flat[:5]], [[*flat, math.inf]])
    rows = [{"category_id": 0, "bbox": [8, 6, 32, 24], "segmentation": part} for part in parts]
    [found] = read_one(tmp_path, BoxFormat.COCO, coco(*rows))
    assert isinstance(found, Annotation)
    assert found.outlines == (triangle, *[None] * 7)


def test_a_coco_crowd_is_no_object(tmp_path: Path) -> None:
    crowd = {"category_id": 0, "bbox": [1, 2, 30, 40], "iscrowd": 1}
    [found] = read_one(tmp_path, BoxFormat.COCO, coco(crowd, {"category_id": 1, "bbox": [1, 2, 3, 4]}))
    assert found == Annotation(tmp_path / "a.png", ((1, 2, 4, 6),), ("cube",))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{\n"images": [,]}', ":2: not JSON"),
        ("[]", ": not a COCO file"),
        ('{"images": [], "annotations": [1], "categories": []}', "'annotations'"),
        ("[" * 100_000, ": not JSON"),
        (b"\xff\xfe\x00", ": not UTF-8"),
    ],
)
def test_a_broken_coco_file_is_one_error(tmp_path: Path, content: str | bytes, place: str) -> None:
    with pytest.raises(BrokenFileError) as raised:
        read_one(tmp_path, BoxFormat.COCO, content)
    assert f"{tmp_path / 'coco.json'}" in str(raised.value)
    assert place in str(raised.value)


def test_one_bad_picture_does_not_hide_the_others(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("a", "b", "sub/c", "d", "e"):
        picture(images / f"{name}.jpg")
        (labels / name).parent.mkdir(parents=True, exist_ok=True)
        (labels / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (images / "notes.txt").write_text("no picture")
    (images / "a.jpg").write_bytes(b"no picture")
    whole = (images / "b.jpg").read_bytes()
    (images / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (labels / "d.txt").write_text("0 0.5\n")
    found = list(read(images, labels, BoxFormat.YOLO, NAMES))
    problems = [item for item in found if isinstance(item, Problem)]
    assert [item.image for item in found if isinstance(item, Annotation)] == [
        images / "e.jpg",
        images / "sub" / "c.jpg",
    ]
    assert [problem.path for problem in problems] == [images / "a.jpg", images / "b.jpg", labels / "d.txt"]
    assert "not a picture" in problems[0].message
    assert "not a whole picture" in problems[1].message
    assert "2 columns" in problems[2].message


def test_coco_pictures_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    picture(tmp_path / "images" / "unlisted.png")
    row = {"category_id": 0, "bbox": [1, 2, 3, 4]}
    for file_name in ("train/a.png", "a.png", "elsewhere\\a.png"):
        (tmp_path / "coco.json").write_text(coco(row, file_name=file_name))
        found, problem = read(tmp_path / "images", tmp_path / "coco.json", BoxFormat.COCO)
        assert isinstance(found, Annotation)
        assert isinstance(problem, Problem)
        assert "unlisted.png" in problem.message


def test_missing_and_mismatched_places_are_refused_at_once(tmp_path: Path) -> None:
    image = picture(tmp_path / "images" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        read(tmp_path / "nowhere", tmp_path, BoxFormat.YOLO, NAMES)
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        read(image, tmp_path / "nowhere", BoxFormat.YOLO, NAMES)
    with pytest.raises(ValueError, match="holds no picture"):
        read(tmp_path / "empty", tmp_path, BoxFormat.YOLO, NAMES)
    with pytest.raises(ValueError, match="must be a folder"):
        read(tmp_path / "images", tmp_path / "labels.txt", BoxFormat.YOLO, NAMES)
    with pytest.raises(ValueError, match="class ids only"):
        read(image, tmp_path / "labels.txt", BoxFormat.YOLO)


def test_class_names_come_from_yaml_text_or_the_argument(tmp_path: Path) -> None:
    expected = {0: "cone", 1: "big cube"}
    (tmp_path / "data.yaml").write_text("nc: 2\nnames: ['cone', 'big cube']\n")
    (tmp_path / "map.yml").write_text("names:\n  0: cone\n  1: big cube\n")
    (tmp_path / "classes.txt").write_text("cone\nbig cube\n\n")
    for source in (
        *map(str, (tmp_path / "data.yaml", tmp_path / "map.yml", tmp_path / "classes.txt")),
        "cone, big cube",
    ):
        assert read_names(source) == expected


def test_class_names_that_lie_with_the_labels_are_found(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text("1 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("names: [cone, cube]")
    [found] = read(tmp_path / "images" / "train", labels, BoxFormat.YOLO)
    assert isinstance(found, Annotation)
    assert found.labels == ("cube",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: [cone\nnc: 2", r"data\.yaml:\d+: not YAML"),
        ("nc: 2", "no list 'names'"),
        ("names: {a: cone}", "not a class id"),
        ("names: [[cone]]", "not a class id"),
        ("names: []", "no class names"),
        ("names: " + "[" * 5000, "not YAML"),
    ],
)
def test_broken_class_names_are_one_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_names(str(tmp_path / "data.yaml"))


@shared_folder
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    box_format=st.sampled_from(BoxFormat),
)
def test_garbage_gives_problems_and_no_other_exception(tmp_path: Path, content: bytes, box_format: BoxFormat) -> None:
    try:
        found = read_one(tmp_path, box_format, content)
    except BrokenFileError as error:
        found = [error.problem]
    assert all(str(item) for item in found)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@shared_folder
@given(
    image=st.dictionaries(st.sampled_from(["id", "file_name", "width", "height"]), junk),
    row=st.dictionaries(st.sampled_from(["id", "image_id", "category_id", "bbox", "iscrowd"]), junk),
    category=st.dictionaries(st.sampled_from(["id", "name"]), junk),
)
def test_coco_shaped_garbage_gives_problems(
    tmp_path: Path, image: dict[str, Any], row: dict[str, Any], category: dict[str, Any]
) -> None:
    document = {
        "images": [image, {"id": 7, "file_name": "a.png", **image}],
        "annotations": [row, {"image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4], **row}],
        "categories": [category, {"id": 0, "name": "cone", **category}],
    }
    found = read_one(tmp_path, BoxFormat.COCO, json.dumps(document))
    assert all(isinstance(item, Annotation | Problem) for item in found)


def test_pictures_are_read_as_people_see_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), pixels)

    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(pixels[..., :1], 3, axis=2))

    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 17).save(tmp_path / "grey16.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey16.png"), np.repeat(pixels[..., :1], 3, axis=2))

    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by a quarter turn to see it upright
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(pixels, -1))


def _coco_truth(folder: Path) -> dict[str, list[Any]]:
    document = json.loads((folder / "coco.json").read_text())
    names = {row["id"]: row["name"] for row in document["categories"]}
    files = {row["id"]: row["file_name"] for row in document["images"]}
    truth: dict[str, list[Any]] = {name: [] for name in files.values()}
    for row in document["annotations"]:
        x, y, width, height = row["bbox"]
        truth[files[row["image_id"]]].append(((x, y, x + width, y + height), names[row["category_id"]]))
    return truth


@needs_data
@pytest.mark.parametrize(
    ("name", "box_format", "empty"),
    [("bccd", BoxFormat.VOC, 2), ("cones_cubes", BoxFormat.YOLO, 0)],
)
def test_real_label_files_agree_with_their_coco_file(name: str, box_format: BoxFormat, empty: int) -> None:
    folder = DATA / name
    truth = _coco_truth(folder)
    left_out = 0
    for item in read(folder / "images", folder / "annotations", box_format):
        assert isinstance(item, Annotation), str(item)
        expected = truth.pop(item.image.name)
        rows = [(box, label) for box, label in zip(item.boxes, item.labels, strict=True) if box[2] > box[0]]
        left_out += len(item.boxes) - len(rows)
        assert Counter(label for _, label in rows) == Counter(label for _, label in expected)
        np.testing.assert_allclose([box for box, _ in rows], [box for box, _ in expected], atol=0.5 + 1e-6)
    assert not truth
    # The COCO file of the blood cells leaves out two boxes without area; they are kept here, and never painted.
    assert left_out == empty


@needs_data
def test_a_real_coco_file_is_read(tmp_path: Path) -> None:
    folder = DATA / "bccd"
    truth = _coco_truth(folder)
    some = sorted(truth)[:20]
    for name in some:
        (tmp_path / name).symlink_to(folder / "images" / name)
    found = list(read(tmp_path, folder / "coco.json", BoxFormat.COCO))
    assert [len(item.boxes) for item in found if isinstance(item, Annotation)] == [len(truth[name]) for name in some]
    assert find_pictures(tmp_path) == [item.image for item in found if isinstance(item, Annotation)]


# No path that leads out of the folder: what is there would be searched.
words = st.text("ab:{~\n\x00\u00e9", max_size=8) | st.sampled_from(["train", "val", "images", "a.png", "x" * 300])
entries = words | st.lists(words, max_size=3) | st.dictionaries(words, words, max_size=2) | st.none() | st.integers()


@settings(shared_folder, max_examples=25)
@given(
    document=st.dictionaries(
        st.sampled_from(["train", "val", "valid", "test", "path", "names", "kpt_shape", "nc", ""]), entries
    ),
    lines=st.lists(words, max_size=4),
)
def test_any_declaration_is_followed_or_refused(tmp_path: Path, document: dict[str, Any], lines: list[str]) -> None:
    for folder in ("train", "val"):
        if not (tmp_path / "images" / folder / "a.png").exists():
            picture(tmp_path / "images" / folder / "a.png")
            (tmp_path / "labels" / folder).mkdir(parents=True)
            (tmp_path / "labels" / folder / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text(json.dumps({"names": ["cone"], **document}))
    (tmp_path / "train.txt").write_text("\n".join(lines))
    (tmp_path / "ImageSets").mkdir(exist_ok=True)
    (tmp_path / "ImageSets" / "train.txt").write_text("\n".join(lines))
    for options in ({}, {"boxes": tmp_path / "labels"}):
        with contextlib.suppress(ValueError):  # any other exception is a failure
            source = find(tmp_path / "images" if options else tmp_path, BoxFormat.YOLO, **options)
            for item in source.read():
                if isinstance(item, Annotation) and source.places[item.image].split == "train":
                    assert "val" not in item.image.parts
    with contextlib.suppress(ValueError):
        list(find(tmp_path / "images", BoxFormat.VOC, tmp_path / "labels").read())


@pytest.mark.parametrize(("wrong", "right"), [("coco", "yolo"), ("voc", "yolo"), ("yolo", "voc"), ("yolo", "coco")])
def test_a_data_set_of_another_format_is_told_by_its_name(tmp_path: Path, wrong: str, right: str) -> None:
    if right == "yolo":
        dataset_files.yolo(tmp_path / "images", tmp_path / "labels", "a")
    elif right == "voc":
        dataset_files.voc(tmp_path / "JPEGImages", tmp_path / "Annotations", "a")
    else:
        picture(tmp_path / "images" / "a.png")
        (tmp_path / "coco.json").write_text(dataset_files.coco([(1, "a.png")], []))
    with pytest.raises(ValueError, match=f"in a {wrong} data set; did you mean --format {right}\\?"):
        find(tmp_path, BoxFormat(wrong))


def test_words_and_paths_are_read_as_typed(tmp_path: Path) -> None:
    dataset_files.yolo(tmp_path / "images", tmp_path / "labels", "a")
    [found] = read(str(tmp_path / "images"), str(tmp_path / "labels"), "yolo", "cone,cube")
    assert isinstance(found, Annotation)
    assert found.labels == ("cone",)
    np.testing.assert_array_equal(read_image(str(found.image)), read_image(found.image))
    with pytest.raises(ValueError, match="'yoolo' is not a valid BoxFormat"):
        read(tmp_path / "images", tmp_path / "labels", "yoolo")


def test_one_split_is_read_of_a_data_sets_folder(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        picture(tmp_path / split / "images" / f"{name}.png")
        (tmp_path / split / "labels").mkdir(exist_ok=True)
        (tmp_path / split / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")

    def names(split: str | None) -> list[str]:
        return [found.image.stem for found in read(tmp_path, None, "yolo", "cone", split=split)]

    assert names("train") == ["a", "b"]
    assert names("val") == ["c"]
    assert sorted(names(None)) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="split='test': .* has no picture of it; leave split out to read all 3"):
        names("test")
    with pytest.raises(ValueError, match="split='valid': use train, val, test, or None"):
        names("valid")
