"""Who may speak to a server, and what the others can do to it: nothing."""

import contextlib
import fcntl
import json
import multiprocessing
import os
import random
import resource
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import (
    PATIENCE_S,
    is_right,
    request,
    run_script,
    runtime,  # noqa: F401 - a fixture
    server_of,
    shared,
    spec,
    start_script,
    wait_until,
)

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.client.connection import Connection
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.registry import shutdown
from inpaint_transform.serving.server_directory import ServerDirectory, directory_for
from inpaint_transform.serving.session import current_session
from inpaint_transform.serving.transport import paint_frames, wire
from inpaint_transform.serving.transport.wire import Kind

FRAMES = 10_000


def place(runtime) -> ServerDirectory:  # noqa: F811 - the fixture
    [path] = runtime.iterdir()
    return ServerDirectory(path)


def stranger(directory: ServerDirectory) -> socket.socket:
    """Connected, but without a HELLO."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(os.fspath(directory.socket))
    return sock


def acquaintance(directory: ServerDirectory) -> socket.socket:
    """Has said HELLO."""
    sock = stranger(directory)
    wire.send_some(sock, wire.pack(Kind.HELLO, {"pid": 1}))
    assert wire.Reader(sock).read().kind is Kind.WELCOME
    return sock


def head(kind: int, header: int, payload: int) -> bytes:
    return struct.pack("<4sBBIQ", wire.MAGIC, wire.VERSION, kind, header, payload)


def malformed(rng: random.Random) -> bytes:
    """Anything but a frame that is allowed."""
    text = rng.choice([b"", b"{", b"[]", b"null", b'{"entries":[]}', b'{"entries":[{"side":9}]}', rng.randbytes(40)])
    return rng.choice(
        [
            lambda: rng.randbytes(rng.randrange(18, 200)),
            lambda: head(rng.randrange(256), rng.randrange(2**32), rng.randrange(2**64)),
            lambda: head(rng.choice([1, 2, 4, 5, 8, 9, 10, 0, 200]), len(text), rng.randrange(4)) + text,
            lambda: head(Kind.SHARED_MEMORY, 2, 1) + b"{}\0",
            lambda: announced(rng.choice([0, 1, 64, 8192, 8193])),
            lambda: head(Kind.PAINT, len(text), 2**30) + text,
            lambda: head(Kind.PAINT, 1 << 22, 0) + b"[" * (1 << 10),  # and hang up in the middle
            lambda: head(Kind.HELLO, len(text), 0) + text,
        ]
    )()


@pytest.mark.filterwarnings("ignore:the inpainting server got batches:RuntimeWarning")
def test_ten_thousand_malformed_frames_disturb_nobody(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server, directory = server_of(client), place(runtime)
    rng = random.Random(0)
    for number in range(FRAMES):
        sock = acquaintance(directory) if number % 2 else stranger(directory)
        with sock, contextlib.suppress(OSError):  # hung up on while still talking
            sock.sendall(malformed(rng))
        if number % 50 == 0:
            asked = request(seed=number)
            assert is_right(client.paint([asked])[0], asked)
    assert server_of(client) == server
    # The tester's own connections may still be in the queue.
    assert wait_until(lambda: len(list(Path(f"/proc/{server.pid}/fd").iterdir())) < 30)


@pytest.mark.parametrize("said", [{}, {"pid": "1"}, {"pid": None}, {"pid": True}, {"pid": 1.5}])
def test_a_hello_without_a_process_id_is_refused(runtime, said):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with stranger(place(runtime)) as sock:
        wire.send_some(sock, wire.pack(Kind.HELLO, said))
        reader = wire.Reader(sock)
        assert reader.read().kind is Kind.ERROR
        with pytest.raises(ConnectionError):
            reader.read()
    assert is_right(client.paint([request()])[0], request())


@pytest.mark.parametrize("kind", [Kind.SHUTDOWN, Kind.STATS, Kind.READY, Kind.PAINT])
def test_a_stranger_can_ask_for_nothing(runtime, kind):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server = server_of(client)
    with stranger(place(runtime)) as sock:
        text = b'{"entries":[{}]}' if kind is Kind.PAINT else b"{}"
        sock.sendall(head(kind, len(text), 0) + text)
        assert wire.Reader(sock).read().kind is Kind.ERROR
    assert server.alive()
    assert is_right(client.paint([request()])[0], request())


def test_strangers_may_not_reserve_memory(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with stranger(place(runtime)) as sock:
        sock.sendall(head(Kind.PAINT, 100, 2**29))
        assert "over the limit" in wire.Reader(sock).read().header["error"]


def test_a_client_that_never_reads_blocks_nobody(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with acquaintance(place(runtime)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        big = request(side=2000)
        sock.settimeout(30)
        wire.send_some(sock, paint_frames.pack_requests([big], 60.0))
        for seed in range(20):
            asked = request(seed=seed)
            assert is_right(client.paint([asked])[0], asked)


def test_a_client_that_asks_without_end_and_never_reads_fills_nobodys_memory(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with acquaintance(place(runtime)) as sock:
        sock.setblocking(False)
        question = b"".join(wire.pack(Kind.STATS, {}))
        sent = 0
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                while sent < 64 << 20:
                    sent += sock.send(question * 1000)
            time.sleep(0.005)
        assert sent < 64 << 20  # the server has stopped to listen
        assert is_right(client.paint([request()])[0], request())


def test_who_hangs_up_at_once_is_forgotten(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    directory = place(runtime)
    before = client.stats()["resident_bytes"]
    for _ in range(20_000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(os.fspath(directory.socket))
    assert wait_until(lambda: client.stats()["resident_bytes"] - before < 8 << 20)  # 36 MB where they are kept


HANGS_UP = """
import socket, sys
from pathlib import Path
from inpaint_transform.serving.transport import wire
from inpaint_transform.serving.server_directory import ServerDirectory
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.transport.wire import Kind

