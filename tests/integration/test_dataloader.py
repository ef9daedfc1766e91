"""``BBoxInpaint`` in real DataLoaders: one server, no leftovers, the same pixels everywhere.

The slow tests are on the embedded model; for the others a stand-in paints, whose server is there in a second.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from serving import PATIENCE_S, wait_until
from torch.utils.data import DataLoader, Dataset

from inpaint_transform import BBoxInpaint, InpaintError, ModelSpec
from inpaint_transform.batch import ConcurrentDataset
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.registry import shutdown
from inpaint_transform.serving.server_directory import directories_of
from inpaint_transform.serving.session import current_session

ROOT = Path(__file__).parents[2]
COUNT = 8


def model(steps: int = 1, **fields: object) -> ModelSpec:
    return ModelSpec("tiny", steps=steps, serving="shared", device="cpu", **fields)


class Pictures(Dataset):
    """Different noise pictures with a box each; gives the digest of what comes out."""

    def __init__(self, *transforms: A.BasicTransform, pixels: bool = False) -> None:
        self.transform = A.Compose(
            list(transforms), bbox_params=A.BboxParams("coco", label_fields=["labels"]), strict=False
        )
        self.pixels = pixels

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int):
        image = picture(index)
        painted = self.transform(image=image, bboxes=[[30, 20, 50, 60]], labels=["cone"])["image"]
        return (
            painted if self.pixels else (hashlib.sha256(painted.tobytes()).hexdigest(), bool((painted != image).any()))
        )


def picture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (100, 120, 3), np.uint8)


def run(dataset: Dataset, workers: int, start: str | None = "fork", epochs: int = 1, **options) -> list[list]:
    options.setdefault("batch_size", 2)
    loader = DataLoader(
        dataset,
        num_workers=workers,
        multiprocessing_context=start if workers else None,
        collate_fn=list,
        **options,
    )
    return [[sample for batch in loader for sample in batch] for _ in range(epochs)]


@pytest.fixture
def noise(inverting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in engine that paints noise, in this process and in servers."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Noise")


def servers() -> list[int]:
    """Process ids of this job's servers."""
    return [server.pid for directory in directories_of(current_session()) if (server := directory.server())]


@pytest.fixture(autouse=True)
def _fresh_server() -> Iterator[None]:
    shutdown()
    yield

    def gone() -> bool:
        # A loader that failed ends its workers wherever they are, also while one starts a server: that one is only
        # found when it listens.
        shutdown()
        return servers() == [] and directories_of(current_session()) == []

    assert wait_until(gone, PATIENCE_S)


@pytest.mark.parametrize(("workers", "start"), [(0, None), *itertools.product((1, 8), ("fork", "spawn", "forkserver"))])
@pytest.mark.slow
def test_any_number_of_workers_and_any_start_method_share_one_server(workers: int, start: str | None) -> None:
    transform = BBoxInpaint(model(), p=1.0)
    [samples] = run(Pictures(transform), workers, start)
    assert all(changed for _, changed in samples)
    assert len({digest for digest, _ in samples}) == COUNT
    assert len(servers()) == 1
    assert transform.stats()["inpainter"]["requests"] == COUNT


@pytest.mark.usefixtures("noise")
def test_the_main_process_sees_what_its_workers_server_counted() -> None:
    transform = BBoxInpaint(dataclasses.replace(model(), serving="auto"), p=1.0)
    assert "batches" in transform.stats()["inpainter"]
    assert servers() == []  # asking starts none
    run(Pictures(transform), 2)
    assert transform.stats()["inpainter"]["requests"] == COUNT


@pytest.mark.usefixtures("noise")
def test_workers_before_and_after_the_first_edit_and_several_loaders_meet() -> None:
    transform = BBoxInpaint(model(), p=1.0)
    dataset = Pictures(transform)
    early = iter(DataLoader(dataset, num_workers=1, persistent_workers=True, collate_fn=list))
    dataset[0]
    late = iter(DataLoader(dataset, num_workers=1, collate_fn=list))
    assert all(changed for loader in (early, late) for batch in loader for _, changed in batch)
    assert len(servers()) == 1
    assert transform.stats()["inpainter"]["requests"] == 2 * COUNT + 1


