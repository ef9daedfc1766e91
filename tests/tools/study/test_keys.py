"""Values are read as configurations write them, by hand in YAML or as Python's own."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from inpaint_transform.tools.study import keys
from inpaint_transform.tools.study.keys import ConfigError, Keys, UnfitError


class Kind(str, Enum):
    A = "a"


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        (keys.text, 7, "7"),
        (keys.text, Path("a"), "a"),
        (keys.truth, "No", False),
        (keys.truth, True, True),
        (keys.truth, "on", True),
        (keys.whole, "-3", -3),
        (keys.count, 4, 4),
        (keys.seed, "0", 0),
        (keys.factor, "1e-2", 0.01),
        (keys.one_of(["a", "b"]), Kind.A, "a"),
        (keys.listed, "a", ["a"]),
        (keys.listed, ("a", "b"), ("a", "b")),
    ],
)
def test_what_is_meant_is_read(reader: Any, value: Any, expected: Any) -> None:
    assert reader(value) == expected


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        *((keys.text, value) for value in (True, None, ["a"], {"a": 1})),
        *((keys.truth, value) for value in ("maybe", 1, None)),
        *((keys.whole, value) for value in ("1.0", 1.5, True, "x", "1e3")),
        *((keys.count, value) for value in (0, "-1")),
        *((keys.factor, value) for value in (0, "nan", "inf", "x", None, [1])),
        *((keys.one_of(["a"]), value) for value in ("b", None, ["a"])),
    ],
)
def test_what_is_unclear_is_not(reader: Any, value: Any) -> None:
    with pytest.raises(UnfitError):
        reader(value)


def test_each_key_is_taken_once_and_the_rest_is_unknown(tmp_path: Path) -> None:
    given = Keys("s.yaml", {"a": "1", "b": {"c": "x"}, "none": "~", "colour": 1}, tmp_path)
    assert given.get("a", keys.count) == 1
    assert given.get("none", keys.count, 5) == 5
    assert given.get("color", keys.text) is None
    with pytest.raises(ConfigError, match=r"^s\.yaml: b\.c='x': use a whole number$"):
        given.get("b", given.section("b", lambda below: below.get("c", keys.count)))
    with pytest.raises(ConfigError, match=r"^s\.yaml: colour: there is no such key; did you mean 'color'\?$"):
        given.end()


def test_a_missing_key_may_be_a_misspelt_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="command is missing; .*is that 'comand'"):
        Keys("s.yaml", {"comand": "x"}, tmp_path).required("command", keys.text)


def test_paths_start_at_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    given = Keys("s.yaml", {}, tmp_path)
    assert given.files("a") == (tmp_path / "a",)
    assert given.path("/b") == Path("/b")
    assert given.text_or_file("a") == str(tmp_path / "a")
    assert given.text_or_file("x,y") == "x,y"
    with pytest.raises(UnfitError, match="there is no file or folder .*/b"):
        given.place("b")
