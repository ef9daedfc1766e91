"""What reuse buys and costs: ``python -m benchmarks.reuse [--quick] [SECTION ...]``.

Sections:

- epochs: images/s and effective p over epochs for ``wait=True``, ``wait=False`` and without reuse, p = 0.25, boxes of
  about 200x200 pixels in 640x480 pictures, beside a loader with p = 0 that takes turns with them; a plot. The engine
  sleeps 20 ms + 50 ms a painting of 512 pixels, as a GPU would take;
- empty: the same with ``wait=False`` while the first painting takes longer than all epochs together;
- hit: the time from the decision to the finished image for a box of 256x256 pixels, beyond the copy of the image, and
  that of reading a look from the store, in pools of 100 and of 100,000 looks; opening the latter;
- share: of the device's time that background painting takes with ``device_share=0.2``;
- memory: what eight workers have for themselves, with a small and a large pool and without reuse;
- tiny: the same epochs with the embedded model.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.core.masks import bounds
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult

SIZE = (480, 640)
P = 0.25
ENGINE = "benchmarks.reuse:Sleeper"
SLOW_ENGINE = "benchmarks.reuse:Slow"
WAYS = {"wait=True": {"wait": True}, "wait=False": {"wait": False}, "without reuse": None}


class Sleeper:
    """Sleeps as a GPU works: 20 ms a call and 50 ms an image; paints a flat colour."""

    size = 512
    cell = 8

    def __init__(self, spec: ModelSpec) -> None:
        pass

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request."""
        time.sleep(0.02 + 0.05 * len(requests))
        results = []
        for request in requests:
            # What takes the device's time must take none of the workers' processor.
            x0, y0, x1, y1 = bounds(request.mask)
            image = request.image.copy()
            image[y0:y1, x0:x1] = np.frombuffer(request.seed.to_bytes(8, "big")[-3:], np.uint8)
            results.append(InpaintResult(image))
        return results

    def close(self) -> None:
        """Nothing to free."""


class Slow(Sleeper):
    """Is not done with its first call before the measurement is over."""

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Sleep."""
        time.sleep(3600.0)
        return super().paint(requests)


def pictures(folder: Path, count: int) -> None:
    """Write JPEG files with soft noise, as a camera's are."""
    import cv2

    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (30, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC))


def dataset_of(folder: Path, p: float, model: dict[str, Any], reuse: dict[str, Any] | None) -> Any:
    """A data set that decodes, paints and flips."""
    import albumentations as A
    import cv2
    from torch.utils.data import Dataset

    from inpaint_transform import BBoxInpaint

    class Pictures(Dataset[np.ndarray]):
        def __init__(self) -> None:
            self.files = sorted(folder.glob("*.jpg"))
            # In epoch 0 nothing is drawn: workers start.
            schedule = {"epochs": 10**6, "start": 1}
            self.inpaint = BBoxInpaint(model, prompts="a cone", p=p, reuse=reuse, schedule=schedule)
            boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
            self.transform = A.Compose([self.inpaint, A.HorizontalFlip(p=0.5)], bbox_params=boxes, seed=0)

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> np.ndarray:
            image = cv2.imread(str(self.files[index]))[:, :, ::-1]
            rng = np.random.default_rng(index)
            left, top = (int(rng.integers(0, limit - 210)) for limit in SIZE[::-1])
            width, height = (int(side) for side in rng.integers(190, 210, 2))
            box = [left, top, left + width, top + height]
            sample = self.transform(image=np.ascontiguousarray(image), bboxes=[box], labels=["cone"])
            return np.ascontiguousarray(sample["image"])

    return Pictures()


def loader_of(dataset: Any, workers: int) -> Any:
    """A loader as trainings have it, its workers persistent."""
    from torch.utils.data import DataLoader

    return DataLoader(
        dataset,
        batch_size=8,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="fork",
    )


def epoch(loader: Any, dataset: Any, number: int) -> float:
    """Images/s of one epoch."""
    dataset.inpaint.set_epoch(number)
    begun = time.perf_counter()
    count = sum(len(batch) for batch in loader)
    return count / (time.perf_counter() - begun)


