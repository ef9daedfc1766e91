"""One server for all processes of a job: sharing, batching, faults."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import standins
from serving import (
    PATIENCE_S,
    is_right,
    left_in,
    request,
    run_script,
    runtime,  # noqa: F401 - a fixture
    server_of,
    shared,
    spec,
    wait_until,
)
from warned import warned

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import REFERENCE_SIDE, Destination
from inpaint_transform.serving.client import launch
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.engines import ENGINE_VARIABLE
from inpaint_transform.serving.known_words import Words, save_words
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.records import unpack_raw
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import connect, shutdown
from inpaint_transform.serving.server_directory import directories_of
from inpaint_transform.serving.session import current_session
from inpaint_transform.serving.transport import wire

pytestmark = [
    pytest.mark.usefixtures("runtime"),
    # One client asks for one crop at a time in most of these tests.
    pytest.mark.filterwarnings("ignore:the inpainting server got batches:RuntimeWarning"),
]
context = multiprocessing.get_context


def in_child(environment, number, report, client=None):
    """What a worker does: paint, and say which server did it."""
    # One fork server serves the whole test run, with the environment of whichever test came first.
    os.environ.update(environment)
    client = client or shared(number)
    asked = [request(seed=os.getpid() + i) for i in range(3)]
    right = all(map(is_right, client.paint(asked), asked))
    report.put((right, client.stats()["pid"], str(current_session())))


def test_larger_and_smaller_requests_take_turns():
    client = shared()
    for side in (8, 700, 64, 1200, 1, 700):
        asked = [request(seed=side + i, side=side) for i in range(3)]
        assert all(map(is_right, client.paint(asked), asked))


def test_without_shared_memory_pixels_go_over_the_socket(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)  # as on macOS
    client = shared()
    for side in (64, 700):
        asked = [request(seed=side + i, side=side) for i in range(3)]
        assert all(map(is_right, client.paint(asked), asked))


def test_results_keep_the_order_of_the_requests():
    client = shared()
    asked = [request("reject" if i % 3 == 0 else "", seed=i, strength=(i % 2 + 1) / 2) for i in range(150)]
    results = client.paint(asked)
    assert len(results) == len(asked)
    for i, (result, one) in enumerate(zip(results, asked, strict=True)):
        assert result.rejected == "near constant" if i % 3 == 0 else is_right(result, one)
    assert client.paint([]) == []


def test_of_all_clients_one_is_told_what_the_model_does_not_know(tmp_path):
    save_words(tmp_path, Words("zoo", {"zebra": []}))
    knowing = dataclasses.replace(spec(0), id=str(tmp_path))
    first, second = (SharedInpainter(knowing, current_session()) for _ in range(2))
    first.paint([request("a zebra")])
    with pytest.warns(RuntimeWarning, match="'a lion'.*zoo, which knows only zebra"):
        first.paint([request("a zebra"), request("a lion")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.paint([request("a lion")])


def test_nothing_starts_before_it_is_needed(runtime):  # noqa: F811 - the fixture
    connect(spec(-1))
    assert left_in(runtime) == []


def test_the_size_is_the_models():
    assert shared().size == 16


def test_one_client_object_per_spec_and_session():
    assert connect(spec(-2)) is connect(spec(-2))
    assert connect(spec(-2)) is not connect(spec(-3))


def test_same_spec_one_server_other_spec_other_server():
    one, same, other = shared(1), shared(1), shared(2)
    for client in (one, same, other):
        assert client.size
    assert server_of(one) == server_of(same) != server_of(other)


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_children_of_any_start_method_meet_at_one_server(start_method):
    number = hash(start_method) % 10**6 + 1000
    report = context(start_method).Queue()
    arguments = (dict(os.environ), number, report)
    children = [context(start_method).Process(target=in_child, args=arguments) for _ in range(3)]
    for child in children:
        child.start()
    answers = [report.get(timeout=PATIENCE_S) for _ in children]
    for child in children:
        child.join()
    assert all(right for right, _, _ in answers)
    assert {server for _, server, _ in answers} == {server_of(shared(number)).pid}
    assert {session for _, _, session in answers} == {str(current_session())}


def test_a_forked_child_does_not_speak_on_its_parents_connection():
    client = shared()
    asked = request(seed=5)
    client.paint([asked])
    report = context("fork").Queue()
    child = context("fork").Process(target=in_child, args=({}, None, report, client))
    child.start()
    # Parent and child at once: on one connection their answers would mix.
    for seed in range(100):
        one = request(seed=seed)
        assert is_right(client.paint([one])[0], one)
    assert report.get(timeout=PATIENCE_S)[:2] == (True, server_of(client).pid)
    child.join()


def test_a_fork_while_threads_paint_does_not_hang_the_child():
    client = shared()
    ending = threading.Event()

    def paint_on():
        while not ending.is_set():
            client.paint([request()])

    threads = [threading.Thread(target=paint_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        report = context("fork").SimpleQueue()
        for _ in range(5):
            child = context("fork").Process(target=in_child, args=({}, None, report, client))
            child.start()
            child.join(PATIENCE_S)
            assert child.exitcode == 0
            assert report.get()[0]
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_hanging_up_reaches_the_server_although_a_child_was_forked_meanwhile():
    client = shared()
    client.paint([request()])
    watcher = SharedInpainter(client._spec, current_session())
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(client.paint, [request("sleep 0.5")])
        time.sleep(0.2)
        child = context("fork").Process(target=time.sleep, args=(1000,))
        child.start()
        late.result()
    client.close()
    assert wait_until(lambda: watcher.stats()["clients"] == 1)  # who asks
    child.kill()
    child.join()


def test_forks_while_a_thread_starts_the_server_disturb_neither():
    """A child must inherit neither the server's lock nor anything that its start waits for."""
    for _ in range(5):
        client = shared()
        starting = threading.Thread(target=client.paint, args=([request()],))
        starting.start()
        sleepers = []
        while starting.is_alive():
            sleepers.append(context("fork").Process(target=time.sleep, args=(1000,), daemon=True))
            sleepers[-1].start()
        server = server_of(client)
        server.kill()
        assert wait_until(lambda server=server: not server.alive())
        assert is_right(client.paint([request()])[0], request())
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.join()


