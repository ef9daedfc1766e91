"""What sharing one pipeline costs and gives: ``python -m benchmarks.serving [SECTION ...]``.

Sections:

- handover: round trip of a 512x512x3 crop through an engine that does nothing;
- throughput: clients of an engine that sleeps 20 ms + 2 ms an item, as a GPU would take, against the same engine
  called bare;
- strengths: the same clients with strengths drawn from 0.5 to 1, 20 steps; the engine sleeps once for each number of
  whole steps in its batch;
- memory: two workers that share one ``tiny`` pipeline against two with a pipeline each, on the CPU;
- start: cold start and first request of a server with ``tiny``;
- neighbours: the largest difference in grey levels that sharing a pipeline call with others makes, with ``tiny``;
- busy: paints a second of ``tiny`` on a quiet processor and beside a niced process that never rests: in a process with
  all threads, in one with a single thread, and through the server, whose ratio is to the best of both.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter, InpaintRequest, InpaintResult, share_key
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.registry import connect, shutdown
from inpaint_transform.serving.session import current_session

FIXED_S, PER_ITEM_S = 0.020, 0.002
# The largest block that glibc learns from (DEFAULT_MMAP_THRESHOLD_MAX is 32 MiB).
MODEL_BYTES = 31 << 20
fork = multiprocessing.get_context("fork")


class NoOp:
    """An engine that gives back the image as it came."""

    size = 512

    def __init__(self, _: ModelSpec) -> None:
        # What loading any model does to glibc: once a large block has been freed, it keeps what a batch frees. Without
        # it every batch of 8 pays 480 page faults for its masks, which no server with a model in it does.
        np.ones(MODEL_BYTES, np.uint8)

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Nothing."""
        return [InpaintResult(request.image) for request in requests]

    def close(self) -> None:
        """Nothing."""


class Sleeper(NoOp):
    """An engine that takes the time of a GPU and leaves the processor alone."""

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Sleep."""
        time.sleep(FIXED_S + PER_ITEM_S * len(requests))
        return super().paint(requests)


class Stepper(NoOp):
    """A ``Sleeper`` that makes one call for each number of whole steps, as pipelines do."""

    steps = 20

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Sleep."""
        for _ in {share_key(request, self.steps) for request in requests}:
            time.sleep(FIXED_S)
        time.sleep(PER_ITEM_S * len(requests))
        return super().paint(requests)


def stand_in(engine: type[NoOp], batch: int) -> ModelSpec:
    """A spec whose server will run a stand-in engine."""
    os.environ[ENGINE_VARIABLE] = f"benchmarks.serving:{engine.__name__}"
    return ModelSpec(engine.__name__, device="cpu", serving="shared", max_batch_size=batch)