def epochs(engine: str, model: dict[str, Any], count: int, number: int, slow: int) -> dict[str, Any]:
    """The three ways, each taking turns with a loader of p = 0.

    Args:
        engine: Which engine, as ``engines.py`` reads it; empty for the model's own.
        model: The model.
        count: Pictures.
        number: Epochs.
        slow: Epochs of those ways that wait.
    """
    from inpaint_transform.serving.registry import shutdown

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, environment(engine):
        folder = Path(name)
        pictures(folder, count)
        for way, settings in WAYS.items():
            reuse = (
                None
                if settings is None
                else {"variants": 1, "echo": 8, "path": str(folder / f"pool {way}"), **settings}
            )
            plain = dataset_of(folder, 0.0, model, None)
            dataset = dataset_of(folder, P, model, reuse)
            bare, loader = loader_of(plain, 4), loader_of(dataset, 4)
            epoch(bare, plain, 0)
            epoch(loader, dataset, 0)
            dataset.inpaint.editor.inpainter.size  # noqa: B018 - and so does the server
            rows = []
            for turn in range(1, 1 + (number if way == "wait=False" else slow)):
                before = epoch(bare, plain, turn)
                rate = epoch(loader, dataset, turn)
                until_idle(dataset)
                after = epoch(bare, plain, turn)
                own = statistics.fmean((before, after))
                rows.append(
                    {
                        "epoch": turn,
                        "images_per_s": round(rate, 1),
                        "p0_images_per_s": round(own, 1),
                        "ratio": round(rate / own, 4),
                        "effective_p": P,
                    }
                )
            if reuse is not None:
                time.sleep(2.0)  # workers write their counts once a second
                counts = dataset.inpaint.stats()["reuse"]["epochs"]
                for row in rows:
                    own = counts[str(row["epoch"])]
                    row["effective_p"] = round(P * own["accepted"] / own["edits"], 4)
            found[way] = rows
            del bare, loader
            shutdown()
    warm = [row["ratio"] for row in found["wait=False"] if row["effective_p"] > 0.9 * P]
    cold = [row["ratio"] for row in found["wait=False"] if row["effective_p"] <= 0.5 * P]
    found["summary"] = {
        "warm_ratio": round(statistics.median(warm), 4) if warm else 0.0,
        "cold_ratio": round(statistics.median(cold), 4) if cold else 0.0,
        "lowest_cold_ratio": min(cold, default=0.0),
        "slowest_way_images_per_s": min(row["images_per_s"] for row in found["without reuse"]),
    }
    return found