@pytest.mark.usefixtures("noise")
def test_one_server_for_copies_and_epochs_one_more_for_another_model() -> None:
    transform = BBoxInpaint(model(), p=1.0)
    for twin in (transform, copy.deepcopy(transform), BBoxInpaint(model(), p=0.9)):
        run(Pictures(twin), 1)
    first = servers()
    assert len(first) == 1
    run(Pictures(transform, BBoxInpaint(model(steps=2), p=1.0)), 1)
    assert len(servers()) == 2
    assert set(first) < set(servers())


def test_a_replay_in_the_main_process_uses_the_same_server() -> None:
    compose = A.ReplayCompose([BBoxInpaint(model(), p=1.0)], bbox_params=A.BboxParams("coco", label_fields=["labels"]))
    result = compose(image=picture(0), bboxes=[[30, 20, 50, 60]], labels=["cone"])
    again = A.ReplayCompose.replay(result["replay"], image=picture(0), bboxes=[[30, 20, 50, 60]], labels=["cone"])
    assert np.array_equal(again["image"], result["image"])
    assert len(servers()) == 1


# Reproducibility


@pytest.mark.slow
def test_a_seed_gives_the_same_pixels_however_they_are_loaded() -> None:
    transform = BBoxInpaint(model(reproducible=True, max_batch_size=4), p=0.8, seed=7)
    dataset = Pictures(transform)
    by_epoch = []
    for epoch in (0, 1):
        transform.set_epoch(epoch)
        [plain] = run(dataset, 0)
        by_epoch.append(plain)
        for workers, start in ((1, "fork"), (4, "fork"), (2, "spawn")):
            assert run(dataset, workers, start) == [plain]
        assert run(ConcurrentDataset(dataset), 2, batch_size=4) == [plain]
    assert by_epoch[0] != by_epoch[1]
    loader = DataLoader(
        dataset, num_workers=2, persistent_workers=True, multiprocessing_context="fork", collate_fn=list
    )
    for epoch in (1, 0):
        transform.set_epoch(epoch)
        assert [sample for batch in loader for sample in batch] == by_epoch[epoch]


@pytest.mark.slow
def test_without_padding_the_batch_changes_hardly_a_grey_level(record_property) -> None:
    transform = BBoxInpaint(model(steps=4), p=1.0, seed=7)
    dataset = Pictures(transform, pixels=True)
    [alone] = run(dataset, 0)
    [together] = run(ConcurrentDataset(dataset), 2, batch_size=4)
    assert transform.stats()["inpainter"]["mean_batch"] > 1
    largest = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(alone, together, strict=True))
    record_property("largest_difference", largest)
    assert largest <= 3


@pytest.mark.usefixtures("noise")
def test_without_a_seed_workers_and_epochs_differ() -> None:
    class Same(Pictures):
        def __getitem__(self, index: int):
            return super().__getitem__(0)

    first, second = run(Same(BBoxInpaint(model(), p=1.0)), 2, epochs=2)
    assert len({digest for digest, _ in [*first, *second]}) == 2 * COUNT


def test_a_fork_while_a_thread_counts_does_not_hang_the_child() -> None:
    transform = BBoxInpaint(model(), p=1.0)
    with transform.editor.tally._lock:
        child = multiprocessing.get_context("fork").Process(target=transform.editor.tally.counts)
        child.start()
    child.join(60)
    assert child.exitcode == 0


# Faults


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_an_epoch_is_survived() -> None:
    transform = BBoxInpaint(model(steps=2), p=1.0)
    loader = iter(DataLoader(Pictures(transform), num_workers=2, prefetch_factor=1, collate_fn=list))
    samples = list(next(loader))
    [pid] = servers()
    os.kill(pid, signal.SIGKILL)
    samples += [sample for batch in loader for sample in batch]
    assert len(samples) == COUNT
    assert all(changed for _, changed in samples)
    assert pid not in servers()


