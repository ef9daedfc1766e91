"""The serve command."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.service import is_cluster_address
from inpaint_transform.serving import placement
from inpaint_transform.tools.cli.asked import read_spec
from inpaint_transform.tools.cli.options import Config, ModelArgument, ModelOptions, grouped, usage_errors
from inpaint_transform.tools.cli.terminal import say


@grouped
def serve(
    models: ModelOptions,
    model: ModelArgument = None,
    config: Config = None,
    stats: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Serve nothing; print the counters of the server there. auto or host:port: the painters of a Ray"
            " cluster.",
        ),
    ] = None,
    address: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the socket, private to you. Default: a new one. With --ray the cluster: host:port of its"
            " head. Default: auto, that of this machine."
        ),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Start painters in a Ray cluster, for all its nodes.")] = False,
    painters: Annotated[int, typer.Option(min=1, help="With --ray: how many to start, a GPU each.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="With --ray: leave them when they are ready.")] = False,
    end: Annotated[bool, typer.Option("--end", help="With --ray: end all painters of MODEL, kept ones too.")] = False,
    resource: Annotated[
        str | None, typer.Option(help="With --ray: the cluster's resource that each takes one of instead of a GPU.")
    ] = None,
    max_batch_size: Annotated[int | None, typer.Option(help="Most requests in one pipeline call. Default: 8.")] = None,
    max_wait_ms: Annotated[float | None, typer.Option(help="Longest wait for a batch to fill. Default: 10.")] = None,
    memory_fraction: Annotated[float | None, typer.Option(help="Most of the GPU's memory to use, in (0, 1].")] = None,
    device_share: Annotated[
        float | None, typer.Option(help="Most of the device's time for painting in the background, in (0, 1].")
    ] = None,
) -> None:
    """Run the resident pipeline by hand, until Ctrl-C; ModelSpec(..., address=...) reaches it."""
    if (model is None and config is None) == (stats is None):
        raise typer.BadParameter("give either a MODEL or --config FILE to serve, or --stats ADDRESS")
    if not ray and (painters != 1 or keep or end or resource):
        raise typer.BadParameter("--painters, --keep, --end and --resource go with --ray")
    if stats is not None:
        _print_stats(stats)
        return
    cluster = str(address or "auto")
    if ray and not is_cluster_address(cluster):
        raise typer.BadParameter(f"--address {cluster}: with --ray give auto or the host:port of the cluster's head")
    with usage_errors():
        run = {
            "max_batch_size": max_batch_size,
            "max_wait_ms": max_wait_ms,
            "memory_fraction": memory_fraction,
            "device_share": device_share,
        }
        given: dict[str, Any] = {name: value for name, value in run.items() if value is not None}
        # How those reach it who use it, they say themselves.
        spec = dataclasses.replace(read_spec(model, config, models), serving="auto", address=None, **given)
    if ray and ":" in spec.device:
        raise typer.BadParameter(f"--device {spec.device}: Ray gives each painter a device; use auto, cuda or cpu")
    if not ray:
        _serve(spec, address)
        return
    from inpaint_transform.tools.cli import ray_painters as commands

    if end:
        commands.end(spec, cluster)
    else:
        commands.serve(spec, painters, cluster, keep, resource)


def _print_stats(address: str) -> None:
    if is_cluster_address(address) and not Path(address).exists():
        from inpaint_transform.tools.cli import ray_painters as commands

        commands.show_once(address)
        return
    from inpaint_transform.serving.registry import connect

    # The counters do not depend on the model, so any will do to ask for them.
    counters = connect(ModelSpec("tiny", serving="shared", address=address)).stats()
    if not counters:
        raise InpaintError(f"no server listens in {address}; start one with 'inpaint-transform serve MODEL'")
    say(json.dumps(counters, indent=2))


def _serve(spec: ModelSpec, address: Path | None) -> None:
    if not placement.CAN_SHARE:
        raise InpaintError(
            "a server is reached through a Unix socket, which Python lacks on Windows: run this under WSL, or let "
            "serving='local' load the model where it is used"
        )
    from inpaint_transform.serving.server.process import serve as serve_here
    from inpaint_transform.serving.server_directory import ServerDirectory, directory_for
    from inpaint_transform.serving.session import current_session

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    directory = directory_for(current_session(), "by hand") if address is None else ServerDirectory(address.absolute())
    with directory.held():
        if directory.occupied():
            raise InpaintError(f"a server runs in {directory.path} already; end it first, or give another --address")
        if directory.holds_something_else():
            raise InpaintError(f"address={str(directory.path)!r}: other files lie there; give an empty or new folder")
        lock = directory.occupy()
    model = {**spec.to_dict(), "address": str(directory.path)}

    def tell() -> None:
        say(f"serving; use it with model={model}; the address is\n{directory.path}")

    serve_here(spec, directory, lock, on_ready=tell)
