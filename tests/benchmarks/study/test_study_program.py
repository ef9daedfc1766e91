"""What a result depends on: a changed line of the program changes the digests of runs and banks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.study import parts, program, quick
from inpaint_transform.tools.study import config, runs


def test_the_files_are_there_and_each_counts(tmp_path: Path) -> None:
    files = {*program.PAINTING, *program.TRAINING, *program.FITTING}
    assert all(file.is_file() for file in files)
    copies = [tmp_path / str(number) for number, _ in enumerate(files)]
    for copy, file in zip(copies, files, strict=True):
        copy.write_bytes(file.read_bytes())
    before = program.digest(copies)
    assert before == program.digest(copies)
    copies[3].write_text("# changed")
    assert program.digest(copies) != before


@pytest.mark.parametrize("changed", ["coco.json", "train.py", "heatmap.py"])
def test_a_run_is_another_one_with_another_program_or_data(
    tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = quick.draw(tmp_path / "data")
    settings = parts.Settings(root.parent, tmp_path / "out", n=[6])

    def digests() -> set[str]:
        [study] = parts.studies("quick", parts.QUICK, settings)
        return {run.digest for run in runs.plan(config.read(study), None)}

    before = digests()
    assert digests() == before
    if changed == "coco.json":
        (root / changed).write_text((root / changed).read_text() + " ")
    else:
        copy = tmp_path / changed
        copy.write_text("# changed")
        files = tuple(copy if file.name == changed else file for file in program.TRAINING)
        monkeypatch.setattr(program, "TRAINING", files)
    assert not digests() & before
