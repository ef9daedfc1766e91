"""Nothing is older than its owner: no process, no file, nothing in shared memory, however the end comes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from serving import PATIENCE_S, left_in, run_script, runtime, start_script, wait_until  # noqa: F401 - a fixture

from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.server_directory import sweep

pytestmark = pytest.mark.usefixtures("runtime")

OWNER = """
client = connect(spec(0))
client.paint([request()])
say(identity(client.stats()["pid"]))
"""


def shared_memory() -> set[str]:
    # Semaphores of multiprocessing come and go with every process pool of the machine, and the library has none.
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("sem.mp-")}


def read_server(process: subprocess.Popen) -> Process:
    """The server that a script has said. It may be gone by now: some scripts kill it."""
    return read_processes(process)[0]


def read_processes(process: subprocess.Popen) -> list[Process]:
    line = process.stdout.readline()
    assert line, process.stderr.read()
    said = [Process.parse(text) for text in json.loads(line)]
    assert all(one.started for one in said), "it had ended before the script looked at it"
    return said


def find_server(runtime) -> Process:  # noqa: F811 - the fixture
    """The server that listens, whatever it does besides."""
    assert wait_until(lambda: bool(list(runtime.glob("*/socket"))), PATIENCE_S)
    [identity] = runtime.glob("*/pid")
    return Process.parse(identity.read_text())


def assert_nothing_is_left(server: Process, runtime, before: set[str]) -> None:  # noqa: F811 - the fixture
    assert wait_until(lambda: not server.alive()), "the server outlives its owner"
    assert wait_until(lambda: left_in(runtime) == []), left_in(runtime)
    assert wait_until(lambda: shared_memory() <= before), shared_memory() - before


@pytest.mark.parametrize(
    "ending",
    ["pass", "sys.exit(3)", "raise RuntimeError('training failed')", "os._exit(1)", "os.kill(os.getpid(), 11)"],
)
def test_owner_ends_by_itself(runtime, ending):  # noqa: F811 - the fixture
    before = shared_memory()
    process = start_script(OWNER + ending)
    server = read_server(process)
    process.communicate(timeout=PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "mid-request"])
def test_owner_is_ended_by_a_signal_to_its_group(runtime, number, busy):  # noqa: F811 - the fixture
    before = shared_memory()
    doing = "client.paint([request('sleep 1000')])" if busy else "time.sleep(1000)"
    process = start_script(OWNER + doing)
    server = read_server(process)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert errors.count("Traceback") <= 1, errors
    assert_nothing_is_left(server, runtime, before)


WORKERS = """
def work():
    while True:
        connect(spec(0)).paint([request("sleep 0.05")])

fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=work, daemon=True) for _ in range(3)]
for worker in workers:
    worker.start()
