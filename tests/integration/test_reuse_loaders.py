"""Reuse in real DataLoaders with a real server: nobody waits, all workers see one pool, and what is painted stays."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, InpaintError, ModelSpec
from inpaint_transform.batch import ConcurrentDataset
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.store import Store
from inpaint_transform.serving.registry import connect
from inpaint_transform.serving.session import current_session

ROOT = Path(__file__).parents[2]
COUNT = 8
PATIENCE_S = 60.0


class Pictures(Dataset):
    """Noise pictures with a box each; gives what became of it and the digest of the pixels."""

    def __init__(self, path: Path, **more) -> None:
        reuse = {"variants": 2, "echo": 4, "path": str(path), **more.pop("reuse", {})}
        spec = ModelSpec("tiny", serving="shared", device="cpu", **more.pop("model", {}))
        settings = {"prompts": "a cone", "edits_key": "inpainted", "seed": 5, "p": 1.0, **more}
        self.inpaint = BBoxInpaint(spec, reuse=reuse, **settings)
        self.transform = A.Compose(
            [self.inpaint, A.HorizontalFlip(p=0.5)], bbox_params=A.BboxParams("coco", label_fields=["labels"]), seed=1
        )

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[str | None, str]:
        image = np.random.default_rng(index).integers(0, 256, (100, 120, 3), np.uint8)
        sample = self.transform(image=image, bboxes=[[30, 20, 50, 60]], labels=["cone"])
        kinds = [edit["reuse"] for edit in sample["inpainted"]]
        left = min((image.tobytes(), image[:, ::-1].tobytes()))
        painted = min((sample["image"].tobytes(), np.ascontiguousarray(sample["image"][:, ::-1]).tobytes()))
        assert (painted == left) == (kinds in ([], ["cold"]))
        return (kinds[0] if kinds else None), hashlib.sha256(painted).hexdigest()


def loader_of(dataset, workers: int, start: str | None = "fork", persistent: bool = False) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=2,
        num_workers=workers,
        multiprocessing_context=start if workers else None,
        persistent_workers=persistent and workers > 0,
        collate_fn=list,
    )


def run(dataset, workers: int, start: str | None = "fork", epochs: int = 1, persistent: bool = False) -> list[list]:
    loader = loader_of(dataset, workers, start, persistent)
    found = []
    for epoch in range(epochs):
        dataset.inpaint.set_epoch(epoch)
        found.append([sample for batch in loader for sample in batch])
    return found


def until_full(dataset, workers: int, start: str = "fork", persistent: bool = False) -> list[list]:
    """Epochs until nothing is cold any more, nor was in the last three."""
    loader = loader_of(dataset, workers, start, persistent)
    epochs: list[list] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(epochs) < 4 or "cold" in {kind for epoch in epochs[-3:] for kind, _ in epoch}:
        dataset.inpaint.set_epoch(len(epochs))
        epochs.append([sample for batch in loader for sample in batch])
        assert time.monotonic() < deadline, epochs[-1]
        time.sleep(0.05)
    return epochs


@pytest.mark.parametrize(
    ("workers", "start", "persistent"),
    [
        (0, "fork", False),
        (1, "fork", False),
        (8, "fork", True),
        pytest.param(1, "spawn", True, marks=pytest.mark.slow),
        pytest.param(1, "forkserver", True, marks=pytest.mark.slow),
    ],
)
def test_a_cold_pool_fills_while_nobody_waits(
    inverting, tmp_path: Path, workers: int, start: str, persistent: bool
) -> None:
    dataset = Pictures(tmp_path / "pool")
    epochs = until_full(dataset, workers, start, persistent)
    assert "cold" in {kind for kind, _ in epochs[0]}
    assert "hit" not in {kind for kind, _ in epochs[0]}
    assert {kind for kind, _ in epochs[-1]} <= {"hit", "painted"}
    found = dataset.inpaint.stats()["reuse"]
    assert COUNT <= found["looks"] <= 2 * COUNT
    assert found["objects"] == COUNT
    assert found["cold"] >= 1
    assert found["effective_p"] == 1.0
    assert sum(counts["edits"] for counts in found["epochs"].values()) == COUNT * len(epochs)


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_frozen_pool_gives_the_same_pixels_whatever_the_workers(inverting, tmp_path: Path, concurrent: bool) -> None:
    until_full(Pictures(tmp_path / "pool"), 2)
    runs = []
    for workers, start, persistent in [(0, None, False), (1, "fork", False), (8, "fork", True)]:
        frozen = Pictures(tmp_path / "pool", reuse={"frozen": True}, p=0.5)
        wrapped = ConcurrentDataset(frozen) if concurrent else frozen
        runs.append([[digest for _, digest in epoch] for epoch in run(wrapped, workers, start, 3, persistent)])
    assert all(found == runs[0] for found in runs[1:])
    assert runs[0][0] != runs[0][1]  # another epoch, other samples


def test_waiting_paints_at_once_and_reuses(inverting, tmp_path: Path) -> None:
    dataset = Pictures(tmp_path / "pool", reuse={"wait": True, "echo": 100})
    epochs = run(dataset, 2, epochs=6)
    assert "cold" not in {kind for epoch in epochs for kind, _ in epoch}
    assert {kind for kind, _ in epochs[0]} == {"painted"}
    assert [kind for epoch in epochs for kind, _ in epoch].count("painted") <= 2 * COUNT
    again = run(Pictures(tmp_path / "pool", reuse={"wait": True, "echo": 100}), 0, epochs=6)
    assert [[digest for _, digest in epoch] for epoch in again] == [[digest for _, digest in epoch] for epoch in epochs]


def test_concurrent_dataset_shares_the_pool(inverting, tmp_path: Path) -> None:
    dataset = ConcurrentDataset(Pictures(tmp_path / "pool"))
    assert {kind for kind, _ in until_full(dataset, 2)[-1]} <= {"hit", "painted"}


def test_looks_are_painted_anew_and_no_look_is_lost_meanwhile(inverting, tmp_path: Path) -> None:
    dataset = Pictures(tmp_path / "pool", reuse={"variants": 1, "echo": 2})
    until_full(dataset, 1)
    deadline = time.monotonic() + PATIENCE_S
    while min(generations(dataset)) < 2:
        assert "cold" not in {kind for kind, _ in run(dataset, 1)[0]}
        assert time.monotonic() < deadline
        time.sleep(0.05)


def generations(dataset: Pictures) -> list[int]:
    """How often each look was painted anew."""
    pool = dataset.inpaint.editor.pool
    pool.flush()
    with pool.reading() as view:
        return [slot.generation for _, slot in view._contents.slots()]


def test_a_private_pool_is_shared_by_all_workers_and_ends_with_its_job(inverting, tmp_path: Path) -> None:
    script = """
        import sys, glob, os, tempfile
        from pathlib import Path
        from test_reuse_loaders import Pictures, until_full
        dataset = Pictures("unused", reuse={"path": None})
        epochs = until_full(dataset, 2)
        folders = glob.glob(os.path.join(tempfile.gettempdir(), "inpaint-transform-pool-*"))
        print(len(folders), {kind for kind, _ in epochs[-1]} <= {"hit", "painted"})
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.split() == ["1", "True"]
    assert not list(tmp_path.glob("inpaint-transform-pool-*"))