def test_threads_share_a_client():
    client = shared()

    def paint(seed):
        asked = request(seed=seed)
        return is_right(client.paint([asked])[0], asked)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(paint, range(200)))


def test_two_jobs_have_two_servers():
    code = "client = connect(spec(7)); client.paint([request()]); say(client.stats()['pid']); sys.stdin.read()"
    assert run_script(code) != run_script(code)


def test_an_unguarded_script_works_under_fork_and_in_workers():
    code = """
def work(report):
    client = connect(spec(3))
    asked = request(seed=1)
    report.put(is_right(client.paint([asked])[0], asked))

report = multiprocessing.get_context("fork").Queue()
child = multiprocessing.get_context("fork").Process(target=work, args=(report,), daemon=True)
child.start()
say(report.get(timeout=60))
"""
    assert run_script(code) == ["[true]"]


def test_requests_of_many_clients_share_batches():
    client = shared(max_batch_size=4, max_wait_ms=2000.0)
    client.paint([request()])
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(client.paint, [request("sleep 0.5")])
        wait_until(lambda: client.stats()["queued"] == 0)
        time.sleep(0.1)
        assert all(len(results) == 1 for results in pool.map(client.paint, [[request(seed=i)] for i in range(8)]))
        first.result()
    sizes = client.stats()["batch_sizes"]
    assert max(map(int, sizes)) == 4
    assert sum(int(size) * n for size, n in sizes.items()) == 10


def test_stats_tell_what_happened():
    client = shared()
    assert client.stats() == {}
    client.paint([request(), request("reject"), request()])
    with pytest.raises(InpaintError):
        client.paint([request("raise x")])
    stats = client.stats()
    assert stats["requests"] == 4
    assert stats["rejected"] == {"near constant": 1}
    assert stats["errors"] == 1
    assert stats["batch_sizes"] == {"1": 1, "3": 1}
    assert stats["clients"] == 1
    assert 0 <= stats["busy_share"] <= 1
    assert stats["resident_bytes"] > 1e6
    json.dumps(stats)


def test_small_batches_are_warned_about_once():
    client = shared(max_batch_size=8)
    with warned("DataLoader workers") as said:
        for _ in range(120):
            client.paint([request()])
    [warning] = said
    assert "more DataLoader workers, or inpaint_transform.batch" in warning


def test_an_engine_error_reaches_its_request_and_the_server_lives_on():
    client = shared()
    client.paint([request()])
    server = server_of(client)
    with pytest.raises(InpaintError, match="RuntimeError: the lamp broke"):
        client.paint([request("raise the lamp broke")])
    assert is_right(client.paint([request()])[0], request())
    assert server_of(client) == server


