"""What a result depends on: a changed line of the program changes the digests of runs and banks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.study import parts, program, quick
from inpaint_transform.tools.study import config, runs


def test_all_that_trains_and_paints_is_among_them() -> None:
    """Of this package and the study, but for what carries requests and reads files."""
    code = (
        "import sys, benchmarks.study.train, inpaint_transform.engine.engine, inpaint_transform.fit.fitting; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('benchmarks', 'inpaint_transform')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(name) for name in done.stdout.split()}
    carriers = {"datasets", "reports", "serving", "tiny"}
    missing = {
        file
        for file in loaded - set(program.FILES)
        if not carriers & set(file.parts) and file.stem not in ("__init__", "program")
    }
    assert missing == set()
    assert {file.stem for file in program.FILES} >= {"detail", "jobs", "blend", "heatmap", "bank", "train", "engine"}


def test_each_line_counts(tmp_path: Path) -> None:
    copies = [tmp_path / str(number) for number, _ in enumerate(program.FILES)]
    for copy, file in zip(copies, program.FILES, strict=True):
        copy.write_bytes(file.read_bytes())
    before = program.digest(copies)
    assert before == program.digest(program.FILES)
    for copy in copies[:: len(copies) // 4]:
        copy.write_text(f"{copy.read_text()}#")
        assert program.digest(copies) != before
        before = program.digest(copies)


@pytest.mark.parametrize("changed", ["coco.json", "train.py", "detail.py"])
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
        files = tuple(copy if file.name == changed else file for file in program.FILES)
        monkeypatch.setattr(program, "FILES", files)
    assert not digests() & before