client = connect(spec(0))
client.paint([request()])
say(*map(identity, [client.stats()["pid"], *[worker.pid for worker in workers]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_with_workers_is_ended_by_a_signal_to_its_group(runtime, number):  # noqa: F811 - the fixture
    before = shared_memory()
    process = start_script(WORKERS + "time.sleep(1000)")
    server = read_server(process)
    os.killpg(process.pid, number)
    process.communicate(timeout=PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)


LOADER = """
import albumentations as A
from torch.utils.data import DataLoader, Dataset
from inpaint_transform import BBoxInpaint

class Pictures(Dataset):
    transform = A.Compose(
        [BBoxInpaint(spec(0), prompts={"cone": "sleep 0.1"}, p=1.0)],
        bbox_params=A.BboxParams("coco", label_fields=["labels"]),
    )
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        image = np.full((90, 90, 3), index % 256, np.uint8)
        return int(self.transform(image=image, bboxes=[[20, 20, 50, 50]], labels=["cone"])["image"].max())

for number, batch in enumerate(DataLoader(Pictures(), num_workers=3, multiprocessing_context="fork")):
    if number == 3:
        workers = [child.pid for child in multiprocessing.active_children()]
        say(*map(identity, [connect(spec(0)).stats()["pid"], *workers]))
"""


# Each starts a script that loads torch; what differs between the slow ones and the others is tried without torch above.
@pytest.mark.parametrize(
    ("end", "number"),
    [
        pytest.param(os.kill, signal.SIGKILL, id="owner killed"),
        pytest.param(os.kill, signal.SIGTERM, id="owner ended", marks=pytest.mark.slow),
        pytest.param(os.killpg, signal.SIGINT, id="Ctrl-C"),
        pytest.param(os.killpg, signal.SIGTERM, id="group ended", marks=pytest.mark.slow),
    ],
)
def test_workers_of_a_loader_start_no_server_after_their_owner(runtime, end, number):  # noqa: F811 - the fixture
    before = shared_memory()
    process = start_script(LOADER)
    server, *workers = read_processes(process)
    end(process.pid, number)
    process.wait(PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)

    # Workers find out by themselves when they next have nothing to do; until then they go on asking.
    def ended() -> bool:
        assert left_in(runtime) == []
        return not any(worker.alive() for worker in workers)

    assert wait_until(ended, PATIENCE_S)
    process.communicate()


UNREAPED = """
import pathlib

def work(index):
    said = pathlib.Path(sys.argv[1]) / str(index)
    errors = 0
    while errors < 20:
        try:
            connect(spec(0)).paint([request("sleep 0.05")])
        except InpaintError as error:
            errors += 1
            said.with_suffix(".part").write_text(f"{current_session()} {error}")
            time.sleep(0.05)
    said.with_suffix(".part").rename(said)

def late(index):
    while os.getppid() == parent:
        time.sleep(0.01)
    work(index)

parent = os.getpid()
fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=target, args=(index,)) for index, target in enumerate([work, work, late])]
for worker in workers:
    worker.start()
client = connect(spec(0))
client.paint([request()])
say(*map(identity, [client.stats()["pid"], *[worker.pid for worker in workers]]))
time.sleep(1000)
"""


def test_workers_of_an_owner_that_nobody_has_reaped_start_no_server(runtime, tmp_path):  # noqa: F811 - the fixture
    before = shared_memory()
    process = start_script(UNREAPED, tmp_path)
    owner = Process.of(process.pid)
    server, *workers = read_processes(process)
    process.kill()  # and it stays a zombie until the end of this test
    assert wait_until(lambda: not owner.alive())
    assert_nothing_is_left(server, runtime, before)

    def ended() -> bool:
        assert left_in(runtime) == []
        return not any(worker.alive() for worker in workers)

    assert wait_until(ended, PATIENCE_S)
    for number in range(3):
        session, _, error = (tmp_path / str(number)).read_text().partition(" ")
        assert Process.parse(session).pid == process.pid
        assert "has ended" in error
    process.communicate()


CONCURRENT = (
    LOADER.replace("sleep 0.1", "sleep 1000").partition("for number")[0]
    + """
from inpaint_transform.batch import ConcurrentDataset

pictures = Pictures()
pictures.transform = Pictures.transform
say(identity(connect(spec(0)).size and connect(spec(0)).stats()["pid"]))
next(iter(DataLoader(ConcurrentDataset(pictures), batch_size=4)))
"""
)


def test_a_mini_batch_in_the_main_process_is_ended_by_ctrl_c(runtime):  # noqa: F811 - the fixture
    before = shared_memory()
    process = start_script(CONCURRENT)
    server = read_server(process)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert "KeyboardInterrupt" in errors
    assert_nothing_is_left(server, runtime, before)


def test_workers_are_killed_mid_request_then_the_owner_ends(runtime):  # noqa: F811 - the fixture
    before = shared_memory()
    ending = "\nfor worker in workers: os.kill(worker.pid, signal.SIGKILL)\nclient.paint([request()])\n"
    process = start_script(WORKERS + ending)
    server = read_server(process)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert_nothing_is_left(server, runtime, before)


def test_a_server_that_a_worker_started_lives_with_the_job_not_with_the_worker(runtime):  # noqa: F811 - the fixture
    before = shared_memory()
    code = """
def work():
    connect(spec(0)).paint([request()])

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
client = connect(spec(0))
pid = client.stats()["pid"]
client.paint([request()])
say(identity(pid), identity(client.stats()["pid"]), client.stats()["requests"])
"""
    server, same, requests = json.loads(run_script(code)[0])
    assert (server, requests) == (same, 2)
    assert_nothing_is_left(Process.parse(server), runtime, before)


@pytest.mark.parametrize("prompt", ["", "sleep 1000"], ids=["between requests", "mid-request"])
def test_the_server_is_killed_then_the_owner_ends(runtime, prompt):  # noqa: F811 - the fixture
    """The owner's own exit clears up what a killed server could not."""
    before = shared_memory()
    code = (
        f"threading.Thread(target=lambda: client.paint([request({prompt!r})]), daemon=True).start(); time.sleep(0.3)\n"
    )
    code += "os.kill(client.stats()['pid'], signal.SIGKILL); time.sleep(0.5)\n"
    process = start_script(OWNER + code)
    server = read_server(process)
    process.communicate(timeout=PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)


def test_the_owner_ends_while_one_of_its_threads_starts_the_next_server(runtime):  # noqa: F811 - the fixture
    """The end waits for the thread, or the thread would go in the middle of clearing up."""
    before = shared_memory()
    code = """
from inpaint_transform.serving.server_directory import ServerDirectory

clear = ServerDirectory.clear

def clear_slowly(directory):
    begun.set()
    time.sleep(1.0)
    clear(directory)

begun = threading.Event()
ServerDirectory.clear = clear_slowly
os.kill(client.stats()['pid'], signal.SIGKILL)
threading.Thread(target=lambda: client.paint([request()]), daemon=True).start()
assert begun.wait(60)
"""
    process = start_script(OWNER + code)
    server = read_server(process)
    process.communicate(timeout=PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)


def test_what_a_killed_server_and_a_killed_owner_leave_the_next_start_removes(runtime):  # noqa: F811 - the fixture
    process = start_script(OWNER + "time.sleep(1000)")
    server = read_server(process)
    [watchdog] = psutil.Process(server.pid).children()
    process.send_signal(signal.SIGSTOP)  # or it might clear up before it is killed
    server.kill()
    watchdog.wait(PATIENCE_S)  # or it might find them both gone, and clear up in their place
    process.kill()
    process.communicate()
    assert wait_until(lambda: not server.alive())
    assert left_in(runtime) != []
    run_script(OWNER)
    assert wait_until(lambda: left_in(runtime) == [])


def test_the_owner_is_killed_while_the_model_loads(runtime, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setenv("INPAINT_TRANSFORM_ENGINE", "standins:Slow")
    process = start_script("connect(spec(0)).size")
    server = find_server(runtime)
    process.kill()
    process.communicate()
    assert wait_until(lambda: not server.alive())
    assert wait_until(lambda: left_in(runtime) == [])


DEAF = {
    "holds the lock": ("standins:Invert", "hold 1000", False),
    "holds the lock while it loads": ("standins:Holding", "", False),
    "stopped": ("standins:Invert", "", True),
    "stopped in a call": ("standins:Invert", "sleep 1000", True),
    "stopped while it loads": ("standins:Slow", "", True),
}
ENDS = {"killed": signal.SIGKILL, "ended": signal.SIGTERM}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("deaf", DEAF)
def test_a_server_that_cannot_notice_anything_ends_with_its_owner(runtime, monkeypatch, deaf, end):  # noqa: F811
    before = shared_memory()
    engine, prompt, stop = DEAF[deaf]
    monkeypatch.setenv("INPAINT_TRANSFORM_ENGINE", engine)
    process = start_script(f"connect(spec(0)).paint([request({prompt!r})])\ntime.sleep(1000)")
    server = find_server(runtime)
    time.sleep(0.5)  # for what it does next
    if stop:
        os.kill(server.pid, signal.SIGSTOP)
    os.kill(process.pid, ENDS[end])
    process.communicate(timeout=PATIENCE_S)
    assert_nothing_is_left(server, runtime, before)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_is_gone_while_its_request_holds_the_lock(runtime, number):  # noqa: F811 - the fixture
    before = shared_memory()
    code = """
worker = multiprocessing.get_context("fork").Process(target=lambda: connect(spec(0)).paint([request("hold 1000")]))
worker.start()
say(identity(worker.pid))
time.sleep(1000)
"""
    process = start_script(code)
    [worker] = read_processes(process)
    server = find_server(runtime)
    time.sleep(1.0)
    os.kill(worker.pid, number)
    assert server.alive()
    process.kill()
    process.wait()
    assert_nothing_is_left(server, runtime, before)
    worker.kill()
    process.communicate()


def test_a_killed_server_is_left_alone_while_its_owner_lives(runtime):  # noqa: F811 - the fixture
    """Whoever needs it next reads in its log how it ended."""
    process = start_script(OWNER + "time.sleep(1000)")
    server = read_server(process)
    server.kill()
    assert wait_until(lambda: not server.alive())
    time.sleep(0.5)
    assert "log" in left_in(runtime)
    process.kill()
    process.communicate()
    sweep()


def test_a_failed_server_does_not_stay(runtime, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setenv("INPAINT_TRANSFORM_ENGINE", "standins:Broken")
    process = start_script("try: connect(spec(0)).size\nexcept InpaintError: os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate(timeout=PATIENCE_S)
    assert wait_until(lambda: left_in(runtime) == [])
