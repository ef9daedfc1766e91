"""Commands run side by side, one on each device; what fails says why; nothing is left when nobody listens any more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_supervise import wait_for, wait_until_gone

from inpaint_transform.tools.study import runner


def commands(folder: Path, lines: dict[str, str]):
    def start(job: str, device: str) -> runner.Command:
        line = lines[job].replace("DEVICE", device)
        return runner.Command(line, {**os.environ, "JOB": job}, folder, folder / f"{job}.txt")

    return start


def test_each_device_has_one_job_at_a_time_and_every_job_its_turn(tmp_path: Path) -> None:
    # A job takes its device's lock, which must be free.
    line = "mkdir DEVICE.lock && sleep 0.05 && rmdir DEVICE.lock && echo $JOB on DEVICE"
    jobs = [f"job{number}" for number in range(7)]
    ended = list(runner.run(jobs, ["a", "b"], commands(tmp_path, dict.fromkeys(jobs, line))))
    assert sorted(one.job for one in ended) == jobs
    assert [one.reason for one in ended] == [""] * 7
    assert {one.device for one in ended} == {"a", "b"}
    assert all(one.seconds >= 0.05 for one in ended)
    assert runner.tail(tmp_path / "job3.txt").startswith("job3 on ")


def test_a_failure_says_why_and_stops_nobody(tmp_path: Path) -> None:
    lines = {
        "code": "echo one; echo two >&2; exit 7",
        "signal": "kill -SEGV $$",
        "high": "exit 255",
        "fine": "true",
    }
    reasons = {one.job: one.reason for one in runner.run(list(lines), ["cpu"], commands(tmp_path, lines))}
    assert reasons == {"code": "exit code 7", "signal": "killed by SIGSEGV", "high": "exit code 255", "fine": ""}
    assert runner.tail(tmp_path / "code.txt") == "one\ntwo"


def test_the_tail_is_short_and_has_the_last_state_of_a_bar(tmp_path: Path) -> None:
    output = tmp_path / "o.txt"
    output.write_bytes(b"".join(b"line %d\n" % number for number in range(9999)) + b"1%\r2%\r100%\nlast \xff\n\n")
    lines = runner.tail(output).split("\n")
    assert len(lines) == runner.TAIL_LINES
    assert lines[-2:] == ["100%", "last \ufffd"]
    assert runner.tail(tmp_path / "none.txt") == ""


@pytest.mark.parametrize("end", ["close", "interrupt"])
def test_nothing_is_left_when_nobody_listens(tmp_path: Path, end: str) -> None:
    line = f"echo $$ > {tmp_path}/$JOB.pid; sleep 600 & echo $! > {tmp_path}/$JOB.sleeper; wait"
    lines = {"quick": "true", "a": line, "b": line}
    running = runner.run(["quick", "a", "b", "quick"], ["x", "y"], commands(tmp_path, lines))
    assert next(running).job == "quick"
    pids = [int(wait_for(tmp_path / "a.pid")), int(wait_for(tmp_path / "a.sleeper"))]
    if end == "close":
        running.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            running.throw(KeyboardInterrupt)
    wait_until_gone(*pids)