@pytest.mark.parametrize("prompt", ["value prompt='x' is too long", "raise prompt='x' is too long", "odd"])
def test_a_wrong_request_does_not_spoil_its_batch(prompt):
    client = shared(max_wait_ms=1000.0)
    client.paint([request()])
    with ThreadPoolExecutor(3) as pool:
        blocker = pool.submit(client.paint, [request("sleep 0.5")])
        time.sleep(0.2)
        wrong = pool.submit(client.paint, [request(prompt)])
        right = pool.submit(client.paint, [request(seed=2)])
        blocker.result()
        assert is_right(right.result()[0], request(seed=2))
        with pytest.raises((ValueError, InpaintError), match="prompt='x' is too long|something else than results"):
            wrong.result()
    assert is_right(client.paint([request()])[0], request())


def test_a_wrong_request_is_refused_before_it_is_sent():
    with pytest.raises(ValueError, match="strength=2"):
        shared().paint([request(strength=2)])
    with pytest.raises(ValueError, match="no text: surrogates not allowed"):
        shared().paint([request(os.fsdecode(b"caf\xe9"))])


def test_the_longest_texts_of_the_most_requests_fit():
    asked = [
        dataclasses.replace(request(seed=seed), prompt="漢" * wire.MAX_TEXT, negative_prompt="\0" * wire.MAX_TEXT)
        for seed in range(wire.MAX_REQUESTS)
    ]
    assert all(map(is_right, shared().paint(asked), asked))


def test_a_hung_engine_hits_the_time_out_and_the_next_request_is_served():
    client = shared(timeout_s=1.0)
    client.paint([request()])
    hung = server_of(client)
    with pytest.raises(InpaintError, match="timeout_s=1"):
        client.paint([request("hang")])
    assert wait_until(lambda: not hung.alive())
    assert is_right(client.paint([request()])[0], request())


def test_hangs_are_counted_and_not_waited_for_without_end():
    client = shared(timeout_s=0.5)
    for _ in range(4):
        with pytest.raises(InpaintError, match="timeout_s=0.5"):
            client.paint([request("hang")])
    with pytest.raises(InpaintError, match=r"lost 4 times and is tried again in \d+ s\..*timeout_s=0.5"):
        client.paint([request()])


def test_losses_are_forgiven_with_success(tmp_path):
    client = shared()
    for number in range(6):
        assert client.paint([request(f"die once {tmp_path / str(number)}")])[0].image is not None
        for _ in range(120):
            client.paint([request()])


def test_who_is_queued_behind_a_hung_call_is_served_by_the_next_server():
    patient, hasty = shared(7, timeout_s=60.0), shared(7, timeout_s=1.0)
    patient.paint([request()])
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(hasty.paint, [request("hang")])
        time.sleep(0.3)
        queued = pool.submit(patient.paint, [request(strength=0.5)])
        with pytest.raises(InpaintError, match="timeout_s=1"):
            late.result()
        assert queued.result()[0].image is not None


@pytest.mark.parametrize("how", ["stopped", "holds the lock"])
def test_a_server_that_answers_nothing_any_more_is_replaced(how):
    client = shared(timeout_s=1.0)
    client.paint([request()])
    deaf = server_of(client)
    if how == "stopped":
        os.kill(deaf.pid, signal.SIGSTOP)
    with pytest.raises(InpaintError, match="timeout_s=1"):
        client.paint([request("" if how == "stopped" else "hold 1000")])
    assert is_right(client.paint([request()])[0], request())
    assert not deaf.alive()


@pytest.mark.parametrize("how", ["stopped", "holds the lock"])
def test_shutdown_ends_a_server_that_cannot_hear_it(runtime, how):  # noqa: F811 - the fixture
    client = shared(timeout_s=1.0)
    client.paint([request()])
    deaf = server_of(client)
    if how == "stopped":
        os.kill(deaf.pid, signal.SIGSTOP)
    else:
        with pytest.raises(InpaintError, match="timeout_s=1"):
            client.paint([request("hold 1000")])
    shutdown()
    assert not deaf.alive()
    assert left_in(runtime) == []


