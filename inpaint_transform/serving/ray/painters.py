"""Starting painters in a cluster, looking at them, and ending them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.ray import cluster, messages, names
from inpaint_transform.serving.ray.painter import Painter
from inpaint_transform.serving.transport.wire import WireError

# Several calls of many servers; a call that waits costs the event loop nothing.
MAX_CALLS = 1000
# How long a node may take to start a process and import the package.
START_S = 120.0
DRAIN_S = 30.0
LOOK_S = 2.0
# Ray takes a moment to give back what painters that have just ended held.
FREE_S = 5.0


@dataclass(frozen=True)
class Actor:
    """A painter in the cluster.

    Attributes:
        name: Its name, unique in the cluster.
        handle: Ray's handle of it.
    """

    name: str
    handle: Any


def start(
    spec: ModelSpec,
    count: int,
    keep: bool = False,
    resource: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Actor]:
    """Start painters and wait until all have loaded the model. Join the cluster first.

    Each takes one GPU, or one of a named resource; neither where the spec's device is the CPU or the cluster has no
    GPU.

    Args:
        spec: What they paint with; each loads the weights by itself, from the hub or a path on its node.
        count: How many.
        keep: Whether they outlive this process; otherwise they end with it, however it ends.
        resource: Name of a resource of the cluster of which each takes one in place of a GPU.
        tell: Called with a line for each painter that is ready.

    Returns:
        The painters; unless they are kept, one ends when nobody holds its handle any more.

    Raises:
        InpaintError: There is no room for so many, or one does not load. None is left.
    """
    import ray

    fields = json.dumps({**spec.to_dict(), "serving": "local", "address": None, "timeout_s": None})
    options = {
        **_demand(spec, count, resource),
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": MAX_CALLS,
        "lifetime": "detached" if keep else None,
        "namespace": cluster.NAMESPACE,
        "scheduling_strategy": "SPREAD",
    }
    started: list[Actor] = []
    begun = time.monotonic()
    try:
        for _ in range(count):
            name = names.new_name(spec)
            started.append(Actor(name, ray.remote(Painter).options(**options, name=name).remote(fields)))
        waiting = {actor.handle.ready.remote(): actor for actor in started}
        done = 0
        while waiting:
            found, _ = ray.wait(list(waiting), timeout=LOOK_S)
            if not found:
                _check_begun(list(waiting.values()), begun, count)
            for reference in found:
                waiting.pop(reference)
                said = messages.load(ray.get(reference))
                if said.get("error"):
                    raise InpaintError(f"painter on {said.get('node')}: {said['error']}")
                done += 1
                took = time.monotonic() - begun
                tell(f"painter {done}/{count} on {said['node']} ({said['device']}): ready in {took:.1f} s")
    except BaseException as error:
        end(started, drain_s=0.0)
        if isinstance(error, ray.exceptions.RayError):
            raise InpaintError(f"a painter was lost at its start: {' '.join(str(error).split())[:600]}") from error
        raise
    return started


def running(spec: ModelSpec | None = None) -> list[Actor]:
    """The painters of a model that are in the cluster, or those of all models."""
    found = names.listed() if spec is None else names.listed(names.family(spec))
    return [Actor(name, handle) for name in found if (handle := names.handle_of(name)) is not None]


def look(actors: Iterable[Actor], timeout: float = LOOK_S) -> dict[str, dict[str, Any]]:
    """What each painter says of itself, by name; only ``"error"`` of one that does not answer."""
    import ray

    asked = {actor.handle.greet.remote(""): actor for actor in actors}
    if not asked:
        return {}
    ray.wait(list(asked), num_returns=len(asked), timeout=timeout)
    return {actor.name: _said(reference) for reference, actor in asked.items()}


def _said(greeting: Any) -> dict[str, Any]:
    import ray

    try:
        return messages.load(ray.get(greeting, timeout=0))
    except (ray.exceptions.RayError, WireError) as error:
        return {"error": f"does not answer ({type(error).__name__})"}


def end(actors: Iterable[Actor], drain_s: float = DRAIN_S) -> None:
    """End painters: what they have taken is painted first, for so long at most."""
    import ray

    ending = list(actors)
    if drain_s > 0:
        draining = [actor.handle.drain.remote() for actor in ending]
        if draining:
            ray.wait(draining, num_returns=len(draining), timeout=drain_s)
    for actor in ending:
        ray.kill(actor.handle, no_restart=True)


def _demand(spec: ModelSpec, count: int, resource: str | None) -> dict[str, Any]:
    """What of the cluster each painter takes.

    Raises:
        InpaintError: The cluster has not so much of it.
    """
    have, free = cluster.resources()
    if resource is not None:
        what, demand = resource, {"num_cpus": 0, "resources": {resource: 1}}
    elif spec.device == "cpu" or (spec.device == "auto" and not have.get("GPU")):
        return {"num_cpus": 0}
    else:
        what, demand = "GPU", {"num_cpus": 0, "num_gpus": 1}
    deadline = time.monotonic() + FREE_S
    while free.get(what, 0) < count <= have.get(what, 0) and time.monotonic() < deadline:
        time.sleep(0.1)
        have, free = cluster.resources()
    if free.get(what, 0) < count:
        raise InpaintError(
            f"--painters {count}: the cluster has {have.get(what, 0):g} x {what}, of which {free.get(what, 0):g} are"
            " free. Start fewer painters, end what uses the others ('ray status' shows it), join more nodes with 'ray"
            " start --address=HOST:PORT', or use --device cpu"
        )
    return demand


def _check_begun(actors: list[Actor], begun: float, count: int) -> None:
    """Raise where painters wait for room that has gone to others meanwhile."""
    if time.monotonic() - begun < START_S:
        return
    absent = [name for name, said in look(actors).items() if "node" not in said]
    if absent:
        raise InpaintError(
            f"--painters {count}: {len(absent)} did not start within {START_S:g} s; 'ray status' shows what they wait"
            " for, and the logs in /tmp/ray/session_latest/logs what ended them"
        )
