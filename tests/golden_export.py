"""The golden scenarios of the command line's export; see ``golden``."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from golden_samples import BOXES, HEIGHT, LABELS, VOLATILE, WIDTH, Parts, picture, without
from PIL import Image

from inpaint_transform.serving import threads


def _write_yolo(folder: Path) -> Path:
    """Three pictures to train with, one of them in a folder, and one to validate with."""
    names = ["cat", "dog", "bird", "ant", "unused"]
    for number, place in enumerate(("train/a", "train/b", "train/more/c", "valid/d")):
        split, _, stem = place.partition("/")
        image, labels = folder / split / "images" / f"{stem}.png", folder / split / "labels" / f"{stem}.txt"
        for path in (image, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(image)
        labels.write_text("".join(map(_yolo_line, map(names.index, LABELS), BOXES)))
    (folder / "data.yaml").write_text(f"names: [{', '.join(names)}]\n")
    return folder


def _yolo_line(index: int, box: Sequence[int]) -> str:
    x0, y0, x1, y1 = box
    centre = (x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT
    return f"{index} {centre[0]} {centre[1]} {(x1 - x0) / WIDTH} {(y1 - y0) / HEIGHT}\n"


def _command(*arguments: Any) -> tuple[int, str]:
    """Run the command line in this process: its exit code and what it said."""
    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["inpaint_transform", *map(str, arguments)]))
        # A command has its process for itself, and changes it; the tests after this one know nothing of that.
        for owner, name in ((threads, "_ours"), (warnings, "showwarning"), (logging, "lastResort")):
            stack.enter_context(mock.patch.object(owner, name, getattr(owner, name)))
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            runpy.run_module("inpaint_transform", run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


class _Exports:
    """Exports in a temporary folder, each into a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.parts = Parts()
        self.folder = folder

    def export(self, source: str, target: str, box_format: str, to: str, *more: Any) -> str:
        """Run an export and take in what it wrote.

        Returns:
            The target.
        """
        where = self.folder / source, self.folder / target
        code, said = _command("export", *where, "--format", box_format, "--to", to, "--model", "golden/export", *more)
        said = re.sub(r"in [\d.]+ s", "in T s", said).replace(str(self.folder), "FOLDER")
        self.parts.note(f"{target}: said", [code, *said.splitlines()])
        for path in sorted(path for path in where[1].rglob("*") if path.is_file()):
            name = path.relative_to(where[1]).as_posix()
            self.parts.add(f"{target}: names", name)
            kind = "pictures" if path.suffix in (".png", ".jpg") else "labels"
            content: Any = path.read_bytes()
            if path.suffix == ".jsonl":
                kind, lines = path.stem, [self._stable(line) for line in path.read_text().splitlines()]
                content = sorted(lines) if path.name == "export.jsonl" else lines  # that one's order is chance
            self.parts.add(f"{target}: {kind}", name, content)
        return target

    def _stable(self, line: str) -> str:
        found = without(json.loads(line.replace(str(self.folder), "FOLDER")), VOLATILE - {"crop"})
        if "provenance" in found:
            found["provenance"] = [self._stable(one) for one in found["provenance"]]
        return json.dumps(found)

    def replay(self, target: str, line: int, image: str) -> None:
        """Paint a line of an export's provenance again."""
        out = self.folder / "replay.png"
        log = self.folder / target / "provenance.jsonl"
        code, _ = _command("replay", log, self.folder / image, "--line", line, "--out", out)
        self.parts.add(f"{target}: replay", code, Image.open(out) if out.exists() else None)


def _exports(work: Callable[[_Exports], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        exports = _Exports(Path(folder).resolve())
        _write_yolo(exports.folder / "source")
        work(exports)
    return exports.parts.result()


def painted(name: str) -> dict[str, Any]:
    def work(exports: _Exports) -> None:
        swap = ("--swap", "cat=dog,gnu", "--gate", "fill:min_fill=0.6", "--seed", 3)
        exports.export("source", "yolo", "yolo", "yolo", "--copies", 2, "--save-crops", *swap)
        exports.replay("yolo", 1, "source/train/images/a.png")
        words = ("--prompt", "cat=a cat", "--prompt", "cat=two {label}s", "--prompt", "ant=an ant")
        exports.export("source", "coco", "yolo", "coco", *words, "--boxes-per-image", 3, "--strength", 0.6, "--copy")
        judged = ("--gate", "clip:min_margin=0.05", "--gate", "change", "--retries", 1, "--context", 1.5)
        exports.export("source", "voc", "yolo", "voc", "--p", 0.7, "--copies", 3, "--budget", "dog=2", *judged)

    return _exports(work)


def between_formats(name: str) -> dict[str, Any]:
    def work(exports: _Exports) -> None:
        plain = ("--copies", 0)
        exports.export("source", "yolo to coco", "yolo", "coco", *plain)
        exports.export("yolo to coco", "coco to voc", "coco", "voc", *plain)
        exports.export("coco to voc", "voc to yolo", "voc", "yolo", *plain)
        more = ("--only", "dog", "--boxes-per-image", 2, "--min-box-size", 40)
        exports.export("yolo to coco", "coco painted", "coco", "coco", *more)
        exports.export("coco to voc", "voc painted", "voc", "voc", *more, "--workers", 1)
        exports.export("coco to voc", "voc painted to yolo", "voc", "yolo", "--swap", "dog=bird", "--seed", 8)

    return _exports(work)


def resumed_and_with_problems(name: str) -> dict[str, Any]:
    def work(exports: _Exports) -> None:
        (exports.folder / "source/train/labels/b.txt").write_text("0 0.5 0.5 0.2\n7 0.5 0.5 0.2 0.2\n")
        (exports.folder / "source/train/images/broken.png").write_bytes(b"no picture")
        exports.export("source", "first", "yolo", "yolo")
        manifest = exports.folder / "first" / "export.jsonl"
        lines = manifest.read_bytes().splitlines(keepends=True)
        manifest.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # as a killed process leaves it
        exports.export("source", "first", "yolo", "yolo")

    return _exports(work)


SCENARIOS = (painted, between_formats, resumed_and_with_problems)
