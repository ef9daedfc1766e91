"""Which painters paint what: names by which servers find those of their model in a cluster."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.engines import engine_name
from inpaint_transform.serving.placement import portable
from inpaint_transform.serving.ray import messages
from inpaint_transform.serving.ray.cluster import NAMESPACE

_PREFIX = "painter"


def family(spec: ModelSpec) -> str:
    """The beginning of the names of all painters of a spec."""
    key = [portable(spec), engine_name(), messages.VERSION]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{_PREFIX}/{digest[:12]}/"


def new_name(spec: ModelSpec) -> str:
    """A name for one more painter."""
    return family(spec) + secrets.token_hex(3)


def listed(prefix: str = f"{_PREFIX}/") -> list[str]:
    """The names of the painters in the cluster that begin so, sorted."""
    import ray

    found = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        actor["name"] for actor in found if actor["namespace"] == NAMESPACE and actor["name"].startswith(prefix)
    )


def handle_of(name: str) -> Any:
    """The actor of that name; None where it has just gone."""
    import ray

    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def difference(wanted: ModelSpec, there: dict[str, Any]) -> str | None:
    """In what a painter differs from what is wanted; None where it paints the same.

    Args:
        wanted: The spec.
        there: ``portable`` of the painter's, as it came.
    """
    mine = portable(wanted)
    for name in {**mine, **there}:
        if there.get(name) != mine.get(name):
            return f"{name}={mine.get(name)!r}: the painters there run with {there.get(name)!r}"
    return None
