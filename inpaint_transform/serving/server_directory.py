"""A server's private directory: its socket, lock, identity and log, and who may touch them when.

Two kernel locks, which end with their holder however it dies, carry everything: the server holds its ``lock`` file
for life, so whoever can lock that file knows that there is no server; and whoever starts or clears away a server
holds the directory itself meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.session import Session

if sys.platform != "win32":
    import fcntl

PREFIX = "inpaint-transform"
# Of the names of a directory, in the order in which they are tried.
_SUFFIXES = ("", "-2", "-3", "-4")
# sun_path holds 108 bytes on Linux and 104 on macOS, the final zero included.
_MAX_SOCKET_PATH = 103

# The mend where somebody else can reach the folder of the directories.
PRIVATE_FOLDER = "set XDG_RUNTIME_DIR or TMPDIR to a folder of your own"


class NotPrivateError(InpaintError):
    """A server's directory is not this user's own, or others can reach it."""


@dataclass(frozen=True)
class ServerDirectory:
    """The place of one server.

    Attributes:
        path: The directory. It exists only as long as it is needed.
    """

    path: Path

    @property
    def socket(self) -> Path:
        """Where it listens; present only while it does."""
        return self.path / "socket"

    @property
    def lock(self) -> Path:
        """Locked while the server lives."""
        return self.path / "lock"

    @property
    def unfinished_socket(self) -> Path:
        """Its name until it listens."""
        return self.path / "s"

    @property
    def identity(self) -> Path:
        """Which process it is."""
        return self.path / "pid"

    @property
    def log(self) -> Path:
        """What it and its engine print."""
        return self.path / "log"

    def check(self) -> None:
        """Raise unless the directory is this user's own and closed to others.

        Raises:
            FileNotFoundError: It does not exist.
            NotPrivateError: It is someone else's, or open to others.
        """
        self._check(self.path.lstat())

    def is_own(self) -> bool:
        """Whether it exists, is this user's and closed to others."""
        try:
            self.check()
        except (FileNotFoundError, InpaintError):
            return False
        return True

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISDIR(found.st_mode):
            raise NotPrivateError(f"{self.path} is not a directory; remove it, or {PRIVATE_FOLDER}")
        if found.st_uid != os.getuid():
            raise NotPrivateError(
                f"{self.path} belongs to user {found.st_uid}, not to user {os.getuid()} who runs this: a server is only"
                f" shared by the processes of one user; {PRIVATE_FOLDER}"
            )
        if found.st_mode & 0o077:
            raise NotPrivateError(
                f"{self.path} has mode {stat.S_IMODE(found.st_mode):o}, so other users can reach it; make it private"
                " with chmod 700"
            )

    @contextmanager
    def held(self, create: bool = True) -> Iterator[None]:
        """Hold the directory against everyone else who would start or clear away its server.

        Args:
            create: Make it where it does not exist, and wait for who holds it.

        Raises:
            FileNotFoundError: It does not exist and is not to be made.
            BlockingIOError: Someone else holds it and there is nothing to be made.
            NotPrivateError: It is someone else's, or open to others.
        """
        while True:
            if create:
                with suppress(FileExistsError):
                    self.path.mkdir(0o700)
            try:
                self.check()
                descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                if create:
                    continue
                raise
            try:
                self._check(os.fstat(descriptor))
                fcntl.flock(descriptor, fcntl.LOCK_EX if create else fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is(descriptor):  # else it was removed, and perhaps made anew, while we waited
                    yield
                    return
            finally:
                # Not left to close(): a child forked meanwhile has a copy of the descriptor and with it the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except FileNotFoundError:
            return False

    def occupied(self) -> bool:
        """Whether a server lives here: starting, serving or ending."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def occupy(self) -> int:
        """Make a new lock file and lock it; call it holding the directory, with no server in it.

        Returns:
            The descriptor that keeps the lock; the server inherits it.

        Raises:
            OSError: The system does not let it.
        """
        self.clear()
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def is_locked_by(self, descriptor: int) -> bool:
        """Whether a descriptor that ``occupy`` gave is still that of the lock file here.

        At a logout the base folder may go, and a cleaner of old files may empty it while a training goes on; then
        another server may have moved in.
        """
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock.stat())
        except OSError:
            return False

    def holds_something_else(self) -> bool:
        """Whether something lies here that no server has left."""
        found = set(self.path.iterdir())
        return bool(found) and not (found <= self._files() and self.lock.is_file() and not self.lock.stat().st_size)

    def _files(self) -> set[Path]:
        return {self.socket, self.unfinished_socket, self.identity, self.log, self.lock}

    def clear(self) -> None:
        """Remove the files; the lock last, for a place without it is free."""
        for file in self._files() - {self.lock}:
            file.unlink(missing_ok=True)
        self.lock.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the directory with its files."""
        self.clear()
        # Missing: someone else removed it. Not empty: the next server has moved in since.
        with suppress(OSError):
            self.path.rmdir()

    def remove_if_dead(self) -> bool:
        """Remove the directory if it is this user's, no server lives here and nobody is starting one.

        Returns:
            Whether that could be told: False while somebody else holds the directory.
        """
        try:
            with self.held(create=False):
                if not self.occupied():
                    self.remove()
        except BlockingIOError:
            return False
        except (OSError, InpaintError):
            pass
        return True

    def server(self) -> Process | None:
        """The server's process; None where there is none, or the directory is not this user's own."""
        try:
            self.check()
            return Process.parse(self.identity.read_text())
        except (OSError, ValueError, InpaintError):
            return None

    def log_tail(self, characters: int = 2000) -> str:
        """The end of the log, for an error message."""
        try:
            text = self.log.read_text(errors="replace").strip()
        except OSError:
            return "its log is gone"
        return f"its log ends:\n{text[-characters:]}" if text else "its log is empty"


def directory_for(session: Session, key: object) -> ServerDirectory:
    """The directory in which the server of a session and key is or will be.

    In a folder that all may write to, anybody can take a name beforehand: then the next one is used, by all alike.
    Where none is left, it is one that cannot be used, and ``check`` says why.

    Args:
        session: The training job.
        key: JSON value; equal keys meet.
    """
    name = f"{_session_prefix(session)}{_digest(key)}"
    places = [ServerDirectory(_base() / f"{name}{suffix}") for suffix in _SUFFIXES]
    found = {place: place.path.lstat() for place in places if os.path.lexists(place.path)}
    own = [place for place, is_ in found.items() if stat.S_ISDIR(is_.st_mode) and is_.st_uid == os.getuid()]
    return [*own, *(place for place in places if place not in found), *places][0]


def directories_of(session: Session | None = None) -> list[ServerDirectory]:
    """This user's server directories: all of them, or those of one session.

    What another user has put under such a name is not among them: in a folder that all may write to anybody can, and
    nothing in there is to be believed.
    """
    prefix = _user_prefix() if session is None else _session_prefix(session)
    found = [ServerDirectory(path) for path in sorted(_base().glob(f"{prefix}*"))]
    return [directory for directory in found if directory.is_own()]


def sweep() -> None:
    """Remove what servers that were killed have left behind, together with owners that could not clear up either."""
    for directory in directories_of():
        directory.remove_if_dead()


def _user_prefix() -> str:
    return f"{PREFIX}-{os.getuid()}-"


def _session_prefix(session: Session) -> str:
    return f"{_user_prefix()}{_digest(str(session))}-"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _base() -> Path:
    """The folder for server directories, the same for all processes of a job since they share an environment."""
    longest = len(os.fsencode(f"/{_user_prefix()}{'0' * 12}-{'0' * 12}{_SUFFIXES[-1]}/socket"))
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - private below it
        if (
            candidate
            and Path(candidate).is_absolute()
            and os.access(candidate, os.W_OK)
            and len(os.fsencode(candidate)) + longest <= _MAX_SOCKET_PATH
        ):
            return Path(candidate)
    raise InpaintError(
        f"no folder for the server's socket: {tempfile.gettempdir()!r} is too long for a socket path or not writable;"
        " set XDG_RUNTIME_DIR or TMPDIR to a short writable folder"
    )
