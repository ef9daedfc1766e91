"""Drawing: the before/after picture and the contact sheet, drawn from arrays, boxes and words.

Outlines lie outside their boxes, so the seam between painted and original pixels stays in sight.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inpaint_transform.core.boxes import intersection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inpaint_transform.core.boxes import Box

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 33, 36)
FAINT: Colour = (95, 99, 104)
ALERT: Colour = (176, 0, 32)
# Dark enough to carry white numbers and to be seen on most pictures.
PALETTE: tuple[Colour, ...] = (
    (0, 105, 170),
    (205, 85, 0),
    (0, 125, 95),
    (160, 60, 135),
    (135, 90, 25),
    (190, 30, 45),
    (65, 70, 165),
    (10, 120, 135),
)

MARGIN = 24
GAP = 16
LEADING = 19
BADGE = 20
# Longer side of a picture in a before/after: small pictures are enlarged to the first, large ones shrunk to the second.
MIN_PANEL_SIDE, MAX_PANEL_SIDE = 480, 800
# Width and height, at most, of a contact sheet's pictures: the whole picture, then the close-ups.
WHOLE = (320, 240)
CLOSE_UP = (240, 240)
MAX_CAPTION_LINES = 3


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet and the words under it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB.
        caption: What it shows.
        boxes: Boxes to outline, in this image's pixels.
        labels: One label a box; it gives the colour.
        focus: Index of the box that matters; the others are drawn thinner.
        note: A second, fainter line.
        alert: Draw the note in red.
    """

    image: np.ndarray
    caption: str
    boxes: Sequence[Box] = ()
    labels: Sequence[str] = ()
    focus: int | None = None
    note: str = ""
    alert: bool = False