directory = ServerDirectory(Path(sys.argv[1]))
with directory.held():
    directory.occupy()
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(directory.socket))
listener.listen()
directory.identity.write_text(str(Process.of(os.getpid())))
served = ModelSpec("stand-in").resolved().to_dict()
say("listening")
while True:
    sock, _ = listener.accept()
    reader = wire.Reader(sock)
    reader.read()
    wire.send_some(sock, wire.pack(Kind.WELCOME, {"pid": os.getpid()}))
    reader.read()
    wire.send_some(sock, wire.pack(Kind.READY, {"size": 16, "spec": served}))
    reader.read()
    sock.close()
"""


def test_a_server_that_hangs_up_on_a_request_is_not_asked_for_ever(runtime):  # noqa: F811 - the fixture
    place_of_it = runtime / "odd"
    process = start_script(HANGS_UP, place_of_it)
    assert process.stdout.readline()
    client = SharedInpainter(ModelSpec("stand-in", address=str(place_of_it)), current_session())
    with pytest.raises(InpaintError, match="hung up 4 times on the same request"):
        client.paint([request()])
    process.kill()
    process.communicate()
    ServerDirectory(place_of_it).remove()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("trap", ["a process to kill", "a pipe to wait on"])
def test_what_another_user_puts_in_our_place_is_not_believed(runtime, trap):  # noqa: F811 - the fixture
    """In a folder that all may write to, such as /tmp, anybody can make the directory first."""
    fake = directory_for(current_session(), "a name that anybody can work out")
    fake.path.mkdir()
    victim = start_script("time.sleep(1000)")
    if trap == "a process to kill":
        fake.identity.write_text(str(Process.of(victim.pid)))
    else:
        os.mkfifo(fake.identity)
    fake.lock.touch()
    for path in (fake.identity, fake.lock, fake.path):
        os.chown(path, 12345, 12345)
    shutdown()
    assert victim.poll() is None
    victim.kill()
    victim.communicate()
    shutil.rmtree(fake.path)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the system cannot limit another process")
def test_more_strangers_than_descriptors_only_delay(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server, directory = server_of(client), place(runtime)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (40, 40))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(os.fspath(directory.socket))
        assert is_right(client.paint([request()])[0], request())
        time.sleep(0.6)  # for what the server does by the clock
        assert is_right(client.paint([request()])[0], request())
    other = SharedInpainter(ModelSpec("x", address=str(directory.path)), current_session())
    assert wait_until(lambda: other.stats() != {})
    assert server.alive()


def test_a_second_request_before_the_answer_ends_the_connection(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with acquaintance(place(runtime)) as sock:
        for _ in range(2):
            wire.send_some(sock, paint_frames.pack_requests([request("sleep 0.3")], 60.0))
        assert wire.Reader(sock).read().kind is Kind.ERROR
    assert is_right(client.paint([request()])[0], request())


AS_ANOTHER_USER = """
import socket
from pathlib import Path

