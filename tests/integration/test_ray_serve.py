"""``serve --ray`` as people type it: start, watch, leave, end, and a cluster that it cannot be started in."""

import signal
import subprocess
import sys

from ray_cluster import RESOURCE, joined, needs_ray
from serving import PATIENCE_S, wait_until

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.ray import painters

pytestmark = needs_ray

SPEC = ModelSpec("stand-in", device="cpu")


def start(nodes, *arguments):
    command = [sys.executable, "-m", "inpaint_transform", "serve", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(nodes, *arguments):
    process = start(nodes, *arguments)
    out, errors = process.communicate(timeout=PATIENCE_S * 2)
    return process.returncode, out, errors


def test_painters_are_started_shown_and_ended(nodes):
    options = ["stand-in", "--ray", "--device", "cpu", "--address", nodes.address, "--resource", RESOURCE]
    process = start(nodes, *options, "--painters", "2")
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0].startswith("painter 1/2 on ")
    assert lines[1].startswith("painter 2/2 on ")
    assert f"'serving': 'ray', 'address': '{nodes.address}'" in lines[2]
    code, out, _ = run(nodes, "--stats", nodes.address)
    assert code == 0
    assert out.splitlines()[-1].split()[:3] == ["2", "in", "all"]
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert "ending 2 painters" in out
    with joined(nodes):
        assert wait_until(lambda: painters.running() == [])


def test_painters_end_with_a_command_that_is_killed(nodes):
    process = start(nodes, "stand-in", "--ray", "--device", "cpu", "--address", nodes.address)
    assert process.stdout.readline().startswith("painter 1/1")
    with joined(nodes):
        assert len(painters.running(SPEC)) == 1
        process.kill()
        process.communicate()
        assert wait_until(lambda: painters.running() == [], PATIENCE_S)


def test_kept_painters_stay_until_they_are_ended(nodes):
    options = ["stand-in", "--ray", "--device", "cpu", "--address", nodes.address]
    code, out, errors = run(nodes, *options, "--keep")
    assert (code, errors) == (0, "")
    assert "--end" in out
    with joined(nodes):
        (kept,) = painters.running(SPEC)
        assert painters.look([kept])[kept.name]["ready"]
    code, out, errors = run(nodes, *options, "--end")
    assert (code, out) == (0, "ended 1 painters of stand-in\n")
    with joined(nodes):
        assert wait_until(lambda: painters.running() == [])
    code, _, errors = run(nodes, *options, "--end")
    assert (code, "has no painter" in errors) == (1, True)


def test_one_clear_error_each(nodes, monkeypatch):
    options = ["stand-in", "--ray", "--address", nodes.address]
    code, _, errors = run(nodes, *options, "--device", "cuda", "--painters", "2")
    assert code == 1
    assert "--painters 2: the cluster has 0 x GPU, of which 0 are free" in errors
    code, _, errors = run(nodes, "broken", *options[1:], "--device", "cpu")
    assert code == 1
    assert "there is no such folder" in errors
    with joined(nodes):
        assert wait_until(lambda: painters.running() == [])
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    code, _, errors = run(nodes, *options, "--device", "cpu")
    assert code == 1
    assert "auth_token" in errors