def before_after(
    original: np.ndarray, painted: np.ndarray, boxes: Sequence[Box], labels: Sequence[str], captions: Sequence[str]
) -> np.ndarray:
    """Draw a picture beside its repainted self; numbers tie each box to its words below.

    Args:
        original: ``(H, W, 3)`` uint8, RGB.
        painted: The same after painting.
        boxes: The repainted boxes.
        labels: What stood in each box.
        captions: What was asked for in each box.

    Returns:
        ``(H', W', 3)`` uint8, RGB.
    """
    scale = _panel_scale(*original.shape[:2])
    height, width = (max(1, round(side * scale)) for side in original.shape[:2])
    column = max(width, MIN_PANEL_SIDE // 2)
    texts = labels, captions
    indent = BADGE + 8
    side_by_side = all(_font().getlength(_line(text)) <= column // 2 - indent - GAP for text in (*labels, *captions))
    slots = 2 if side_by_side else 1
    words = [[_wrap(text, column // slots - indent) for text in side] for side in texts]
    line_counts = [max(map(len, row)) for row in zip(*words, strict=True)]
    row_heights = [LEADING * max(line_counts[at : at + slots]) + 7 for at in range(0, len(boxes), slots)]
    top = MARGIN + LEADING + GAP // 2
    words_top = top + height + GAP
    sheet, pen = _paper(2 * (MARGIN + column) + GAP, words_top + sum(row_heights) + MARGIN - 7)
    for side, (title, image, mark) in enumerate((("Before", original, _outline), ("After", painted, _corners))):
        left = MARGIN + side * (column + GAP)
        pen.text((left, MARGIN - 4), title, INK, _font(17))
        sheet.paste(_scaled(image, width, height), (left, top))
        places = [_placed(box, scale, left, top) for box in boxes]
        for number, place in enumerate(places):
            mark(pen, place, _colour(number))
        for number, place in enumerate(places):
            _badge(pen, *_badge_centre(place, (left, top, left + width, top + height), places), number)
        for number, lines in enumerate(words[side]):
            x = left + number % slots * (column // slots)
            y = words_top + sum(row_heights[: number // slots])
            _badge(pen, x + BADGE // 2, y + BADGE // 2, number)
            _write(pen, x + indent, y + 1, lines, INK)
    return np.array(sheet)


def labelled(
    image: np.ndarray, boxes: Sequence[Box], labels: Sequence[str] = (), focus: int | None = None
) -> np.ndarray:
    """Draw a picture with its boxes and the label of each, one colour a label.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        boxes: In its pixels.
        labels: One label a box, or none at all.
        focus: Index of the box that matters, if one does: it is drawn thicker, and the others thinner.

    Returns:
        ``(H, W, 3)`` uint8, RGB.
    """
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    colours: dict[str, Colour] = {}
    texts = list(labels) or [""] * len(boxes)
    tags = []
    for index, (box, label) in enumerate(zip(boxes, texts, strict=True)):
        colour = colours.setdefault(label, _colour(len(colours)))
        _outline(pen, box, colour, 2 if focus is None else 4 if focus == index else 1)
        tags.append((box, label, colour))
    for box, label, colour in tags:  # after all outlines: no line goes through a word
        if label:
            _tag(pen, box, label, colour, picture.size)
    return np.array(picture)


def bracketed(image: np.ndarray, box: Box) -> np.ndarray:
    """A picture, ``(H, W, 3)`` uint8, with brackets just outside the corners of a box."""
    picture = Image.fromarray(image)
    _corners(ImageDraw.Draw(picture), box, _colour(0))
    return np.array(picture)


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """A picture whose longer side is at most ``longest`` pixels."""
    scale = min(1.0, longest / max(image.shape[:2]))
    return np.array(_scaled(image, *(max(1, round(side * scale)) for side in image.shape[1::-1])))


def grid(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Draw pictures in rows, each as large as it is.

    Args:
        images: ``(H, W, 3)`` uint8, RGB; at least one.
        columns: Pictures in a row.

    Returns:
        ``(H', W', 3)`` uint8, RGB.
    """
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    width = max(sum(image.shape[1] + GAP for image in row) for row in rows) + GAP
    heights = [max(image.shape[0] for image in row) + GAP for row in rows]
    sheet, _ = _paper(width, sum(heights) + GAP)
    y = GAP
    for row, height in zip(rows, heights, strict=True):
        x = GAP
        for image in row:
            sheet.paste(Image.fromarray(image), (x, y))
            x += image.shape[1] + GAP
        y += height
    return np.array(sheet)


def contact_sheet(rows: Iterable[Sequence[Tile]]) -> np.ndarray:
    """Draw rows of pictures with words under them; the first of each row may be wider than the others.

    Args:
        rows: At least one row. Each is drawn when it is drawn from the iterable, so its full-size pictures need not
            live longer.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        ValueError: There is no row.
    """
    colours: dict[str, Colour] = {}
    drawn = [_draw_row(tiles, colours) for tiles in rows]
    if not drawn:
        raise ValueError("rows is empty: a contact sheet needs at least one row")
    # The pictures of a column are aligned, and the next column begins where the widest ends.
    widths = [max(tile.width for tile in column if tile) for column in itertools.zip_longest(*drawn)]
    lefts = [MARGIN - GAP // 2 + sum(widths[:column]) for column in range(len(widths) + 1)]
    heights = [max(tile.height for tile in row) for row in drawn]
    sheet, _ = _paper(lefts[-1] + MARGIN - GAP // 2, sum(heights) + MARGIN)
    for number, row in enumerate(drawn):
        for left, tile in zip(lefts, row, strict=False):
            sheet.paste(tile, (left, sum(heights[:number])))
    return np.array(sheet)


def _panel_scale(height: int, width: int) -> float:
    longer = max(height, width)
    return min(max(longer, MIN_PANEL_SIDE), MAX_PANEL_SIDE) / longer


def _draw_row(tiles: Sequence[Tile], colours: dict[str, Colour]) -> list[Image.Image]:
    """Draw the pictures of a row; ``colours`` gains the labels seen for the first time."""
    return [_draw_tile(tile, CLOSE_UP if column else WHOLE, colours) for column, tile in enumerate(tiles)]


def _draw_tile(tile: Tile, limit: tuple[int, int], colours: dict[str, Colour]) -> Image.Image:
    """Draw one picture of at most this width and height with its words, and half a gap at either side."""
    scale = min(limit[0] / tile.image.shape[1], limit[1] / tile.image.shape[0])
    height, width = (max(1, round(side * scale)) for side in tile.image.shape[:2])
    column = max(width, CLOSE_UP[0])  # or the words under a narrow picture would have no room
    # Words are written first, on a strip of generous height, because only then is their height known.
    left = GAP // 2
    strip, pen = _paper(column + GAP, 2000)
    strip.paste(_scaled(tile.image, width, height), (left, MARGIN))
    for index, (box, label) in enumerate(zip(tile.boxes, tile.labels, strict=True)):
        colour = colours.setdefault(label, _colour(len(colours)))
        place = _placed(box, scale, left, MARGIN)
        if index == tile.focus:
            _corners(pen, place, colour)
        else:
            _outline(pen, place, colour, thickness=1)
    y = _write(pen, left, MARGIN + height + 6, _wrap(tile.caption, column), INK)
    if len(tile.boxes) > 1:
        y = _label_counts(pen, left, y, column, tile.labels, colours)
    if tile.note:
        y = _write(pen, left, y, _wrap(tile.note, column), ALERT if tile.alert else FAINT)
    return strip.crop((0, 0, strip.width, y))


def _label_counts(
    pen: ImageDraw.ImageDraw, left: int, y: int, width: int, labels: Sequence[str], colours: dict[str, Colour]
) -> int:
    """Write how often each label occurs, beside its colour, and return where the next line would start."""
    x = left
    for label, count in Counter(labels).most_common():
        [text] = _wrap(f"{count} {label}", width - 14, max_lines=1)
        length = 14 + round(_font().getlength(text))
        if x > left and x + length > left + width:
            x, y = left, y + LEADING
        pen.rectangle((x, y + 5, x + 8, y + 13), colours[label])
        pen.text((x + 14, y), text, FAINT, _font())
        x += length + 14
    return y + LEADING


def _paper(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (width, height), PAPER)
    return sheet, ImageDraw.Draw(sheet)


def _scaled(image: np.ndarray, width: int, height: int) -> Image.Image:
    picture = Image.fromarray(image)
    if picture.size == (width, height):
        return picture
    # Enlarged without ringing and shrunk without aliasing: either would look like the model's work.
    return picture.resize((width, height), Image.Resampling.BICUBIC if width > picture.width else Image.Resampling.BOX)


def _placed(box: Box, scale: float, left: int, top: int) -> Box:
    """A box of the picture on the sheet, rounded outwards so that an outline around it covers none of its pixels."""
    x0, y0, x1, y1 = box
    return (
        left + int(np.floor(x0 * scale)),
        top + int(np.floor(y0 * scale)),
        left + int(np.ceil(x1 * scale)),
        top + int(np.ceil(y1 * scale)),
    )


def _colour(number: int) -> Colour:
    return PALETTE[number % len(PALETTE)]


def _outline(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, thickness: int = 2) -> None:
    """A frame just outside a box."""
    x0, y0, x1, y1 = box
    # Pillow's rectangles include their last pixel and grow inwards.
    pen.rectangle((x0 - thickness, y0 - thickness, x1 - 1 + thickness, y1 - 1 + thickness), None, colour, thickness)


def _corners(pen: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    """Four brackets just outside a box: they say where it is and leave its sides free to be looked at."""
    x0, y0, x1, y1 = box
    reach = max(5, min(x1 - x0, y1 - y0) // 8)
    # Two pixels thick and two away: what was painted is seen up to its edge.
    for x, inward_x in ((x0 - 4, 1), (x1 + 3, -1)):
        for y, inward_y in ((y0 - 4, 1), (y1 + 3, -1)):
            for offset in (0, 1):
                pen.line((x, y + offset * inward_y, x + reach * inward_x, y + offset * inward_y), colour)
                pen.line((x + offset * inward_x, y, x + offset * inward_x, y + reach * inward_y), colour)


def _tag(pen: ImageDraw.ImageDraw, box: Box, text: str, colour: Colour, size: tuple[int, int]) -> None:
    """A word on a patch of colour above a box, or below it where the picture ends above."""
    text = _line(text)
    width, height = round(_font(12).getlength(text)) + 6, 16
    x = max(0, min(box[0] - 2, size[0] - width))
    y = box[1] - 2 - height
    if y < 0:
        y = min(box[3] + 2, size[1] - height)
    pen.rectangle((x, y, x + width, y + height), colour)
    pen.text((x + 3, y + 1), text, PAPER, _font(12))


def _badge(pen: ImageDraw.ImageDraw, x: int, y: int, number: int) -> None:
    radius = BADGE // 2
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), _colour(number), PAPER)
    pen.text((x, y), str(number + 1), PAPER, _font(13), anchor="mm")


def _badge_centre(box: Box, frame: Box, boxes: Sequence[Box]) -> tuple[int, int]:
    """The centre of a badge beside a box, in a place of the picture where it covers no box, if there is one."""
    radius = BADGE // 2
    x0, y0, x1, y1 = box
    left, right, above, below = x0 - radius - 6, x1 + radius + 6, y0 - radius - 6, y1 + radius + 6
    beside = [(x0 + radius, above), (left, y0 + radius), (x0 + radius, below), (right, y0 + radius)]
    for x, y in beside:
        patch = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        if intersection(patch, frame) == patch and not any(intersection(patch, other) for other in boxes):
            return x, y
    x = min(max(x0 - radius // 2, frame[0] + radius), frame[2] - radius)
    y = min(max(y0 - radius // 2, frame[1] + radius), frame[3] - radius)
    return x, y


def _write(pen: ImageDraw.ImageDraw, x: int, y: int, lines: Sequence[str], colour: Colour) -> int:
    """Write lines and return where the next one would start."""
    for line in lines:
        pen.text((x, y), line, colour, _font())
        y += LEADING
    return y


@cache
def _font(size: int = 14) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _line(text: str) -> str:
    """A text as one line that can be drawn; bytes of a file's name that are no text become question marks."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _wrap(text: str, width: int, max_lines: int = MAX_CAPTION_LINES) -> list[str]:
    """Break a text into at most ``max_lines`` lines of at most ``width`` pixels; what is left out becomes ``…``."""
    lines = [""]
    for word in _line(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if _font().getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:  # a word that is wider than the line breaks where it must
            if _font().getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    if len(lines) <= max_lines:
        return lines
    last = lines[max_lines - 1]
    while _font().getlength(f"{last}…") > width:
        last = last[:-1]
    return [*lines[: max_lines - 1], f"{last.rstrip()}…"]
