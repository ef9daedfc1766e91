"""Which entry is which picture's: property-based, against the rule spelled out."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.datasets.formats.coco_index import key_of, match

ROOT = Path("/data/images")
names = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".png")


def tails_in_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count


@given(below=st.sets(names, max_size=6), entries=st.sets(names, max_size=6))
def test_a_match_is_exact_or_the_only_one_of_its_tail(below: set[str], entries: set[str]) -> None:
    pictures = [ROOT / name for name in sorted(below)]
    found, doubts = match(pictures, ROOT, entries)
    assert len(set(found.values())) == len(found)
    assert not found.keys() & doubts.keys()
    for picture in pictures:
        name = picture.relative_to(ROOT).as_posix()
        if name in entries:
            assert found[picture] == name
    for picture, name in found.items():
        if picture.relative_to(ROOT).as_posix() == name:
            continue
        shared = tails_in_common(picture.parts, tuple(name.split("/")))
        assert shared >= 1
        rivals = [tails_in_common(other.parts, tuple(name.split("/"))) for other in pictures if other != picture]
        others = [tails_in_common(picture.parts, tuple(other.split("/"))) for other in entries if other != name]
        assert max(rivals, default=0) < shared
        assert max(others, default=0) < shared


def test_one_more_folder_in_front_and_one_less() -> None:
    pictures = [ROOT / "a/1.png", ROOT / "b/1.png"]
    expected = {pictures[0]: "images/a/1.png", pictures[1]: "images/b/1.png"}
    assert match(pictures, ROOT, expected.values())[0] == expected
    assert match([ROOT / "deep/a.png"], ROOT, ["a.png"])[0] == {ROOT / "deep/a.png": "a.png"}
    assert match([ROOT / "a/1.png", ROOT / "b/1.png"], ROOT, ["1.png"])[0] == {}
    assert match([ROOT / "a/1.png"], ROOT, ["x/1.png", "y/1.png"])[0] == {}


def test_keys_are_numbers_by_value() -> None:
    assert key_of(1) == key_of(1.0) == key_of("1") == 1
    assert len({key_of(value) for value in (1, "01", 1.5, True, None, "", "a", "\uff11")}) == 8
    assert isinstance(hash(key_of([1, {}])), int)
    key_of("9" * 5000)
