"""Reuse where things go wrong or come in twos: ranks, users without rights, full disks, pools that are taken away."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from painters import Painter
from test_reuse_loaders import COUNT, ROOT, Pictures, loader_of, run, until_full
from warned import warned

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.serving.pool import keeper, store

PATIENCE_S = 120.0
NOBODY = 65534

RANK = """
    import json, os, sys, time
    from pathlib import Path
    import torch.distributed as dist
    from torch.utils.data import DataLoader, DistributedSampler
    from test_reuse_loaders import Pictures

    dist.init_process_group("gloo")
    path = sys.argv[1]
    dataset = Pictures(path, reuse={"variants": 1, "echo": 1000, "path": path or None})
    sampler = DistributedSampler(dataset, shuffle=True, seed=3)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=1, persistent_workers=True, collate_fn=list)
    kinds, seen = [], {}
    for epoch in range(200):
        sampler.set_epoch(epoch)
        dataset.inpaint.set_epoch(epoch)
        samples = [sample for batch in loader for sample in batch]
        kinds.append([kind for kind, _ in samples])
        for index, (kind, digest) in zip(sampler, samples):
            if kind != "cold":
                seen.setdefault(index, []).append(digest)
        warm = [None, None]
        dist.all_gather_object(warm, all(kind == "hit" for kinds_of in kinds[-3:] for kind in kinds_of))
        if len(kinds) >= 3 and all(warm):
            break
        time.sleep(0.05)
    every = [None, None]
    dist.all_gather_object(every, seen)
    dist.barrier()
    stats = dataset.inpaint.stats()["reuse"]
    print(json.dumps({"kinds": kinds, "seen": every, "looks": stats["looks"], "objects": stats["objects"]}))
    dist.destroy_process_group()
"""


def ranks(path: Path | str) -> list[dict]:
    """Two processes as torchrun starts them, and what they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(RANK), str(path)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outs = [process.communicate(timeout=PATIENCE_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], [errors[-2000:] for _, errors in outs]
    return [json.loads(out.splitlines()[-1]) for out, _ in outs]


def test_two_ranks_paint_each_look_once_for_both(inverting, tmp_path: Path) -> None:
    found = ranks(tmp_path / "pool")
    for rank in found:
        assert set(rank["kinds"][-1]) == {"hit"}
        assert (rank["looks"], rank["objects"]) == (COUNT, COUNT)
        assert "cold" in rank["kinds"][0]
    # Whichever rank draws an object, it gets the same pixels.
    for index in range(COUNT):
        digests = [digest for of_rank in found[0]["seen"] for digest in of_rank.get(str(index), of_rank.get(index, []))]
        assert digests
        assert len(set(digests)) == 1


@pytest.mark.slow
def test_ranks_without_a_folder_have_a_pool_each(inverting, tmp_path: Path) -> None:
    for rank in ranks(""):
        assert set(rank["kinds"][-1]) == {"hit"}
        assert 0 < rank["looks"] <= COUNT


# Rights


def forked(work: Callable[[], object], user: int | None = None) -> str:
    """What a child gets, as another user if root starts it: the answer, or the error, in words."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            keeper._keepers.clear()  # as a process that never wrote into any pool
            if user is not None and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            said = repr(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may read and only its owner write to."""
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def kinds_of(dataset: Pictures, epochs: int = 3) -> list[str]:
    return sorted({kind for epoch in run(dataset, 0, epochs=epochs) for kind, _ in epoch})


def test_who_may_only_read_a_pool_trains_with_it_frozen(painter: Painter, readable: Path) -> None:
    filled = Pictures(readable / "pool", reuse={"variants": 1, "wait": True})
    assert kinds_of(filled) == ["hit", "painted"]
    filled.inpaint.editor.pool.flush()
    for path in [*(readable / "pool").iterdir(), readable / "pool"]:
        path.chmod(path.stat().st_mode & ~0o222)
    asked = len(painter.calls)
    frozen = Pictures(readable / "pool", reuse={"variants": 1, "frozen": True})
    assert forked(lambda: kinds_of(frozen), NOBODY) == "['hit']"
    assert len(painter.calls) == asked


def test_who_may_not_write_is_told_what_to_do(painter: Painter, readable: Path) -> None:
    filled = Pictures(readable / "pool", reuse={"variants": 1, "wait": True})
    kinds_of(filled, 1)
    filled.inpaint.editor.pool.flush()
    for path in [*(readable / "pool").iterdir(), readable / "pool", readable]:
        path.chmod(path.stat().st_mode & ~0o222)
    for name in ("pool", "new"):
        said = forked(lambda name=name: kinds_of(Pictures(readable / name, reuse={"wait": True})), NOBODY)
        assert said.startswith("InpaintError"), said
        assert f"path='{readable / name}'" in said
        assert "frozen=True" in said
        skipping = Pictures(readable / name, reuse={"wait": True}, on_error="skip")
        assert forked(lambda skipping=skipping: kinds_of(skipping), NOBODY) == "[None]"


# Disks


def test_on_a_full_disk_painting_goes_on_and_one_warning_says_so(painter: Painter, tmp_path: Path) -> None:
    """The disk: no file of this process may become larger than a part of the looks."""

    def train() -> list[object]:
        dataset = Pictures(tmp_path / "pool", reuse={"variants": 8, "echo": 1000, "wait": True})
        with warned("not kept") as said:
            kinds_of(dataset, 1)
            dataset.inpaint.editor.pool.flush()
            size = (tmp_path / "pool" / "data.mdb").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, size + 40_000))
            kinds = kinds_of(dataset, 20)
        return [kinds, len(said), said[:1]]

    said = forked(train)  # a limit cannot be taken back
    assert said.startswith("[['hit', 'painted'], 1, ["), said
    assert "what is painted is not kept" in said
    # What was kept before is whole.
    frozen = Pictures(tmp_path / "pool", reuse={"variants": 8, "frozen": True})
    assert set(kinds_of(frozen, 20)) == {"cold", "hit"}


