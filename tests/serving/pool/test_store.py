"""The store: forks, several processes, kills, and every kind of bad folder."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import lmdb
import pytest

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.pool import place
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.store import FORMAT, Store

SIZE = 10_000_000
ROOT = Path(__file__).parents[3]


def put(store: Store, key: bytes, value: bytes) -> None:
    def work(transaction) -> None:
        Contents(transaction, store.dbs).put(key.ljust(16), value, None, 0, time.time())

    store.write(work, lambda transaction, size: Contents(transaction, store.dbs).make_room(size, 8))


def get(store: Store, key: bytes) -> bytes | None:
    with store.reading() as transaction:
        found = Contents(transaction, store.dbs).item(key.ljust(16))
        return None if found is None else bytes(found)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "pool", SIZE, False)


def test_what_is_written_is_read_by_the_same_and_by_another(store: Store) -> None:
    put(store, b"a", b"value")
    assert get(store, b"a") == b"value"
    assert get(store, b"b") is None
    store.close()
    assert get(Store(store.path, SIZE, True), b"a") == b"value"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_every_kind_read_and_write(store: Store, method: str) -> None:
    put(store, b"a", b"parent")
    context = multiprocessing.get_context(method)
    children = [context.Process(target=_child, args=(store.path, number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert [get(store, b"child %d" % number) for number in range(3)] == [b"parent"] * 3


def _child(path: Path, number: int) -> None:
    store = Store(path, SIZE, False)
    put(store, b"child %d" % number, get(store, b"a") or b"")


def test_a_forked_child_uses_its_parents_very_store(store: Store) -> None:
    put(store, b"a", b"parent")
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: put(store, b"b", get(store, b"a") or b""))
    child.start()
    child.join()
    assert get(store, b"b") == b"parent"


def test_forks_wait_for_threads_that_are_reading_and_writing(store: Store) -> None:
    put(store, b"a", b"value")
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            while not stop.is_set():
                put(store, b"%d" % number, b"x" * 5000)
                assert get(store, b"a") == b"value"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if get(store, b"a") == b"value" else 1)
        assert os.waitpid(pid, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_writer_that_is_killed_leaves_whole_records(store: Store) -> None:
    put(store, b"a", b"value")
    script = (
        "import itertools, sys\n"
        "from pathlib import Path\n"
        "from test_store import put, Store, SIZE\n"
        "store = Store(Path(sys.argv[1]), SIZE, False)\n"
        "print('ready', flush=True)\n"
        "for number in itertools.count():\n"
        "    put(store, b'%d' % (number % 50), bytes([number % 250]) * 60_000)\n"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(store.path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        put(store, b"after", b"kill")
        assert get(store, b"a") == b"value"
        for number in range(50):
            found = get(store, b"%d" % number)
            assert found is None or (len(found) == 60_000 and len(set(found)) == 1)


def test_it_never_outgrows_its_limit(tmp_path: Path) -> None:
    store = Store(tmp_path, 3_000_000, False)
    for number in range(100):
        put(store, b"%d" % number, os.urandom(100_000))
    assert get(store, b"99") is not None
    assert get(store, b"0") is None
    assert (tmp_path / place.DATA).stat().st_size <= 3_000_000


def test_a_process_with_less_follows_one_with_more(tmp_path: Path) -> None:
    small = Store(tmp_path, 2_000_000, False)
    put(small, b"a", b"value")
    child = multiprocessing.get_context("spawn").Process(target=_fill, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert get(small, b"29") is not None
    assert get(small, b"a") == b"value"


def _fill(path: Path) -> None:
    store = Store(path, 20_000_000, False)
    for number in range(30):
        put(store, b"%d" % number, b"x" * 100_000)


def test_a_folder_that_goes_under_a_running_job_is_made_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inpaint_transform.serving.pool.store.LOOK_S", 0.0)
    put(store, b"a", b"value")
    shutil.rmtree(store.path)
    assert get(store, b"a") is None
    put(store, b"a", b"new")
    assert get(store, b"a") == b"new"
    assert (store.path / place.DATA).exists()


# Bad folders


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("x")
    with pytest.raises(InpaintError, match="pool', which is a file"):
        get(Store(tmp_path / "pool", SIZE, False), b"a")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_text("x")
    with pytest.raises(InpaintError, match="other files lie there"):
        get(Store(tmp_path, SIZE, False), b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_pool_that_another_process_is_just_making_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / place.LOCK).touch()  # LMDB makes it first
    store = Store(tmp_path, SIZE, False)
    put(store, b"a", b"value")
    assert get(store, b"a") == b"value"


@pytest.mark.parametrize("content", [b"", b"no pool" * 5000, bytes(20_000)])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / place.DATA).write_bytes(content)
    frozen = Store(tmp_path, SIZE, True)
    with pytest.raises(InpaintError, match=str(tmp_path)):
        get(frozen, b"a")
    if content:
        with pytest.raises(InpaintError, match="damaged or no pool"):
            get(Store(tmp_path, SIZE, False), b"a")


def test_a_file_that_was_cut_off_is_named_and_not_a_bus_error(store: Store) -> None:
    for number in range(40):
        put(store, b"%d" % number, b"x" * 100_000)
    store.close()
    os.truncate(store.path / place.DATA, 1_500_000)
    for frozen in (True, False):
        with pytest.raises(InpaintError, match="cut off"):
            get(Store(store.path, SIZE, frozen), b"39")


def test_someone_elses_lmdb_is_left_alone(tmp_path: Path) -> None:
    env = lmdb.open(str(tmp_path), max_dbs=2)
    env.open_db(b"theirs")
    env.close()
    with pytest.raises(InpaintError, match="something else than a pool"):
        get(Store(tmp_path, SIZE, False), b"a")


def test_a_pool_of_another_format_is_named(store: Store) -> None:
    get(store, b"a")
    store.write(lambda t: t.put(b"format", b"inpaint-transform pool 9", db=store.dbs[b"meta"]), lambda *_: None)
    store.close()
    with pytest.raises(InpaintError, match=f"pool 9.*{FORMAT.decode()}"):
        get(Store(store.path, SIZE, False), b"a")


def test_frozen_needs_a_pool(tmp_path: Path) -> None:
    with pytest.raises(InpaintError, match="frozen=True: there is no pool"):
        get(Store(tmp_path / "none", SIZE, True), b"a")
    assert not (tmp_path / "none").exists()


def test_frozen_reads_where_no_lock_can_be_had(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only file system."""
    put(store, b"a", b"value")
    store.close()
    opened = lmdb.open

    def refuse(path, **settings):
        if settings.get("lock", True):
            raise lmdb.Error("Read-only file system")
        return opened(path, **settings)

    monkeypatch.setattr(lmdb, "open", refuse)
    assert get(Store(store.path, SIZE, True), b"a") == b"value"


def test_a_network_file_system_is_refused_unless_frozen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, b"a", b"value")
    store.close()
    monkeypatch.setattr(place, "file_system", lambda path: "nfs4")
    with pytest.raises(InpaintError, match="network file system.*nfs4.*frozen"):
        get(Store(store.path, SIZE, False), b"a")
    assert get(Store(store.path, SIZE, True), b"a") == b"value"


def test_a_full_disk_is_an_error_of_the_write_only(tmp_path: Path) -> None:
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no mount here")
    try:
        store = Store(disk / "pool", SIZE, False)
        put(store, b"a", b"value")
        with pytest.raises((lmdb.Error, OSError)):
            put(store, b"b", os.urandom(4_000_000))
        assert get(store, b"a") == b"value"
        store.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