def empty(count: int, number: int) -> dict[str, Any]:
    """A pool in which nothing arrives, taking turns with a loader of p = 0."""
    from inpaint_transform.serving.registry import shutdown

    model = {"id": "tiny", "serving": "shared", "device": "cpu"}
    with tempfile.TemporaryDirectory() as name, environment(SLOW_ENGINE):
        folder = Path(name)
        pictures(folder, count)
        plain = dataset_of(folder, 0.0, model, None)
        dataset = dataset_of(folder, P, model, {"variants": 1, "path": str(folder / "pool")})
        bare, loader = loader_of(plain, 4), loader_of(dataset, 4)
        epoch(bare, plain, 0)
        epoch(loader, dataset, 0)
        dataset.inpaint.editor.inpainter.size  # noqa: B018 - and so does the server
        ratios = []
        for turn in range(1, 1 + number):
            before = epoch(bare, plain, turn)
            rate = epoch(loader, dataset, turn)
            ratios.append(rate / statistics.fmean((before, epoch(bare, plain, turn))))
        del bare, loader
        shutdown()
    return {
        "loader": {
            "ratio": round(statistics.median(ratios), 4),
            "first_epoch": round(ratios[0], 4),
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    }


def until_idle(dataset: Any) -> None:
    """Wait until nothing is painted in the background: a loader of p = 0 is to have the machine for itself."""
    deadline = time.monotonic() + 60.0
    requests = -1
    while time.monotonic() < deadline:
        background = dataset.inpaint.editor.inpainter.stats().get("background", {"queued": 0, "requests": 0})
        if not background["queued"] and background["requests"] == requests:
            return
        requests = background["requests"]
        time.sleep(1.0)


class environment:  # noqa: N801 - used like a function
    """The engine's name in the environment, for as long as it is wanted."""

    def __init__(self, engine: str) -> None:
        from inpaint_transform.serving.engines import ENGINE_VARIABLE

        self._name, self._engine = ENGINE_VARIABLE, engine

    def __enter__(self) -> None:
        if self._engine:
            os.environ[self._name] = self._engine

    def __exit__(self, *_: object) -> None:
        os.environ.pop(self._name, None)


def hit(rounds: int, many: int) -> dict[str, Any]:
    """Times of a hit and of what it consists of, in ms, for pools of 100 and of many looks."""
    from inpaint_transform import BBoxInpaint
    from inpaint_transform.core.plan import Scene

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    scene = Scene(*SIZE, [(190, 110, 446, 366)], ["cone"])

    class One:
        def key(self) -> tuple[np.ndarray, np.ndarray]:
            return image, np.zeros((0, 4))

        def labels(self) -> list[str]:
            return ["cone"]

        def scene(self) -> Scene:
            return scene

    found: dict[str, dict[str, Any]] = {}
    times: dict[str, list[tuple[float, float, float]]] = {}
    with environment(ENGINE), tempfile.TemporaryDirectory() as folder:
        editors = {}
        for name, count in (("100 looks", 100), ("many looks", many)):
            inpaint = BBoxInpaint(
                {"id": "tiny", "serving": "local", "device": "cpu"},
                prompts="a cone",
                p=1.0,
                reuse={"variants": 1, "echo": 10**9, "wait": True, "path": f"{folder}/{name}"},
            )
            editor = editors[name] = inpaint.editor
            editor.paint_same([image], editor.draw(One(), 1.0))
            store = editor.pool._keeper.store
            for start in range(0, count, 5000):
                _put_many(store, min(5000, count - start), rng)
            store.close()
            begun = time.perf_counter()
            with store.reading():
                found[name] = {"looks": count + 1, "open_ms": _ms(time.perf_counter() - begun)}
            times[name] = []
        keys = {name: next(_keys(editor)) for name, editor in editors.items()}
        for _ in range(rounds):
            # In turns, for the machine's own pace changes.
            for name, editor in editors.items():
                times[name].append(_one_hit(editor, One(), image, keys[name]))
        for editor in editors.values():
            editor.pool._keeper.store.close()
    for name, rows in times.items():
        hits, copies, reads = np.transpose(rows)
        beyond = hits - np.median(copies)
        found[name] |= {
            "hit_ms": _ms(np.median(beyond)),
            "hit_p99_ms": _ms(np.percentile(beyond, 99)),
            "image_copy_ms": _ms(np.median(copies)),
            "read_ms": _ms(np.median(reads)),
            "read_p99_ms": _ms(np.percentile(reads, 99)),
        }
    return found


def _one_hit(editor: Any, sample: Any, image: np.ndarray, key: bytes) -> tuple[float, float, float]:
    """Seconds of a hit from the decision on, of the image's copy in it, and of reading the look."""
    stream = random.Random(0)  # a Compose brings its own
    begun = time.perf_counter()
    edits = editor.draw(sample, 1.0, stream, forced=True)
    [result], accepted, _ = editor.paint_same([image], edits)
    hit = time.perf_counter() - begun
    if not accepted or result is image:
        raise RuntimeError("no hit")
    begun = time.perf_counter()
    image.copy()
    copy = time.perf_counter() - begun
    begun = time.perf_counter()
    with editor.pool.reading() as view:
        view.find(key)
    return hit, copy, time.perf_counter() - begun


def _put_many(store: Any, count: int, rng: np.random.Generator) -> None:
    """Looks as others may have painted them: small, so that it is their number that counts."""
    from inpaint_transform.core.looks import Kept
    from inpaint_transform.serving.pool.contents import Contents
    from inpaint_transform.serving.pool.records import pack_look

    value = pack_look(Kept(True, None, 0, 1, box=(0, 0, 8, 8), pixels=np.zeros((8, 8, 3), np.uint8)))

    def fill(transaction: Any) -> None:
        contents = Contents(transaction, store.dbs)
        for _ in range(count):
            contents.put(rng.bytes(16), value, None, 0, 0.0)

    store.write(fill, lambda *_: None)


def _keys(editor: Any) -> Iterator[bytes]:
    from inpaint_transform.serving.pool.contents import Contents

    store = editor.pool._keeper.store
    with store.reading() as transaction:
        yield from [slot.look for _, slot in Contents(transaction, store.dbs).slots()]


def _ms(seconds: float) -> float:
    return round(float(seconds) * 1e3, 4)


def share(seconds: float) -> dict[str, Any]:
    """The share of the device's time that background painting takes, while training asks for more than it gets."""
    from inpaint_transform.serving.registry import connect, shutdown
    from inpaint_transform.serving.session import current_session

    wanted = 0.2
    with tempfile.TemporaryDirectory() as name, environment(ENGINE):
        folder = Path(name)
        pictures(folder, 400)
        model = {"id": "tiny", "serving": "shared", "device": "cpu", "device_share": wanted, "max_batch_size": 4}
        dataset = dataset_of(folder, 1.0, model, {"variants": 5, "path": str(folder / "pool")})
        loader = loader_of(dataset, 2)
        spec = ModelSpec.of(model)
        server = connect(spec, current_session())
        turn = 1
        while server.stats().get("background", {}).get("batches", 0) < 2:
            epoch(loader, dataset, turn)
            turn += 1
        before, begun = server.stats()["background"]["busy_s"], time.perf_counter()
        while time.perf_counter() - begun < seconds:
            epoch(loader, dataset, turn)
            turn += 1
        busy, wall = server.stats()["background"]["busy_s"] - before, time.perf_counter() - begun
        del loader
        shutdown()
    return {"device": {"wanted": wanted, "taken": round(busy / wall, 4), "seconds": round(wall, 2)}}


def memory(count: int) -> dict[str, Any]:
    """What each of eight workers has for itself, in MiB: without reuse, with a small pool, and with a large one."""
    import psutil

    from inpaint_transform.serving.registry import shutdown

    found: dict[str, Any] = {}
    model = {"id": "tiny", "serving": "shared", "device": "cpu", "max_batch_size": 16}
    for way, mib in (("without reuse", 0), ("with a small pool", 24), ("with a pool", 1024)):
        with tempfile.TemporaryDirectory() as name, environment(ENGINE):
            folder = Path(name)
            pictures(folder, count)
            reuse = None
            if mib:
                path = str(folder / "pool")
                reuse = {"variants": 2, "echo": 10**6, "wait": True, "path": path, "max_bytes": mib << 20}
                filling = dataset_of(folder, 1.0, model, reuse)
                loader = loader_of(filling, 8)
                for turn in range(1, 7):
                    epoch(loader, filling, turn)
                size = filling.inpaint.stats()["reuse"]["bytes"]
                del loader
                reuse |= {"frozen": True, "wait": False}
            dataset = dataset_of(folder, 1.0 if mib else 0.0, model, reuse)
            loader = loader_of(dataset, 8)
            batches = iter(loader)
            for turn in range(1, 4):
                dataset.inpaint.set_epoch(turn)
                sum(len(batch) for batch in batches)
                batches = iter(loader)
            workers = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
            private = sorted(_private(child) for child in workers)
            found[way] = {"private_mib": round(statistics.median(private[-8:]), 1), "processes": len(private)}
            if mib:
                found[way]["pool_mib"] = round(size / 2**20, 1)
            del batches, loader
            shutdown()
    return found


def _private(process: Any) -> float:
    """What of a process's memory it alone has written, in MiB: pages of files, as the pool's are, count for nobody."""
    try:
        return sum(part.private_dirty for part in process.memory_maps()) / 2**20
    except Exception:
        return 0.0


def plot(found: dict[str, Any], path: Path) -> None:
    """Images/s and effective p over epochs, cold to warm."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, constrained_layout=True)
    colours = {"wait=False": "#0069aa", "wait=True": "#cd5500", "without reuse": "#5f6368"}
    plain = statistics.median(row["p0_images_per_s"] for way in WAYS for row in found[way])
    for way, colour in colours.items():
        turns = [row["epoch"] for row in found[way]]
        name = f"reuse, {way}" if WAYS[way] else way
        # The machine is shared, and its own pace changes from epoch to epoch: shown at that of all.
        rates = [row["ratio"] * plain for row in found[way]]
        above.plot(turns, rates, "o-", color=colour, label=name, markersize=3)
        below.plot(turns, [row["effective_p"] for row in found[way]], "o-", color=colour, markersize=3)
    above.axhline(plain, color="black", linestyle=":", linewidth=1, label="p = 0")
    above.set_ylabel("images/s")
    above.set_ylim(0, 1.25 * plain)
    above.legend(loc="lower right")
    below.axhline(P, color="black", linestyle=":", linewidth=1)
    below.set_ylabel("effective p")
    below.set_xlabel("epoch")
    below.set_ylim(0, P * 1.15)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run the sections and write ``results/reuse.json`` and ``results/reuse.png``."""
    from benchmarks import report

    slept = {"id": "tiny", "serving": "shared", "device": "cpu"}
    real = {"id": "tiny", "steps": 4, "serving": "shared", "device": "cpu"}
    sections: dict[str, Callable[[bool], dict[str, Any]]] = {
        "epochs": lambda quick: epochs(ENGINE, slept, *((48, 4, 1) if quick else (600, 36, 8))),
        # Turns of two seconds differ by a tenth and more on a shared machine.
        "empty": lambda quick: empty(*((48, 2) if quick else (3000, 8))),
        "hit": lambda quick: hit(*((100, 2000) if quick else (3000, 100_000))),
        "share": lambda quick: share(3.0 if quick else 60.0),
        "memory": lambda quick: memory(32 if quick else 800),
        "tiny": lambda quick: epochs("", real, *((16, 2, 1) if quick else (200, 24, 1))),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(sections)}; default: all")
    parser.add_argument("--quick", action="store_true", help="as few rounds and seconds as will do")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {sorted(unknown)[0]!r}; use any of {', '.join(sections)}")
    results = {}
    for name in arguments.sections or sections:
        results[name] = sections[name](arguments.quick)
        print(name)
        for case, found in results[name].items():
            for line in found if isinstance(found, list) else [found]:
                print(f"  {case:16} {line}")
        if name in ("epochs", "tiny"):
            report.RESULTS.mkdir(exist_ok=True)
            plot(results[name], report.RESULTS / ("reuse.png" if name == "epochs" else "reuse_tiny.png"))
    print(f"wrote {report.write('reuse', results)}")


if __name__ == "__main__":
    main()