def test_a_look_larger_than_the_pool_is_painted_each_time_and_named_once(painter: Painter, tmp_path: Path) -> None:
    reuse = {"path": str(tmp_path / "pool"), "variants": 1, "wait": True, "max_bytes": "1MB"}
    inpaint = BBoxInpaint(p=1.0, prompts="a cone", edits_key="inpainted", reuse=reuse)
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    image = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    with pytest.warns(RuntimeWarning, match="bytes does not fit into max_bytes=1000000; give more") as told:
        found = [transform(image=image, bboxes=[[20, 20, 660, 660]], labels=["cone"]) for _ in range(3)]
    assert [sample["inpainted"][0]["reuse"] for sample in found] == ["painted"] * 3
    assert all(np.array_equal(sample["image"], found[0]["image"]) for sample in found)
    assert len([warning for warning in told if "does not fit" in str(warning.message)]) == 1


def test_a_pool_that_is_deleted_under_a_training_is_filled_anew(
    inverting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOK_S", 0.1)
    dataset = Pictures(tmp_path / "pool", reuse={"variants": 1})
    loader = loader_of(dataset, 2, "fork", persistent=True)
    epochs = until_full(dataset, 2)
    assert {kind for kind, _ in epochs[-1]} <= {"hit", "painted"}
    next(iter(loader))
    shutil.rmtree(tmp_path / "pool")
    kinds: list[set[str | None]] = []
    while not kinds or "cold" in kinds[-1]:
        kinds.append({kind for batch in loader for kind, _ in batch})
        assert len(kinds) < 500
    assert {kind for kind, _ in until_full(dataset, 2)[-1]} <= {"hit", "painted"}
    assert (tmp_path / "pool" / "data.mdb").exists()


def test_what_is_no_pool_is_named_by_the_first_sample(painter: Painter, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"something else " * 1000)
    dataset = Pictures(tmp_path)
    with pytest.raises(InpaintError, match="damaged or no pool"):
        run(dataset, 0)
    assert (tmp_path / "data.mdb").read_bytes() == b"something else " * 1000
    skipping = Pictures(tmp_path, on_error="skip")
    with pytest.warns(RuntimeWarning, match="damaged or no pool"):
        assert kinds_of(skipping) == [None]


PAINTS_AT_ITS_END = """
    import sys
    import albumentations as A
    import numpy as np
    from inpaint_transform import BBoxInpaint, ModelSpec

    model = ModelSpec("tiny", steps=2, serving="local", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    boxes = {"bboxes": [(20 + 40 * n, 40, 80 + 40 * n, 100) for n in range(5)], "labels": ["cone"] * 5}
    compose = A.BboxParams("pascal_voc", label_fields=["labels"])
    A.Compose([BBoxInpaint(model, p=1.0)], bbox_params=compose)(image=image, **boxes)  # loads the model
    later = A.Compose([BBoxInpaint(model, p=1.0, reuse={"path": sys.argv[1]})], bbox_params=compose)
    for _ in range(10):
        later(image=image, **boxes)
    print("done")
"""


def test_a_process_that_ends_while_it_paints_in_the_background_ends_well(tmp_path: Path) -> None:
    """A thread that comes back from torch into an interpreter that ends would abort the process."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PAINTS_AT_ITS_END), str(tmp_path / "pool")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