def crop(size: int, seed: int = 0) -> InpaintRequest:
    """A crop with the middle masked."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), bool)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = True
    return InpaintRequest(rng.integers(0, 256, (size, size, 3), np.uint8), mask, "a red blood cell", seed=seed)


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(index)`` in forked processes and collect what they return, in any order."""
    results = fork.Queue()
    processes = [fork.Process(target=lambda index=index: results.put(work(index))) for index in range(count)]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def timed(inpainter: Inpainter, requests: list[InpaintRequest], rounds: int) -> list[float]:
    """Seconds that each of ``rounds`` calls takes, after a few to warm up."""
    times = []
    for number in range(rounds + 5):
        start = time.perf_counter()
        inpainter.paint(requests)
        if number >= 5:
            times.append(time.perf_counter() - start)
    return times


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int) -> int:
    """Memory of a process, pages that are shared counted in shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def handover(rounds: int, turns: int) -> dict[str, Any]:
    """Round trips without compute, with one client and with eight; a server of its own for each turn."""
    results = {}
    for clients in (1, 8):
        each = max(rounds // clients, 50)
        by_turn: list[list[float]] = []
        used = 0.0
        for _ in range(turns):
            spec = stand_in(NoOp, 8)
            inpainter = connect(spec)
            inpainter.paint([crop(512)])
            inpainter.close()  # a client that has just been heard from would be waited for
            server = inpainter.stats()["pid"]
            before = cpu_seconds(server)
            found = in_processes(
                clients, lambda index, spec=spec, each=each: timed(connect(spec), [crop(512, index)], each)
            )
            used += cpu_seconds(server) - before
            by_turn.append(sorted(value for times in found for value in times))
            shutdown()
        medians = [round(1e3 * statistics.median(times), 4) for times in by_turn]
        times = sorted(itertools.chain(*by_turn))
        results[f"{clients} clients"] = {
            "median_ms": round(1e3 * statistics.median(times), 4),
            "medians_ms": medians,
            "p95_ms": round(1e3 * times[int(0.95 * len(times))], 4),
            "server_cpu_ms_per_request": round(1e3 * used / (turns * clients * (each + 5)), 4),
            "requests": len(times),
        }
    return results


def throughput(seconds: float, turns: int) -> dict[str, Any]:
    """Items per second of eight client processes against the same engine called bare, in turns."""
    return rates(Sleeper, (1.0, 1.0), (("8 workers", 8, 1), ("8 workers x 16 at once", 32, 16)), seconds, turns)


def strengths(seconds: float, turns: int) -> dict[str, Any]:
    """The same with drawn strengths; bare calls have equal strengths, so the ratio says what the mixture costs."""
    return rates(Stepper, (0.5, 1.0), (("8 workers", 8, 1), ("8 workers x 8 at once", 8, 8)), seconds, turns)


def rates(
    engine: type[NoOp],
    strength: tuple[float, float],
    cases: Sequence[tuple[str, int, int]],
    seconds: float,
    turns: int,
) -> dict[str, Any]:
    """Items per second through the server and bare, for cases of a name, ``max_batch_size`` and requests a call."""
    results = {}
    for name, batch, at_once in cases:
        inpainter = connect(stand_in(engine, batch))
        inpainter.paint([crop(512)])
        inpainter.close()
        bare, shared = [], []
        for _ in range(turns):
            bare.append(bare_rate(engine, batch, seconds))
            shared.append(shared_rate(stand_in(engine, batch), at_once, seconds, strength))
        ratios = [ours / theirs for ours, theirs in zip(shared, bare, strict=True)]
        results[name] = {
            "bare_per_s": round(statistics.median(bare), 1),
            "shared_per_s": round(statistics.median(shared), 1),
            "ratio": round(statistics.median(ratios), 4),
            "ratios": [round(ratio, 4) for ratio in ratios],
            "mean_batch": inpainter.stats()["mean_batch"],
            "max_batch_size": batch,
        }
        shutdown()
    return results


def bare_rate(engine: type[NoOp], batch: int, seconds: float) -> float:
    """Items per second of a sleeping engine in this process."""
    painter = engine(ModelSpec("bare"))
    requests = [crop(512, seed) for seed in range(batch)]
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += len(painter.paint(requests))
    return done / (time.perf_counter() - start)


def shared_rate(spec: ModelSpec, at_once: int, seconds: float, strength: tuple[float, float]) -> float:
    """Items per second of eight processes that ask for ``at_once`` items a call, of strengths drawn from a range."""
    together = fork.Barrier(8)

    def work(index: int) -> tuple[float, float, int]:
        client = connect(spec)
        mine = [crop(512, index * at_once + number) for number in range(at_once)]
        draws = random.Random(index)
        client.paint(mine)
        together.wait()
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            asked = [replace(request, strength=round(draws.uniform(*strength), 2)) for request in mine]
            done += len(client.paint(asked))
        return start, time.perf_counter(), done

    found = in_processes(8, work)
    elapsed = max(end for _, end, _ in found) - min(begin for begin, _, _ in found)
    return sum(done for _, _, done in found) / elapsed


def memory(rounds: int) -> dict[str, Any]:
    """Two workers with one shared ``tiny`` pipeline, and with a pipeline each."""
    import torch  # not above: the servers of the stand-ins can do without

    os.environ.pop(ENGINE_VARIABLE, None)
    results = {}
    for serving in ("shared", "local"):
        spec = ModelSpec("tiny", device="cpu", serving=serving)
        done = fork.Barrier(3)

        def work(index: int, spec: ModelSpec = spec, done: Any = done) -> tuple[float, float]:
            torch.set_num_threads(1)  # as in every worker of a DataLoader
            client = connect(spec)
            client.paint([crop(client.size, index)])
            done.wait()
            start = time.perf_counter()
            for number in range(rounds):
                client.paint([crop(client.size, 2 * number + index)])
            end = time.perf_counter()
            done.wait()  # memory is measured now
            done.wait()
            return start, end

        answers = fork.Queue()
        workers = [
            fork.Process(target=lambda index=index, work=work, answers=answers: answers.put(work(index)))
            for index in range(2)
        ]
        for worker in workers:
            worker.start()
        done.wait()
        done.wait()
        pids = [worker.pid for worker in workers if worker.pid is not None]
        if serving == "shared":
            pids.append(connect(spec).stats()["pid"])
        pss = sum(map(pss_bytes, pids))
        done.wait()
        found = [answers.get() for _ in workers]
        for worker in workers:
            worker.join()
        elapsed = max(end for _, end in found) - min(start for start, _ in found)
        results[serving] = {
            "pss_mib": round(pss / 2**20, 1),
            "processes": len(pids),
            "images_per_s": round(2 * rounds / elapsed, 2),
        }
        shutdown()
    return results


def start(rounds: int) -> dict[str, Any]:
    """From nothing to a loaded model, then the first and the second request."""
    os.environ.pop(ENGINE_VARIABLE, None)
    spec = ModelSpec("tiny", device="cpu", serving="shared")
    times: dict[str, list[float]] = {"cold_start_s": [], "first_request_s": [], "second_request_s": []}
    for _ in range(rounds):
        inpainter = SharedInpainter(spec, current_session())  # connect() would know the size from the last round
        marks = [time.perf_counter()]
        request = crop(inpainter.size)  # the question that starts the server
        for _ in range(2):
            marks.append(time.perf_counter())
            inpainter.paint([request])
        marks.append(time.perf_counter())
        for name, (begin, end) in zip(times, itertools.pairwise(marks), strict=True):
            times[name].append(end - begin)
        shutdown()
    return {name: round(statistics.median(found), 3) for name, found in times.items()}


def neighbours(rounds: int) -> dict[str, Any]:
    """Requests painted alone against the same requests painted beside others, with and without padding."""
    os.environ.pop(ENGINE_VARIABLE, None)
    results = {}
    for reproducible in (False, True):
        inpainter = connect(ModelSpec("tiny", device="cpu", serving="local", reproducible=reproducible))
        requests = [crop(inpainter.size, seed) for seed in range(rounds)]
        alone = [pixels(inpainter.paint([request])) for request in requests]
        largest, unequal, together = 0, 0, [2, 3, 5, 8]
        for count in together:
            for start in range(0, rounds, count):
                beside = inpainter.paint(requests[start : start + count])
                for number, result in enumerate(beside):
                    difference = np.abs(pixels([result]).astype(int) - alone[start + number].astype(int))
                    largest, unequal = max(largest, int(difference.max())), unequal + int(difference.any())
        results[f"reproducible={reproducible}"] = {
            "largest_difference": largest,
            "unequal_images": unequal,
            "images": rounds * len(together),
            "together": together,
        }
    return results


def busy(seconds: float) -> dict[str, Any]:
    """Paints a second with all threads, with one, and of the server, beside nobody and beside a busy process."""
    os.environ.pop(ENGINE_VARIABLE, None)
    results = {}
    for name in ("quiet", "busy"):
        neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) if name == "busy" else None
        try:
            rates = {
                "all_threads_per_s": paint_rate("local", seconds),
                "one_thread_per_s": paint_rate("local", seconds, OMP_NUM_THREADS="1"),
                "server_per_s": paint_rate("shared", seconds),
            }
        finally:
            if neighbour is not None:
                neighbour.kill()
                neighbour.wait()
        best = max(rates["all_threads_per_s"], rates["one_thread_per_s"])
        results[name] = {**rates, "ratio_to_best": round(rates["server_per_s"] / best, 3)}
    return results


NEIGHBOUR = "import os; os.nice(19)\nwhile True: pass"
PAINTS = """
import sys, time
from benchmarks.serving import crop
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.registry import connect