def test_a_server_that_is_killed_while_it_holds_the_lock_is_started_again():
    client = shared()
    client.paint([request()])
    deaf = server_of(client)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.paint, [request("hold 3")])
        time.sleep(0.5)
        os.kill(deaf.pid, signal.SIGKILL)
        assert held.result()[0].image is not None  # of the next one
    assert server_of(client) != deaf


def test_a_server_whose_directory_goes_ends_and_another_takes_its_place(runtime, monkeypatch):  # noqa: F811 - the fixture
    """As at a logout, which removes XDG_RUNTIME_DIR under a training that goes on."""
    base = runtime / "run"
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    client = shared()
    client.paint([request()])
    old = server_of(client)
    shutil.rmtree(base)
    assert is_right(SharedInpainter(client._spec, current_session()).paint([request()])[0], request())
    assert wait_until(lambda: not old.alive())
    assert is_right(client.paint([request()])[0], request())


def test_a_server_whose_files_were_cleaned_away_leaves_those_of_the_next_alone(runtime):  # noqa: F811 - the fixture
    first = shared(3)
    first.paint([request()])
    old = server_of(first)
    [directory] = directories_of(current_session())
    directory.lock.unlink()
    second = shared(3)
    with directory.held():
        assert not directory.occupied()  # so that the next one moves in while the old one is still there
    launch.ensure_running(directory, second._locate()[1], current_session())
    second.paint([request()])
    assert wait_until(lambda: not old.alive())
    assert server_of(second).alive()
    assert is_right(first.paint([request()])[0], request())
    assert server_of(first) == server_of(second)


def test_a_server_killed_between_requests_is_started_again():
    client = shared()
    client.paint([request()])
    old = server_of(client)
    old.kill()
    assert wait_until(lambda: not old.alive())
    assert is_right(client.paint([request()])[0], request())
    assert server_of(client) != old


def test_a_server_killed_mid_request_is_started_again_and_asked_again(tmp_path):
    client = shared()
    client.paint([request()])
    old = server_of(client)
    results = client.paint([request(f"die once {tmp_path / 'died'}")])
    assert results[0].image is not None
    assert not old.alive()


def test_a_server_that_keeps_dying_is_given_up():
    client = shared()
    with pytest.raises(InpaintError, match="lost 4 times"):
        client.paint([request("die")])