os.setuid(12345)
directory = Path(sys.argv[1])
directory.mkdir(mode=0o700)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(directory / "socket"))
listener.listen()
say("listening")
time.sleep(1000)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("taken", [1, 3])
def test_a_name_that_another_user_has_taken_stops_no_job(runtime, taken):  # noqa: F811 - the fixture
    client, same = shared(98), shared(98)
    for _ in range(taken):
        directory, _ = client._locate()
        directory.path.mkdir()
        os.chown(directory.path, 12345, 12345)
        client._place = None
    assert is_right(client.paint([request()])[0], request())
    assert server_of(same) == server_of(client)
    for path in runtime.iterdir():
        if path.stat().st_uid:
            path.rmdir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_where_all_names_are_taken_the_mend_is_named(runtime):  # noqa: F811 - the fixture
    client = shared(97)
    for _ in range(4):
        directory, _ = client._locate()
        directory.path.mkdir()
        os.chown(directory.path, 12345, 12345)
        client._place = None
    with pytest.raises(InpaintError, match="belongs to user 12345.*set XDG_RUNTIME_DIR or TMPDIR"):
        client.paint([request()])
    for path in runtime.iterdir():
        path.rmdir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_directory_that_another_user_puts_in_its_place_meanwhile(runtime):  # noqa: F811 - the fixture
    """In a shared folder without the sticky bit whoever may write to it can move any directory away."""
    client = shared(96)
    client.paint([request()])
    old = server_of(client)
    directory, _ = client._locate()
    away = directory.path.rename(runtime / "away")
    directory.path.mkdir()
    os.chown(directory.path, 12345, 12345)
    client.close()
    assert is_right(client.paint([request()])[0], request())
    assert wait_until(lambda: not old.alive())
    directory.path.rmdir()
    shutil.rmtree(away)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_who_takes_the_servers_place_is_told_nothing(runtime, monkeypatch):  # noqa: F811 - the fixture
    """In a shared folder without the sticky bit: between the look at the directory and the connection."""
    runtime.chmod(0o777)
    directory = ServerDirectory(runtime / "taken")
    other = start_script(AS_ANOTHER_USER, directory.path)
    assert other.stdout.readline()
    with pytest.raises(InpaintError, match="belongs to user 12345"):
        Connection(directory)
    monkeypatch.setattr(ServerDirectory, "check", lambda _: None)  # it was this user's then
    with pytest.raises(InpaintError, match="user 12345 listens in"):
        Connection(directory)
    other.kill()
    other.communicate()
    shutil.rmtree(directory.path)


def hand_over(sock: socket.socket, *descriptors: int) -> None:
    """Say REGION, with whatever descriptors."""
    with contextlib.suppress(BrokenPipeError):  # hung up on before the descriptor
        sock.sendall(head(Kind.SHARED_MEMORY, 2, 1) + b"{}")
        if descriptors:
            socket.send_fds(sock, [b"\0"], list(descriptors))
        else:
            sock.sendall(b"\0")


