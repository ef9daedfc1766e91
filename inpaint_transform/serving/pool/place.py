"""The place of a pool: a folder of its own on a local disk."""

from __future__ import annotations

import os
from pathlib import Path

from inpaint_transform.core.errors import InpaintError

DATA = "data.mdb"
LOCK = "lock.mdb"
# File systems that several machines reach: LMDB's locks and its map of the file do not hold across them.
NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "pvfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.gcsfuse", "fuse.s3fs", "fuse.juicefs", "fuse.rclone"),
}
_MOUNTS = Path("/proc/self/mounts")


def check_place(path: Path, frozen: bool) -> None:
    """Refuse a folder in which no pool can be or be made.

    Args:
        path: The pool's folder, which need not exist unless it is frozen.
        frozen: Whether it is only read.

    Raises:
        InpaintError: The message names the path and the mend.
    """
    if path.exists() and not path.is_dir():
        raise InpaintError(f"reuse has path={str(path)!r}, which is a file: give a folder of its own for the pool")
    if frozen:
        if not (path / DATA).exists():
            raise InpaintError(
                f"reuse has path={str(path)!r}, frozen=True: there is no pool; fill one with 'inpaint-transform "
                f"paint-ahead', or leave frozen out"
            )
        return
    kind = file_system(path)
    if kind in NETWORK:
        raise InpaintError(
            f"reuse has path={str(path)!r}, which lies on a network file system ({kind}), where a pool that is written "
            f"to is not safe: give a folder on a local disk, or read a filled pool there with frozen=True"
        )
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    # Whoever is just making a pool here has made its lock already.
    if names and not names & {DATA, LOCK}:
        raise InpaintError(
            f"reuse has path={str(path)!r}: other files lie there and no pool; give an empty or new folder"
        )


def file_system(path: Path) -> str:
    """The type of the file system on which a path is or would be made; empty where the system does not tell."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    place = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Blanks in names are written in octal.
        point = fields[1].encode().decode("unicode_escape")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