def test_a_server_that_dies_while_loading_is_given_up(monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Dying")
    with pytest.raises(InpaintError, match="lost 4 times"):
        shared().paint([request()])


BROKEN = """
def work(index, report):
    try:
        connect(spec(4)).paint([request()])
    except InpaintError as error:
        report.put(str(error))

report = multiprocessing.get_context("fork").Queue()
children = [multiprocessing.get_context("fork").Process(target=work, args=(i, report)) for i in range(8)]
for child in children:
    child.start()
for child in children:
    say(report.get(timeout=60))
for child in children:
    child.join()
"""


@pytest.mark.parametrize(
    ("engine", "own_words"),
    [
        ("Broken", "id='stand-in 4': there is no such folder (attempt of process"),
        ("TooLarge", "MemoryError: 'stand-in 4' wants 7 exbibytes"),
    ],
)
def test_eight_processes_share_the_failure_of_one_start(monkeypatch, engine, own_words):
    monkeypatch.setenv(ENGINE_VARIABLE, f"standins:{engine}")
    texts = run_script(BROKEN)
    assert len(texts) == 8
    assert len(set(texts)) == 1  # the text has the server's pid: it was one attempt
    assert own_words in texts[0]


def test_a_model_that_does_not_load_is_not_tried_for_ever(monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Broken")
    client = shared()
    attempts = set()
    for _ in range(6):
        with pytest.raises(InpaintError, match="no such folder") as caught:
            client.paint([request()])
        attempts.add(str(caught.value).partition("attempt of ")[2])
        shutdown()  # instead of waiting until the failed server is tired of telling
    assert len(attempts) <= 4


def test_a_python_that_does_not_start_is_an_error_and_not_tried_for_ever(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    client = shared()
    for _ in range(4):
        with pytest.raises(InpaintError, match=r"(?s)^the inpainting server ended with exit code.*log"):
            client.paint([request()])
    with pytest.raises(InpaintError, match=r"(?s)lost 4 times.*ended with exit code"):
        client.paint([request()])


def test_a_server_that_hangs_at_its_start_is_ended(runtime, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    mark = tmp_path / "pid"
    hang = f"import os, time, pathlib; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(3600)"
    (tmp_path / "sitecustomize.py").write_text(hang)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(launch, "BIND_TIMEOUT_S", 2.0)
    with pytest.raises(InpaintError, match="did not start to listen within 2 s"):
        shared().paint([request()])
    assert not Process.of(int(mark.read_text())).alive()
    assert left_in(runtime) == []


NO_ROOM = """
import resource, tempfile
tempfile.gettempdir()  # finds out by writing
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
client = connect(spec(0))
try:
    client.paint([request()])
except InpaintError as error:
    say(str(error))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
say(is_right(client.paint([request()])[0], request()))
"""


def test_no_room_for_a_file_is_an_error_and_no_obstacle_later():
    error, then = run_script(NO_ROOM)
    assert "cannot be started" in error
    assert then == "[true]"


def test_modules_in_the_working_directory_are_not_the_servers(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the module you wanted')")
    monkeypatch.chdir(tmp_path)
    assert is_right(shared().paint([request()])[0], request())


PINNED = """
def work():
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    connect(spec(0)).paint([request()])

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
pid = connect(spec(0)).stats()["pid"]
same = os.sched_getaffinity(pid) == os.sched_getaffinity(0)
os.kill(pid, signal.SIGTERM)
while connect(spec(0)).stats():
    time.sleep(0.01)
say(same)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not pin processes")
def test_a_server_is_not_pinned_or_deaf_as_the_worker_that_starts_it():
    assert run_script(PINNED) == ["[true]"]


WORKER = """
client = connect(spec(6))
client.paint([request()])
worker = multiprocessing.get_context("fork").Process(target=lambda: connect(spec(6)).paint([request("sleep 1")]))
waiting = multiprocessing.get_context("fork").Process(target=lambda: connect(spec(6)).paint([request("raise never")]))
worker.start()
time.sleep(0.5)
waiting.start()
while client.stats()["queued"] != 1:
    time.sleep(0.01)
os.kill(worker.pid, signal.SIGKILL)
os.kill(waiting.pid, signal.SIGKILL)
asked = request(seed=3)
say(is_right(client.paint([asked])[0], asked), client.stats()["errors"])
"""


def test_workers_killed_mid_request_disturb_nobody():
    assert run_script(WORKER) == ["[true, 0]"]


def test_shutdown_ends_the_server_and_the_next_request_starts_another(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    old = server_of(client)
    shutdown()
    assert not old.alive()
    assert left_in(runtime) == []
    assert client.stats() == {}
    assert is_right(client.paint([request()])[0], request())


def test_close_lets_go_and_use_connects_again():
    client = shared()
    client.paint([request()])
    server = server_of(client)
    client.close()
    assert is_right(client.paint([request()])[0], request())
    assert server_of(client) == server


def test_a_folder_too_deep_for_sockets_is_not_used(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    client = shared()
    assert is_right(client.paint([request()])[0], request())
    shutdown()
    assert left_in(deep) == []


def test_local_paints_in_this_process():
    client = connect(ModelSpec("stand-in", device="cpu"))
    assert isinstance(client, LocalInpainter)
    assert client.size == 16
    assert is_right(client.paint([request()])[0], request())
    assert client.stats()["requests"] == 1
    client.close()
    assert is_right(client.paint([request()])[0], request())


def test_a_model_that_does_not_load_here_is_tried_a_few_times_until_close(monkeypatch):
    loads = []

    class Broken(standins.Invert):
        def __init__(self, spec):
            loads.append(spec)
            raise OSError("no such model")

    monkeypatch.setattr("standins.Invert", Broken)  # by name, as the engine is found
    client = LocalInpainter(ModelSpec("stand-in", device="cpu"))
    for _ in range(9):
        with pytest.raises(InpaintError, match="the model does not load: OSError: no such model"):
            client.paint([request()])
    assert len(loads) == 3
    monkeypatch.undo()
    client.close()
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Invert")
    assert is_right(client.paint([request()])[0], request())


LOCAL_IN_FORK = """
os.environ.pop("INPAINT_TRANSFORM_ENGINE")
import torch
torch.set_num_threads(2)
model = ModelSpec("tiny", device="cpu", steps=1, serving=sys.argv[1])
client = connect(dataclasses.replace(model, serving="local"))
asked = [request(side=client.size)]
client.paint(asked)
child = os.fork()  # as multiprocess and others do
if child == 0:
    say(connect(model).paint(asked)[0].image is not None)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("serving", ["auto", "local"])
def test_any_fork_of_a_process_that_has_painted_paints(serving):
    assert run_script("import dataclasses\n" + LOCAL_IN_FORK, serving) == ["[true]"]


LOCAL_IN_CHILD = """
os.environ.pop("INPAINT_TRANSFORM_ENGINE")
import torch
torch.set_num_threads(2)
client = connect(ModelSpec("tiny", device="cpu", steps=1, serving="local"))
asked = [request(side=client.size)]
client.paint(asked)

def work():
    say(client.paint(asked)[0].image is not None)

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


@pytest.mark.slow
def test_local_paints_in_a_child_that_is_forked_after_its_parent_has_painted():
    """The threads of the parent's OpenMP do not come along."""
    assert run_script(LOCAL_IN_CHILD) == ["[true]"]


def serving_in_child(report):
    report.put(type(connect(ModelSpec("stand-in", device="cpu"))).__name__)


def test_auto_is_local_in_the_main_process_and_shared_in_children():
    assert isinstance(connect(ModelSpec("stand-in", device="cpu")), LocalInpainter)
    report = context("fork").SimpleQueue()
    child = context("fork").Process(target=serving_in_child, args=(report,))
    child.start()
    assert report.get() == SharedInpainter.__name__
    child.join()


def test_auto_is_shared_for_cuda():
    assert isinstance(connect(ModelSpec("stand-in", device="cuda:0")), SharedInpainter)


def test_ranks_have_servers_of_their_own(monkeypatch):
    servers = set()
    for rank in "01":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", rank)
        client = shared(8)
        client.paint([request()])
        servers.add(server_of(client))
    assert len(servers) == 2


def test_a_contradiction_is_named():
    with pytest.raises(ValueError, match="serving='local' and address='/x'"):
        connect(ModelSpec("tiny", serving="local", address="/x"))


def test_signals_to_the_server_end_it_cleanly(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server = server_of(client)
    os.kill(server.pid, signal.SIGTERM)
    assert wait_until(lambda: not server.alive() and left_in(runtime) == [])


def test_references_reach_the_server_with_their_requests(monkeypatch):
    """Some have one, some share one, some have none; from many threads, in one batch or another."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Copyist")
    pictures = [np.full((REFERENCE_SIDE, REFERENCE_SIDE, 3), level, np.uint8) for level in (90, 200)]
    client = shared(max_batch_size=4)

    def ask(seed):
        kinds = [None, pictures[seed % 2], pictures[seed % 2], pictures[(seed + 1) % 2]]
        asked = [dataclasses.replace(request(seed=seed * 10 + i), reference=kind) for i, kind in enumerate(kinds)]
        for one, result in zip(asked, client.paint(asked), strict=True):
            color = 0 if one.reference is None else one.reference[0, 0, 0]
            assert (result.image[one.mask] == color).all()
            assert (result.image[~one.mask] == one.image[~one.mask]).all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(8)))


def test_a_reference_of_another_form_is_named_before_it_is_sent():
    asked = dataclasses.replace(request(), reference=np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="reference of shape"):
        shared().paint([asked])


def test_a_reference_for_later_is_kept_until_then(monkeypatch, tmp_path):
    """The client's memory is used again as soon as a request is queued."""
    monkeypatch.setenv(ENGINE_VARIABLE, "standins:Copyist")
    client = shared(max_batch_size=1)
    keeper = keeper_of(tmp_path / "pool", 1 << 24, False, 8)
    with keeper.store.reading():
        pass  # it is there
    destination = Destination(str(tmp_path / "pool"), 1 << 24, 8)
    asked = [
        dataclasses.replace(request(seed=i), reference=np.full((REFERENCE_SIDE, REFERENCE_SIDE, 3), 40 * i, np.uint8))
        for i in range(1, 5)
    ]
    names = [bytes([number]) * 17 for number in range(4)]
    for one, name in zip(asked, names, strict=True):
        client.paint_later([one], [name], destination)

    def found():
        with keeper.store.reading() as transaction:
            contents = Contents(transaction, keeper.store.dbs)
            return [None if (value := contents.item(name)) is None else unpack_raw(value).image for name in names]

    assert wait_until(lambda: all(image is not None for image in found()), PATIENCE_S)
    for one, image in zip(asked, found(), strict=True):
        assert (image[one.mask] == one.reference[0, 0, 0]).all()