def test_a_model_that_does_not_load_is_one_named_error_per_sample(tmp_path: Path) -> None:
    transform = BBoxInpaint(ModelSpec(str(tmp_path / "nothing"), serving="shared", device="cpu"), p=1.0)

    def failure() -> str:
        # Caught here and not by pytest, which would keep the traceback, and with it the loader: its workers would go on
        # and start a server anew.
        try:
            run(Pictures(transform), 2)
        except InpaintError as error:
            return str(error)
        return "none"

    assert "there is no such folder" in failure()


@pytest.mark.parametrize("serving", ["shared", "local"])
def test_skip_keeps_the_originals_counts_and_warns_once(
    tmp_path: Path, serving: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if serving == "shared":
        request.getfixturevalue("inverting")
        monkeypatch.setenv(ENGINE_VARIABLE, "standins:Broken")
    spec = ModelSpec(str(tmp_path / "nothing"), serving=serving, device="cpu")
    transform = BBoxInpaint(spec, p=1.0, on_error="skip")
    with pytest.warns(RuntimeWarning, match="no such folder") as caught:
        [samples] = run(Pictures(transform), 0)
    assert not any(changed for _, changed in samples)
    assert transform.stats()["errors"] == COUNT
    assert len([warning for warning in caught if "no such folder" in str(warning.message)]) == 1


# Scripts

JOB = """
import sys
import albumentations as A
import numpy as np
from torch.utils.data import DataLoader, Dataset
from inpaint_transform import BBoxInpaint
from inpaint_transform import ModelSpec
from inpaint_transform.serving.session import current_session
from inpaint_transform.serving.server_directory import directories_of

class Pictures(Dataset):
    transform = A.Compose(
        [BBoxInpaint(ModelSpec("tiny", steps=1, serving="shared", device="cpu"), p=1.0)],
        bbox_params=A.BboxParams("coco", label_fields=["labels"]),
    )
    def __len__(self):
        return 4
    def __getitem__(self, index):
        image = np.full((90, 90, 3), 120, np.uint8)
        out = self.transform(image=image, bboxes=[[20, 20, 50, 50]], labels=["cone"])["image"]
        return int((out != image).any())

loader = DataLoader(Pictures(), num_workers=2, multiprocessing_context="fork")
print("edited", sum(int(batch.sum()) for batch in loader))
[place] = directories_of(current_session())
print("server", place.server().pid)
"""


def start(*command: str, code: str | None = None, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE if code else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    if code and process.stdin:
        process.stdin.write(code)
        process.stdin.close()
        process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    """What a job printed; asserts that it went well and that its server is gone soon after."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    printed = {name: int(value) for name, value in (line.split() for line in out.splitlines())}
    deadline = time.monotonic() + 5
    while Path(f"/proc/{printed['server']}").exists():
        assert time.monotonic() < deadline, "the server outlives its owner"
        time.sleep(0.05)
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a script without a guard", "python -c", "standard input"])
def test_main_modules_of_all_kinds(how: str, tmp_path: Path) -> None:
    if how == "python -c":
        process = start("-c", JOB)
    elif how == "standard input":
        process = start("-", code=JOB)
    else:
        script = tmp_path / "train.py"
        script.write_text(JOB)
        process = start(str(script))
    assert finish(process)["edited"] == 4


@pytest.mark.slow
def test_two_jobs_at_once_have_two_servers() -> None:
    jobs = [start("-c", JOB) for _ in range(2)]
    found = [finish(job) for job in jobs]
    assert found[0]["server"] != found[1]["server"]
    assert [job["edited"] for job in found] == [4, 4]


@pytest.mark.slow
def test_two_ddp_ranks(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import torch.distributed as dist
        import os
        dist.init_process_group(
            "gloo", init_method="file://{tmp_path}/store", rank=int(os.environ["RANK"]), world_size=2
        )
        """
    )
    ending = "\ndist.barrier()\ndist.destroy_process_group()\n"
    ranks = [
        start("-c", code + JOB + ending, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2") for rank in range(2)
    ]
    assert [finish(rank)["edited"] for rank in ranks] == [4, 4]
