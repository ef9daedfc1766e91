"""Joining a Ray cluster: in bounded time, with the cluster's tokens, and with one clear error where it cannot be."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError

logger = logging.getLogger(__name__)

NAMESPACE = "inpaint-transform"
# Ray itself tries for two minutes, and then ends the process.
REACH_S = 5.0
JOIN_S = 45.0


def join(address: str) -> bool:
    """Make this process part of a running cluster; nothing is started.

    Args:
        address: ``"auto"``, for the cluster of this machine or of ``RAY_ADDRESS``, or ``"host:port"`` of the head.

    Returns:
        Whether it is one only now, so that the caller is to ``leave`` it.

    Raises:
        InpaintError: Ray is not installed, nothing answers there, its tokens or versions differ, or this machine is
            not one of its nodes. The message names the mend.
    """
    use_tokens()
    # Ray reports how it is used over the network, and prints this process's logs a second time.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Whatever is asked after the end must not start a cluster of its own.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
    except ImportError as error:
        raise InpaintError(
            f"serving='ray' needs Ray, which does not import here ({error}): pip install 'inpaint-transform[ray]'"
        ) from error
    if ray.is_initialized():
        return False
    found = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    if found != "auto":
        _reach(found)
    failure: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=found, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except BaseException as error:  # Ray raises SystemExit too
            failure.append(error)

    # In a thread of its own, for Ray cannot be told how long to try.
    thread = threading.Thread(target=connect, name="joining Ray", daemon=True)
    thread.start()
    thread.join(JOIN_S)
    if thread.is_alive():
        raise InpaintError(
            f"address={address!r}: {found} accepts connections but did not let this process join within {JOIN_S:g} s."
            " Give the address that 'ray start --head' printed, and look whether 'ray status' answers on this machine"
        )
    if failure:
        leave()  # it may have come half way
        raise _explain(failure[0], address) from failure[0]
    return True


def leave() -> None:
    """Leave the cluster; what this process started there and did not detach ends."""
    import ray

    with suppress(Exception):
        ray.shutdown()


def use_tokens() -> None:
    """Turn token authentication on where there is a token; before Ray 2.59 that is left to the user."""
    if "RAY_AUTH_MODE" in os.environ:
        return
    files = [os.environ.get("RAY_AUTH_TOKEN_PATH"), os.fspath(Path.home() / ".ray" / "auth_token")]
    if os.environ.get("RAY_AUTH_TOKEN") or any(file and Path(file).is_file() for file in files):
        os.environ["RAY_AUTH_MODE"] = "token"


def warn_if_open(tokens: bool) -> None:
    """Warn where anybody who reaches the cluster may run code on it.

    Args:
        tokens: Whether its processes ask for tokens.
    """
    import ray

    hosts = {str(node.get("NodeManagerAddress")) for node in ray.nodes() if node.get("Alive")}
    if not tokens and not all(map(is_loopback, hosts)):
        logger.warning(
            "this Ray cluster is open: whoever reaches its ports can run code on %s. Make a token with 'ray"
            " get-auth-token --generate', copy it to every node as ~/.ray/auth_token, and start the nodes with"
            " RAY_AUTH_MODE=token",
            ", ".join(sorted(hosts)),
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reach(address: str) -> None:
    """Raise unless something listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, ValueError) as error:
        raise InpaintError(
            f"address={address!r}: no Ray cluster answers there ({error}). Start one with 'ray start --head', join it"
            " on every node with 'ray start --address=HOST:PORT', and give that HOST:PORT or 'auto'"
        ) from error


def _explain(error: BaseException, address: str) -> InpaintError:
    """What keeps this process out of the cluster, with the mend."""
    said = " ".join(str(error).split())
    if "ersion mismatch" in said:
        mend = "install the same versions of Ray and Python on all nodes"
    elif "oken" in said or "uthent" in said:
        mend = "copy the head's ~/.ray/auth_token to this machine, and set RAY_AUTH_MODE=token"
    elif "not find" in said:
        mend = "start a cluster with 'ray start --head', or give the host:port of one"
    elif isinstance(error, ConnectionError):
        mend = (
            "the cluster wants another token (copy the head's ~/.ray/auth_token to this machine and set"
            " RAY_AUTH_MODE=token), or another program has that port"
        )
    else:
        mend = "this machine must be a node of the cluster: run 'ray start --address=HOST:PORT' on it first"
    return InpaintError(f"address={address!r}: cannot join the Ray cluster: {said[:600]}; {mend}")


def resources() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the cluster has, and what of it is free."""
    import ray

    return ray.cluster_resources(), ray.available_resources()