def memory(size: int, seals: int = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def announced(side: int) -> bytes:
    """A PAINT frame whose pixels lie in shared memory."""
    entry = {"side": side, "prompt": "", "negative_prompt": "", "strength": 1.0, "seed": 0}
    text = json.dumps({"entries": [entry], "timeout": 60.0, "shared": True}).encode()
    return head(Kind.PAINT, len(text), 0) + text


NEEDS_MEMFD = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no memfd")


def handed_over(server: Process) -> int:
    """How many descriptors a process has of the kinds that clients hand it."""
    count = 0
    for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += str(descriptor.readlink()).startswith(("/memfd:", "socket:"))
    return count


@NEEDS_MEMFD
def test_only_memory_that_cannot_shrink_is_shared(runtime, tmp_path):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server, directory = server_of(client), place(runtime)
    before = handed_over(server)
    file = tmp_path / "file"
    file.write_bytes(bytes(1 << 20))
    refused = {
        "without a descriptor": [],
        "could shrink": [memory(1 << 20, 0)],
        "of 0 bytes": [memory(0)],
        "of 2147483648 bytes": [memory(2 << 30)],
        "not shared memory": [os.open(file, os.O_RDWR)],
        "not shared memory: ": [os.pipe()[0]],
        "not shared memory: [": [socket.socketpair()[0].detach()],
        "cannot be written": [memory(1 << 20, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)],
    }
    for said, descriptors in refused.items():
        with acquaintance(directory) as sock:
            hand_over(sock, *descriptors)
            assert said in wire.Reader(sock).read().header["error"]
    for descriptors in refused.values():
        for descriptor in descriptors:
            os.close(descriptor)
    with stranger(directory) as sock:
        hand_over(sock, memory(1 << 20))
        assert "over the limit" in wire.Reader(sock).read().header["error"]
    assert wait_until(lambda: handed_over(server) <= before)
    assert is_right(client.paint([request()])[0], request())


@NEEDS_MEMFD
def test_descriptors_that_nobody_asked_for_are_closed(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server, directory = server_of(client), place(runtime)
    before = handed_over(server)
    shared_memory = memory(1 << 20)
    with acquaintance(directory) as sock:
        hand_over(sock, *[shared_memory] * 50)  # one is taken
        for _ in range(50):
            socket.send_fds(sock, [b"".join(wire.pack(Kind.READY, {}))], [shared_memory] * 50)
            assert wire.Reader(sock).read().kind is Kind.READY
        assert handed_over(server) < before + 5
    assert wait_until(lambda: handed_over(server) <= before)
    os.close(shared_memory)


@NEEDS_MEMFD
def test_pixels_that_are_not_in_the_memory_end_the_connection(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    directory = place(runtime)
    with acquaintance(directory) as sock:
        sock.sendall(announced(64))
        assert wire.Reader(sock).read().kind is Kind.NOT_SHARED
    with acquaintance(directory) as sock:
        hand_over(sock, memory(64 * 64 * 3))  # without its mask
        sock.sendall(announced(64))
        assert "not in the shared memory" in wire.Reader(sock).read().header["error"]
    assert is_right(client.paint([request()])[0], request())


@NEEDS_MEMFD
def test_memory_that_changes_under_the_engine_harms_its_owner_only(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with acquaintance(place(runtime)) as sock:
        descriptor = memory(1 << 20)
        hand_over(sock, descriptor)
        sock.sendall(announced(64))
        os.pwrite(descriptor, random.Random(0).randbytes(1 << 20), 0)
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(descriptor, 0)
        assert wire.Reader(sock).read().kind is Kind.PAINTED
        os.close(descriptor)
    for seed in range(5):
        assert is_right(client.paint([request(seed=seed)])[0], request(seed=seed))


def test_everything_is_private(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    directory = place(runtime)
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.lock.stat().st_mode & 0o777 == 0o600
    assert directory.socket.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_others_can_reach_is_refused(runtime):  # noqa: F811 - the fixture
    client = shared(99)
    client.paint([request()])
    directory = place(runtime)
    directory.path.chmod(0o755)
    fresh = SharedInpainter(spec(99), current_session())
    with pytest.raises(InpaintError, match="has mode 755"):
        fresh.paint([request()])
    directory.path.chmod(0o700)


def as_another_user(work: Callable[[], str]) -> str:
    """What ``work`` returns, or the error it raises, in a process of another user."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        os.setgroups([])
        os.setgid(12345)
        os.setuid(12345)
        try:
            sender.send(work())
        except Exception as error:
            sender.send(f"{type(error).__name__}: {error}")

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    said = receiver.recv() if receiver.poll(PATIENCE_S) else "nothing"
    process.join(PATIENCE_S)
    return said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(
    ("mode", "message"), [(0o700, "is closed to user 12345"), (0o755, "belongs to user 0, not to user 12345")]
)
def test_a_second_user_is_refused(runtime, mode, message):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    address = str(place(runtime).path)
    runtime.chmod(mode)
    spec = ModelSpec("stand-in", address=address)
    said = as_another_user(lambda: str(SharedInpainter(spec, current_session()).paint([request()])))
    assert said.startswith(("InpaintError", "NotPrivateError"))
    assert message in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_second_user_is_not_spoken_to_where_every_door_is_open(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    directory = place(runtime)
    for opened in (runtime, directory.path, directory.socket, directory.lock):
        opened.chmod(0o777)

    def knock() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(os.fspath(directory.socket))
            return f"heard {sock.recv(100)!r}"

    assert as_another_user(knock) == "heard b''"
    directory.path.chmod(0o700)
    assert is_right(client.paint([request()])[0], request())


def test_an_address_reaches_a_running_server(runtime):  # noqa: F811 - the fixture
    client = shared(96)
    client.paint([request()])
    address = str(place(runtime).path)
    other = SharedInpainter(ModelSpec("stand-in 96", address=address), current_session())
    assert is_right(other.paint([request()])[0], request())
    assert server_of(other) == server_of(client)


def test_an_address_with_another_model_is_refused(runtime):  # noqa: F811 - the fixture
    client = shared(95, steps=4)
    client.paint([request()])
    address = str(place(runtime).path)
    for wrong, named in (
        (ModelSpec("other", address=address, steps=4), "id='other'"),
        (ModelSpec("stand-in 95", address=address, steps=9), "steps=9"),
    ):
        with pytest.raises(InpaintError, match=f"{named}: the server at address"):
            SharedInpainter(wrong, current_session()).paint([request()])


def test_an_address_where_nothing_listens_is_named(runtime, tmp_path):  # noqa: F811 - the fixture
    with pytest.raises(InpaintError, match="inpaint-transform serve"):
        SharedInpainter(ModelSpec("x", address=str(tmp_path / "none")), current_session()).paint([request()])


def test_nothing_from_the_wire_chooses_the_engine(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    with acquaintance(place(runtime)) as sock:
        wire.send_some(sock, wire.pack(Kind.READY, {"engine": "os:abort", "spec": {"id": "evil"}}))
        assert json.dumps(wire.Reader(sock).read().header["spec"]).count("evil") == 0
    time.sleep(0.05)
    assert is_right(client.paint([request()])[0], request())


@NEEDS_MEMFD
def test_a_server_without_descriptors_gets_the_pixels_instead(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server = server_of(client)
    opened = sorted(int(entry.name) for entry in Path(f"/proc/{server.pid}/fd").iterdir())
    [free, *_] = sorted(set(range(opened[-1] + 2)) - set(opened))
    for side in (700, 1500):  # more than what is shared already
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, 4096))
        asked = [request(seed=side, side=side)]
        assert is_right(client.paint(asked)[0], asked[0])
        assert client._free[0]._memory is None
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    assert server_of(client) == server


@NEEDS_MEMFD
def test_a_server_without_room_for_memory_gets_the_pixels_instead(runtime):  # noqa: F811 - the fixture
    client = shared()
    client.paint([request()])
    server = server_of(client)
    limit = resource.prlimit(server.pid, resource.RLIMIT_AS)
    used = int(Path(f"/proc/{server.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(server.pid, resource.RLIMIT_AS, (used + (40 << 20), limit[1]))
    asked = [request(seed=seed, side=2000) for seed in range(5)]  # 64 MiB; each is sent in turn
    memory_before = client._free[0]._memory
    connection = client._take()
    connection._share(60 << 20, time.monotonic() + 10)
    client._give_back(connection)
    assert connection._memory is not memory_before
    assert is_right(client.paint(asked[:1])[0], asked[0])
    resource.prlimit(server.pid, resource.RLIMIT_AS, limit)
    assert server_of(client) == server


NO_DESCRIPTORS = """
import resource, tempfile
tempfile.gettempdir()  # finds out by writing
client = connect(spec(0))
small, large = request(), request(side=900)
if "started" in sys.argv:
    client.paint([small])
_, limit = resource.getrlimit(resource.RLIMIT_NOFILE)

def allow_no_more():
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limit))

allow_no_more()
if "started" in sys.argv:
    say(is_right(client.paint([large])[0], large))
client.close()
allow_no_more()
try:
    client.paint([small])
except InpaintError as error:
    say(str(error))
say(client.stats())
if "ends so" not in sys.argv:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    say(is_right(client.paint([small])[0], small))
"""


@pytest.mark.parametrize("started", [False, True])
def test_a_client_without_descriptors_gets_an_error_of_ours_and_is_served_later(runtime, started):  # noqa: F811
    first, *lines = run_script(NO_DESCRIPTORS, *["started"] * started)
    if started:
        assert first == "[true]"  # over the connection that it has
        first, *lines = lines
    assert "Too many open files" in first
    assert "raise this process's limit of open files (ulimit -n)" in first
    assert lines == ["[{}]", "[true]"]


def test_an_end_without_descriptors_is_no_noise(runtime):  # noqa: F811 - the fixture
    process = start_script(NO_DESCRIPTORS, "started", "ends so")
    _, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert wait_until(lambda: not list(runtime.iterdir()))


def test_a_link_in_the_servers_place_is_not_followed(runtime, tmp_path):  # noqa: F811 - the fixture
    client = shared(95)
    (runtime / "elsewhere").mkdir(0o700)
    for _ in range(4):
        directory, _ = client._locate()
        directory.path.symlink_to(runtime / "elsewhere")
        client._place = None
    with pytest.raises(InpaintError, match="is not a directory; remove it"):
        client.paint([request()])
    assert not list((runtime / "elsewhere").iterdir())
    for path in runtime.iterdir():
        path.unlink() if path.is_symlink() else path.rmdir()


@pytest.mark.parametrize("name", ["lock", "pid", "log", "s", "socket"])
def test_what_lies_about_in_the_servers_directory_is_an_error_of_ours_or_none(runtime, name):  # noqa: F811
    client = shared(94)
    directory, _ = client._locate()
    directory.path.mkdir(0o700)
    (directory.path / name).symlink_to(runtime / "nowhere")
    with contextlib.suppress(InpaintError):
        assert is_right(client.paint([request()])[0], request())
    if (directory.path / name).is_symlink():
        (directory.path / name).unlink()
        directory.path.rmdir()
    assert not (runtime / "nowhere").exists()