JOB = """
    import json, sys, time
    from pathlib import Path
    from test_reuse_loaders import Pictures, run
    dataset = Pictures(Path(sys.argv[1]), p=1.0, reuse=json.loads(sys.argv[2]))
    print("ready", flush=True)
    for _ in range(int(sys.argv[3])):
        run(dataset, 2)
    print(json.dumps(dataset.inpaint.stats()["reuse"]), flush=True)
"""


def job(path: Path, epochs: int, **reuse) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JOB), str(path), json.dumps(reuse), str(epochs)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_two_jobs_at_once_on_one_pool(inverting, tmp_path: Path) -> None:
    jobs = [job(tmp_path / "pool", 12, echo=3) for _ in range(2)]
    outs = [process.communicate(timeout=PATIENCE_S * 2)[0] for process in jobs]
    assert [process.returncode for process in jobs] == [0, 0]
    for out in outs:
        found = json.loads(out.splitlines()[-1])
        assert found["objects"] == COUNT
        assert found["hit"] > 0
        assert sum(counts["edits"] for counts in found["epochs"].values()) == 12 * COUNT


def looks_at(path: Path) -> int:
    """How many looks a pool has, seen from outside of the job."""
    try:
        store = Store(path, 0, True)
        with store.reading() as transaction:
            return len(list(Contents(transaction, store.dbs).slots()))
    except InpaintError:  # there is none yet
        return 0
    finally:
        store.close()


def test_a_job_that_is_killed_leaves_a_pool_that_another_goes_on_with(inverting, tmp_path: Path) -> None:
    for _ in range(2):
        process = job(tmp_path / "pool", 1000)
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + PATIENCE_S
        while not looks_at(tmp_path / "pool") and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    dataset = Pictures(tmp_path / "pool")
    assert dataset.inpaint.stats()["reuse"]["looks"] > 0
    epochs = until_full(dataset, 2)
    assert {kind for kind, _ in epochs[-1]} <= {"hit", "painted"}


def test_a_failing_painter_is_told_and_with_skip_only_told(inverting, tmp_path: Path) -> None:
    failing = {"prompts": "raise no paint left", "reuse": {"variants": 1}}
    dataset = Pictures(tmp_path / "pool", **failing)
    kinds = {kind for epoch in run(dataset, 1, epochs=3) for kind, _ in epoch}
    assert kinds == {"cold"}  # a request that fails is no failure of the server


def test_a_model_that_does_not_load_is_raised(inverting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPAINT_TRANSFORM_ENGINE", "standins:Broken")
    dataset = Pictures(tmp_path / "pool")
    with pytest.raises(InpaintError, match="there is no such folder"):
        until_full(dataset, 0)


def test_background_painting_keeps_its_share_and_lets_others_go_first(inverting, tmp_path: Path) -> None:
    dataset = Pictures(tmp_path / "pool", prompts="sleep 0.05", model={"device_share": 0.2, "max_batch_size": 1})
    deadline = time.monotonic() + PATIENCE_S
    inpainter = connect(dataset.inpaint.editor._spec, current_session())
    while time.monotonic() < deadline:
        run(dataset, 1)
        background = inpainter.stats().get("background", {"requests": 0})
        if background["requests"] >= 12:
            break
    assert background["requests"] >= 12
    assert background["busy_share"] <= 0.3  # a share of the time since its first batch, which had all of it
    assert background["batches"] == background["requests"]


def test_queued_work_goes_with_its_job_and_what_is_painted_stays(inverting, tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from test_reuse_loaders import Pictures, run
        dataset = Pictures(Path(sys.argv[1]), prompts="sleep 0.3", model={"max_batch_size": 1})
        while dataset.inpaint.stats()["inpainter"].get("background", {}).get("requests", 0) < 2:
            run(dataset, 1)
            time.sleep(0.1)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pool")],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}"},
        check=True,
    )
    dataset = Pictures(tmp_path / "pool", prompts="sleep 0.3", model={"max_batch_size": 1})
    kinds = [kind for kind, _ in run(dataset, 0)[0]]
    # A worker may have judged some of them already.
    assert 0 < kinds.count("cold") < COUNT
