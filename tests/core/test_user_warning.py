"""Warnings point at the user's line, whatever stands between it and ours."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from inpaint_transform.core.user_warning import warn_user


def module(name: str, code: str = "def call(inner): inner()") -> Callable[..., None]:
    """The function ``call`` of a module that does not exist."""
    space: dict[str, Any] = {"__name__": name, "warn_user": warn_user}
    exec(compile(code, f"/site-packages/{name}.py", "exec"), space)
    return space["call"]


def nested(*names: str) -> Callable[[], None]:
    """A call of the library through functions of these modules, the first one outermost."""
    inner = module("inpaint_transform.faces.counters", "def call(): warn_user('mind the gap')")
    for name in reversed(names):
        inner = functools.partial(module(name), inner)
    return inner


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("script", "users_data"), "users_data"),
        (
            ("script", "users_data", "albumentations.core.composition", "inpaint_transform.faces.albumentations"),
            "users_data",
        ),
        (("script", "torch.utils.data._utils.fetch", "torchvision.datasets.coco", "torch.nn.modules.module"), "script"),
        (("script", "contextlib", "inpaint_transform.faces.editor"), "script"),
        # Not everything that begins like it is the framework.
        (("script", "torchmetrics_of_mine", "torch"), "torchmetrics_of_mine"),
    ],
)
def test_a_warning_points_at_the_nearest_line_that_is_the_users(names: tuple[str, ...], shown: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nested(*names)()
    [warning] = caught
    assert (warning.filename, warning.lineno) == (f"/site-packages/{shown}.py", 1)
    assert (warning.category, str(warning.message)) == (RuntimeWarning, "mind the gap")


def test_the_users_filters_see_the_users_module() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="users_data")
        nested("other")()
        with pytest.raises(RuntimeWarning, match="mind the gap"):
            nested("users_data", "albumentations")()


def test_a_line_warns_once_by_default() -> None:
    call = nested("users_data")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        call()
        call()
    assert len(caught) == 1


def test_a_thread_of_the_library_warns_all_the_same() -> None:
    space: dict[str, Any] = {"__name__": "inpaint_transform.pool", "warn_user": warn_user}
    code = "def run():\n    warn_user('nothing is kept', UserWarning)\ndef start():\n    import threading\n"
    code += "    thread = threading.Thread(target=run)\n    thread.start()\n    thread.join()\n"
    exec(compile(code, "/site-packages/pool.py", "exec"), space)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        space["start"]()
    [warning] = caught
    assert (warning.filename, warning.lineno, warning.category) == ("/site-packages/pool.py", 2, UserWarning)
