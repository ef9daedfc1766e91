"""The command line: arguments in, one call into the library, words and files out.

One module a command. What needs OpenCV or torch is imported inside the commands, so that --help and usage errors come
at once.
"""

import logging
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.threads import own_process
from inpaint_transform.tools.cli.bench import bench
from inpaint_transform.tools.cli.demo import demo
from inpaint_transform.tools.cli.export import export
from inpaint_transform.tools.cli.fit import fit
from inpaint_transform.tools.cli.logs import replay, report
from inpaint_transform.tools.cli.paint_ahead import paint_ahead
from inpaint_transform.tools.cli.pool import pool
from inpaint_transform.tools.cli.preview import preview
from inpaint_transform.tools.cli.serve import serve
from inpaint_transform.tools.cli.study import study
from inpaint_transform.tools.cli.terminal import Remarks, warn


class _Commands(TyperGroup):
    """Commands whose expected failures are one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, InpaintError) as error:
            warn(f"Error: {_words_of(error)}")
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    help="Repaint labelled boxes with a diffusion model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, preview, export, paint_ahead, pool, fit, study, bench, report, replay, serve):
    app.command()(command)


def _words_of(error: Exception) -> str:
    """An error without the number that an operating system gives it."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    """A warning as one line; nobody asked where in the code it arose."""
    warn(f"Warning: {message}")


def main() -> None:
    """Run the command line."""
    logging.lastResort = Remarks(logging.WARNING)
    warnings.showwarning = _show_warning
    own_process()
    app(prog_name="inpaint-transform")
