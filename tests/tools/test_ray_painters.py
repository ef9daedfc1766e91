"""The table of painters, and options of serve --ray that cannot be."""

import pytest
from typer.testing import CliRunner

from inpaint_transform.tools.cli import app, ray_painters

SAID = {
    "requests": 100,
    "node": "node7",
    "queued": 3,
    "running": 8,
    "mean_batch": 7.5,
    "busy_share": 0.934,
    "error": None,
    "draining": False,
    "ready": True,
}


def test_a_line_for_each_painter_and_one_for_all():
    before = {"painter/x/aa": {**SAID, "requests": 80}, "painter/x/bb": {**SAID, "requests": 95}}
    now = {
        "painter/x/aa": SAID,
        "painter/x/bb": {**SAID, "requests": 5},  # started anew
        "painter/x/cc": {**SAID, "ready": False, "requests": 0, "mean_batch": 0.0},
        "painter/x/dd": {"error": "does not answer"},
    }
    lines = ray_painters.table(now, before, 2.0).splitlines()
    assert lines[0].split() == ["painter", "node", "queue", "mean", "batch", "busy", "images/s"]
    assert lines[1].split() == ["aa", "node7", "11", "7.5", "93%", "10.0"]
    assert lines[2].split()[-1] == "0.0"
    assert lines[3].endswith("loads the model")
    assert lines[4].split() == ["dd", "does", "not", "answer"]
    assert lines[5].split() == ["4", "in", "all", "10.0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "tiny", "--painters", "2"],
        ["serve", "tiny", "--keep"],
        ["serve", "tiny", "--end"],
        ["serve", "tiny", "--ray", "--painters", "0"],
        ["serve", "tiny", "--ray", "--address", "ray://head:10001"],
        ["serve", "tiny", "--ray", "--device", "cuda:1"],
        ["serve", "--ray"],
    ],
)
def test_options_that_do_not_go_together(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2
