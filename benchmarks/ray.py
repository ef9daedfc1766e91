"""What painters on Ray give, and what the way to them costs: ``python -m benchmarks.ray [--quick]``.

Three Ray nodes on this machine, engines that sleep in the painters' place, and one node's server as for a training.
Each rate through Ray stands beside that of the same engines called bare in as many processes, and beside that of plain
Ray actors without anything of ours, in turns:

- way: two painters of 20 ms + 2 ms a crop with crops of 512 and of 256 pixels, and of 100 ms + 10 ms as real ones;
- growth: one to four painters of 100 ms + 10 ms, as a share of as many times one, with a plot;
- handover: round trips of one crop to a painter that does nothing.

Not ``python benchmarks/ray.py``: this file would then be what ``import ray`` finds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:
    raise SystemExit("run it as: python -m benchmarks.ray")

from benchmarks import report
from benchmarks.serving import NoOp, crop, in_processes
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.ray import cluster, painters
from inpaint_transform.serving.registry import shutdown
from inpaint_transform.serving.session import current_session

RESOURCE = "painter"
BATCH = 8
# Of both nodes together; each holds two painters.
MAX_PAINTERS = 4
# Crops that clients keep in flight for each painter: one batch at work, two on their way, one with the client.
IN_FLIGHT = 4 * BATCH
NODE_MEMORY = 400 << 20


class Sleeper(NoOp):
    """Takes the time of a GPU and leaves the processor alone; its name says how many milliseconds."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        # "20+2 ms, 512 px"
        times, _, size = spec.id.partition(" ms, ")
        self.fixed, self.per_crop = (float(part) / 1e3 for part in times.split("+"))
        self.size = int(size.removesuffix(" px"))

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Sleep."""
        time.sleep(self.fixed + self.per_crop * len(requests))
        return super().paint(requests)


@contextmanager
def nodes() -> Iterator[str]:
    """The address of a cluster of three nodes, with tokens; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as home:
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": os.urandom(32).hex(),
            "RAY_TMPDIR": home,
            "RAY_USAGE_STATS_ENABLED": "0",
            ENGINE_VARIABLE: "benchmarks.ray:Sleeper",
        }
        from ray.cluster_utils import Cluster

        fields = {"object_store_memory": NODE_MEMORY, "num_cpus": 1}
        started = Cluster(initialize_head=True, head_node_args={**fields, "include_dashboard": False})
        try:
            for _ in range(2):
                started.add_node(**fields, resources={RESOURCE: MAX_PAINTERS // 2})
            cluster.join(started.address)
            yield started.address
        finally:
            shutdown()
            cluster.leave()
            started.shutdown()


def bare_rate(spec: ModelSpec, count: int, seconds: float) -> float:
    """Crops per second of as many engines, each in a process of its own with full batches at hand."""

    def work(_: int) -> float:
        engine = Sleeper(spec)
        asked = [crop(engine.size, seed) for seed in range(BATCH)]
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            done += len(engine.paint(asked))
        return done / (time.perf_counter() - start)

    return sum(in_processes(count, work))


def plain_rate(spec: ModelSpec, count: int, seconds: float) -> float:
    """Crops per second of as many plain actors on other nodes, which get and give arrays, two calls in flight each."""
    import ray

    @ray.remote(num_cpus=0, resources={RESOURCE: 1})
    class Plain:
        def __init__(self) -> None:
            self.engine = Sleeper(spec)

        def paint(self, crops: np.ndarray) -> np.ndarray:
            time.sleep(self.engine.fixed + self.engine.per_crop * len(crops))
            return crops

    actors = [Plain.remote() for _ in range(count)]
    asked = np.stack([crop(Sleeper(spec).size, seed).image for seed in range(BATCH)])
    ray.get([actor.paint.remote(asked) for actor in actors])
    waiting = {actor.paint.remote(asked): actor for actor in actors for _ in range(2)}
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        [found], _ = ray.wait(list(waiting), num_returns=1)
        done += len(ray.get(found))
        actor = waiting.pop(found)
        waiting[actor.paint.remote(asked)] = actor
    rate = done / (time.perf_counter() - start)
    for actor in actors:
        ray.kill(actor)
    return rate


def ray_rate(spec: ModelSpec, address: str, count: int, seconds: float) -> dict[str, float]:
    """Crops per second of clients of one node's server, with enough of them to keep all painters busy."""
    ray_spec = ModelSpec(spec.id, device="cpu", serving="ray", address=address, max_batch_size=BATCH)
    started = painters.start(ray_spec, count, resource=RESOURCE)
    try:
        size = Sleeper(spec).size
        client = SharedInpainter(ray_spec, current_session())
        asked = [crop(size, seed) for seed in range(BATCH)]
        client.paint(asked)
        deadline = time.perf_counter() + 10
        while sum(row["usable"] for row in client.stats()["painters"]) < count and time.perf_counter() < deadline:
            time.sleep(0.1)
        done = [0] * (count * IN_FLIGHT // BATCH)
        ending = threading.Event()

        def work(number: int) -> None:
            while not ending.is_set():
                done[number] += len(client.paint(asked))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(done))]
        for thread in threads:
            thread.start()
        time.sleep(0.5)  # until all are in step
        before, start = sum(done), time.perf_counter()
        time.sleep(seconds)
        rate = (sum(done) - before) / (time.perf_counter() - start)
        ending.set()
        for thread in threads:
            thread.join()
        batches = [said["mean_batch"] for said in painters.look(started).values()]
        client.close()
        return {"per_s": rate, "mean_batch": statistics.mean(batches)}
    finally:
        shutdown()
        painters.end(started, drain_s=0.0)


def compare(name: str, address: str, count: int, seconds: float, turns: int) -> dict[str, Any]:
    """Through Ray, bare, and as plain actors, in turns."""
    spec = ModelSpec(name, device="cpu")
    bare, plain, remote = [], [], []
    for _ in range(turns):
        bare.append(bare_rate(spec, count, seconds))
        plain.append(plain_rate(spec, count, seconds))
        remote.append(ray_rate(spec, address, count, seconds))
    ratios = [ours["per_s"] / theirs for ours, theirs in zip(remote, bare, strict=True)]
    found = {
        "painters": count,
        "bare_per_s": round(statistics.median(bare), 1),
        "plain_actors_per_s": round(statistics.median(plain), 1),
        "ray_per_s": round(statistics.median([one["per_s"] for one in remote]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "of_plain_actors": round(statistics.median([a["per_s"] / b for a, b in zip(remote, plain, strict=True)]), 3),
        "mean_batch": round(statistics.median([one["mean_batch"] for one in remote]), 2),
    }
    print(name, found, flush=True)
    return found


def handover(address: str, rounds: int) -> dict[str, Any]:
    """Round trips of one crop of 512 pixels through the node's server to an idle painter of another node."""
    spec = ModelSpec("0+0 ms, 512 px", device="cpu", serving="ray", address=address, max_wait_ms=0.0)
    started = painters.start(spec, 1, resource=RESOURCE)
    try:
        client = SharedInpainter(spec, current_session())
        asked = [crop(512)]
        times = []
        for _ in range(rounds + 5):
            start = time.perf_counter()
            client.paint(asked)
            times.append(1e3 * (time.perf_counter() - start))
        client.close()
        median, tail = np.percentile(times[5:], [50, 95])
        return {"median_ms": round(float(median), 2), "p95_ms": round(float(tail), 2), "requests": rounds}
    finally:
        shutdown()
        painters.end(started, drain_s=0.0)


def plot(growth: dict[str, dict[str, Any]]) -> None:
    """Painters against images a second."""
    from matplotlib import pyplot

    counts = [one["painters"] for one in growth.values()]
    rates = [one["ray_per_s"] for one in growth.values()]
    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(counts, [rates[0] * count for count in counts], "--", color="grey", label="as many times one painter")
    axes.plot(counts, rates, "o-", label="painters on Ray")
    axes.set(xlabel="painters (100 ms + 10 ms a crop)", ylabel="crops/s", xticks=counts, ylim=(0, None))
    axes.legend()
    figure.savefig(report.RESULTS / "ray.png", dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short turn of each, to see that it runs")
    arguments = parser.parse_args()
    seconds, turns, rounds = (1.5, 1, 20) if arguments.quick else (8.0, 3, 200)
    # The painters' processes find this package where this one does.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    with nodes() as address:
        way = {
            name: compare(name, address, 2, seconds, turns)
            for name in ("20+2 ms, 512 px", "20+2 ms, 256 px", "100+10 ms, 512 px")
        }
        growth = {
            str(count): compare("100+10 ms, 512 px", address, count, seconds, turns)
            for count in ((1, 2) if arguments.quick else range(1, MAX_PAINTERS + 1))
        }
        one = growth["1"]["ray_per_s"]
        for found in growth.values():
            found["of_ideal"] = round(found["ray_per_s"] / (one * found["painters"]), 3)
        results = {"way": way, "growth": growth, "handover": handover(address, rounds)}
    print("wrote", report.write("ray", results), file=sys.stderr)
    plot(growth)


if __name__ == "__main__":
    main()
