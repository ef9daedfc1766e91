"""The drawn pictures: what is promised about pixels; whether they please is for eyes to say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.reports.drawing import PALETTE, Tile, before_after, contact_sheet

GREY = 128


def plain(height: int, width: int, value: int = GREY) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def find(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """``(rows, columns)`` of the pixels of a colour."""
    return np.argwhere((sheet == colour).all(axis=2))


def extent(points: np.ndarray) -> tuple[int, int, int, int]:
    (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def test_before_after_shows_both_pictures_and_no_outline_covers_a_box() -> None:
    box = (100, 50, 300, 200)
    original, painted = plain(480, 640), plain(480, 640)
    original[50:200, 100:300], painted[50:200, 100:300] = (10, 200, 30), (30, 10, 200)
    sheet = before_after(original, painted, [box], ["green"], ["blue"])
    assert sheet.dtype == np.uint8
    left, right = find(sheet, (10, 200, 30)), find(sheet, (30, 10, 200))
    # A picture of 640x480 is neither enlarged nor shrunk, so each box is there whole.
    assert len(left) == len(right) == 200 * 150
    assert extent(left)[2:] == (extent(left)[0] + 200, extent(left)[1] + 150)
    assert extent(left)[1::2] == extent(right)[1::2]
    assert extent(left)[2] < extent(right)[0]


@pytest.mark.parametrize("box", [(0, 0, 60, 50), (580, 0, 640, 50), (0, 430, 60, 480), (300, 0, 340, 480)])
def test_nothing_is_drawn_on_what_was_painted_at_the_edges_of_a_picture_either(box: tuple[int, int, int, int]) -> None:
    painted = plain(480, 640)
    x0, y0, x1, y1 = box
    painted[y0:y1, x0:x1] = (30, 10, 200)
    sheet = before_after(plain(480, 640), painted, [box, (100, 200, 150, 250)], ["a", "b"], ["a", "b"])
    assert len(find(sheet, (30, 10, 200))) == (x1 - x0) * (y1 - y0)


def test_a_badge_covers_no_neighbour_where_there_is_room() -> None:
    painted = plain(480, 640)
    painted[100:200, 200:300], painted[60:95, 150:400] = (30, 10, 200), (10, 200, 30)
    sheet = before_after(plain(480, 640), painted, [(200, 100, 300, 200), (150, 60, 400, 95)], ["a", "b"], ["c", "d"])
    assert len(find(sheet, (30, 10, 200))) == 100 * 100
    assert len(find(sheet, (10, 200, 30))) == 35 * 250


def test_before_after_words_stay_inside_and_apart() -> None:
    """Each text has ink, and paper around it: the legend of many long prompts overlaps nothing."""
    boxes = [(10 * n, 10 * n, 10 * n + 30, 10 * n + 30) for n in range(9)]
    words = ["a very long description of an object " * 6] * 9
    short = before_after(plain(200, 200), plain(200, 200), boxes[:1], ["x"], ["y"])
    sheet = before_after(plain(200, 200), plain(200, 200), boxes, words, words)
    assert sheet.shape[1] == short.shape[1]
    assert sheet.shape[0] > short.shape[0]
    for edge in (sheet[:8], sheet[-8:], sheet[:, :8], sheet[:, -8:]):
        assert (edge == 255).all()
    gutter = sheet.shape[1] // 2
    assert (sheet[:, gutter - 2 : gutter + 2] == 255).all()


def test_before_after_colours_repeat_after_the_palette_ends() -> None:
    count = len(PALETTE) + 1
    boxes = [(40 * n, 20, 40 * n + 20, 40) for n in range(count)]
    sheet = before_after(plain(480, 640), plain(480, 640), boxes, ["a"] * count, ["b"] * count)
    assert all(len(find(sheet, colour)) for colour in PALETTE)


def test_contact_sheet_rows_keep_their_columns_and_labels_their_colours() -> None:
    def row(label: str, value: int) -> list[Tile]:
        whole = Tile(plain(300, 400), "a.png", [(50, 50, 150, 150), (200, 200, 250, 250)], [label, "other"], 0)
        close = Tile(plain(100, 100, value), "a prompt", [(25, 25, 75, 75)], [label], 0)
        return [whole, close, close]

    sheet = contact_sheet([row("cone", 60), row("cube", 61), row("cone", 62)])
    places = [extent(find(sheet, (value,) * 3)) for value in (60, 61, 62)]
    assert len({(x0, x1) for x0, _, x1, _ in places}) == 1
    assert places[0][3] < places[1][1] < places[1][3] < places[2][1]
    first, second, third = (sheet[y0:y1, x0:x1] for x0, y0, x1, y1 in places)
    # Labels take colours in the order in which they are met: cone, other, cube.
    assert len(find(first, PALETTE[0])) == len(find(third, PALETTE[0])) > 0
    assert len(find(second, PALETTE[2])) == len(find(first, PALETTE[0]))
    assert not len(find(second, PALETTE[0]))


def test_the_first_column_is_as_wide_as_its_pictures() -> None:
    def gaps(first: tuple[int, int]) -> set[int]:
        rows = [
            [Tile(plain(*first, value), "a"), Tile(plain(90, 90, 7), "b"), Tile(plain(90, 90, 8), "c")]
            for value in (5, 6)
        ]
        sheet = contact_sheet(rows)
        columns = [extent(find(sheet, (value,) * 3)) for value in (5, 7, 8)]
        return {right[0] - left[2] for left, right in itertools.pairwise(columns)}

    # As in a sheet of close-ups alone, in one of landscapes and in one of squares.
    assert len(gaps((90, 90))) == len(gaps((300, 400))) == len(gaps((400, 400))) == 1
    # A narrow picture keeps room for its words.
    [gap, wider] = sorted(gaps((400, 200)))
    assert wider == gap + 120


def test_brackets_leave_the_box_and_its_sides_free() -> None:
    inside = plain(240, 240)
    inside[80:160, 80:160] = (1, 2, 3)
    sheet = contact_sheet([[Tile(plain(240, 320), "a"), Tile(inside, "b", [(80, 80, 160, 160)], ["x"], 0)]])
    x0, y0, x1, y1 = extent(find(sheet, (1, 2, 3)))
    assert (x1 - x0, y1 - y0) == (80, 80)
    assert (sheet[y0:y1, x0:x1] == (1, 2, 3)).all()
    assert (sheet[y0 + 20 : y1 - 20, x0 - 5 : x0] == GREY).all()
    assert (sheet[y0 - 2 : y1 + 2, x0 - 2 : x0] == GREY).all()
    assert (sheet[y0 - 3, x0 - 3 : x0 + 5] == PALETTE[0]).all()


def test_an_alert_is_seen() -> None:
    calm = contact_sheet([[Tile(plain(50, 50), "a", note="original kept")]])
    alarmed = contact_sheet([[Tile(plain(50, 50), "a", note="original kept", alert=True)]])
    assert calm.shape == alarmed.shape
    assert (alarmed[..., 0].astype(int) - alarmed[..., 1] > 100).any()
    assert not (calm[..., 0].astype(int) - calm[..., 1] > 100).any()


def test_a_caption_of_any_length_takes_a_few_lines() -> None:
    heights = [contact_sheet([[Tile(plain(50, 50), "word " * count)]]).shape[0] for count in (1, 100, 1000)]
    assert heights[0] < heights[1] == heights[2] < heights[0] + 80


def test_rows_may_come_from_a_generator_but_must_come() -> None:
    sheet = contact_sheet([Tile(plain(20, 20, value), "x")] for value in (1, 2, 3))
    assert all(len(find(sheet, (value,) * 3)) for value in (1, 2, 3))
    with pytest.raises(ValueError, match="empty"):
        contact_sheet([])


sides = st.integers(1, 300)


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, text=st.text(max_size=80), data=st.data())
def test_any_picture_box_and_text_can_be_drawn(height: int, width: int, text: str, data: st.DataObject) -> None:
    xs = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    ys = sorted(data.draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    box = (xs[0], ys[0], xs[1], ys[1])
    image = plain(height, width)
    drawn = before_after(image, image, [box], [text], [text])
    sheet = contact_sheet([[Tile(image, text, [box, box], [text, "b"], 1, text, alert=True)] * 2])
    for picture in (drawn, sheet):
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert (picture[:8] == 255).all()
        assert (picture[:, -8:] == 255).all()