serving, seconds = sys.argv[1], float(sys.argv[2])
inpainter = connect(ModelSpec("tiny", steps=4, device="cpu", serving=serving))
request = crop(inpainter.size)
for _ in range(2):  # to warm up, and for the server to find out how many threads are best
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        inpainter.paint([request])
        done += 1
    elapsed = time.perf_counter() - start
print(done / elapsed)
"""


def paint_rate(serving: str, seconds: float, **variables: str) -> float:
    """Paints a second of a process of its own, one crop a call, in an environment without OpenMP's variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    found = subprocess.run(
        [sys.executable, "-c", PAINTS, serving, str(seconds)],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return round(float(found.stdout), 3)


def pixels(results: list[InpaintResult]) -> np.ndarray:
    """The image of the only result."""
    [result] = results
    if result.image is None:
        raise RuntimeError(f"rejected: {result.rejected}")
    return result.image


def main() -> None:
    """Run the sections and write ``results/serving.json``."""
    sections: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "handover": lambda arguments: handover(arguments.rounds, arguments.turns),
        "throughput": lambda arguments: throughput(arguments.seconds, arguments.turns),
        "strengths": lambda arguments: strengths(arguments.seconds, arguments.turns),
        "memory": lambda arguments: memory(max(arguments.rounds // 20, 5)),
        "start": lambda arguments: start(1 if arguments.quick else 3),
        "neighbours": lambda arguments: neighbours(max(arguments.rounds // 40, 4)),
        "busy": lambda arguments: busy(1.0 if arguments.quick else 20.0),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(sections)}; default: all")
    parser.add_argument("--rounds", type=int, default=1000, help="round trips of the hand-over")
    parser.add_argument("--turns", type=int, default=5, help="measurements of hand-over and throughput; medians count")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each turn of the throughput")
    parser.add_argument("--quick", action="store_true", help="as few rounds and seconds as will do")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.turns, arguments.seconds = 50, 1, 0.5
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {sorted(unknown)[0]!r}; use any of {', '.join(sections)}")
    results = {}
    for name in arguments.sections or sections:
        results[name] = sections[name](arguments)
        print(name)
        for case, found in results[name].items():
            print(f"  {case:24} {found}")
    print(f"wrote {report.write('serving', results)}")


if __name__ == "__main__":
    main()
