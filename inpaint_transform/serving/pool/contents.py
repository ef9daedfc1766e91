"""What is in a store, within one transaction: looks, the slots that they serve in, counters, and who has to go.

An object has a slot for each of its variants. A slot says which generation of its look serves, how often that was
used, and which generation was tried last.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lmdb

from inpaint_transform.core.edit import Look
from inpaint_transform.core.looks import KEY_BYTES, Kept

_NONE = bytes(KEY_BYTES)
_PAGE = 4096
# A value that is longer has pages of its own.
_INLINE = 2000
# Of a pool behind random crops, whose objects never come again, more are not worth their bytes.
MAX_ASKED = 200_000
# Of max_bytes: what may be taken before old looks go, and what is left then. The rest is for pages in transition.
FULL = 0.85
ROOM = 0.8


@dataclass
class State:
    """What eviction and statistics need to know of an item.

    Attributes:
        born: When it was kept, in seconds since 1970.
        slot: The slot that it belongs to; zeros for none.
        size: Bytes that it takes.
        epoch: The epoch in which it was kept.
    """

    born: float
    slot: bytes
    size: int
    epoch: int

    form = struct.Struct("<d16sIi")

    def pack(self) -> bytes:
        """As a value."""
        return self.form.pack(self.born, self.slot, self.size, self.epoch)

    @classmethod
    def unpack(cls, value: Any) -> State:
        """What ``pack`` wrote."""
        return cls(*cls.form.unpack(value))


@dataclass
class Slot:
    """One variant of one object.

    Attributes:
        generation: Of the look that serves.
        tried: The newest generation that was judged.
        uses: How often the look was used; a rejected one counts too.
        due_since: When it became due, in seconds since 1970; 0 while it is not.
        accepted: Whether the look that serves was accepted.
        look: The key of the look that serves.
        content: The object.
        previous: The key of the look that served before: a sample that has drawn it may be about to ask for it. Zeros
            for none.
    """

    generation: int
    tried: int
    uses: int
    due_since: float
    accepted: bool
    look: bytes
    content: bytes
    previous: bytes = _NONE

    form = struct.Struct("<IIId?16s16s16s")

    def pack(self) -> bytes:
        """As a value."""
        rest = self.due_since, self.accepted, self.look, self.content, self.previous
        return self.form.pack(self.generation, self.tried, self.uses, *rest)

    @classmethod
    def unpack(cls, value: Any) -> Slot:
        """What ``pack`` wrote."""
        return cls(*cls.form.unpack(value))


class Contents:
    """A store's contents in one transaction.

    Args:
        transaction: For reading or writing.
        dbs: The store's parts.
    """

    def __init__(self, transaction: lmdb.Transaction[Any], dbs: Mapping[bytes, Any]) -> None:
        self._transaction = transaction
        self._dbs = dbs

    def item(self, key: bytes) -> memoryview | None:
        """A value that was put; a view in a read transaction."""
        found = self._transaction.get(key, db=self._dbs[b"items"])
        return None if found is None else memoryview(found)

    def state(self, key: bytes) -> State | None:
        """What is known of an item."""
        found = self._transaction.get(key, db=self._dbs[b"states"])
        return None if found is None else State.unpack(found)

    def slot(self, key: bytes) -> Slot | None:
        """A slot, if a look of it has ever been judged."""
        found = self._transaction.get(key, db=self._dbs[b"slots"])
        return None if found is None else Slot.unpack(found)

    def put_slot(self, key: bytes, slot: Slot) -> None:
        """Write a slot."""
        self._transaction.put(key, slot.pack(), db=self._dbs[b"slots"])

    def put(self, key: bytes, value: bytes, slot: bytes | None, epoch: int, now: float) -> None:
        """Keep a value."""
        old = self.state(key)
        size = size_of(value)
        self._transaction.put(key, value, db=self._dbs[b"items"])
        state = State(now, slot or _NONE, size, epoch)
        self._transaction.put(key, state.pack(), db=self._dbs[b"states"])
        self._grow(size - (old.size if old is not None else 0))

    def asked(self, slot_key: bytes) -> bool:
        """Whether a look of a slot was ever missing."""
        return self._transaction.get(slot_key, db=self._dbs[b"asked"]) is not None

    def ask(self, slot_keys: Iterable[bytes]) -> None:
        """Note slots of which a look was missing, as long as there is any sense in it."""
        if self.asked_count() < MAX_ASKED:
            for key in slot_keys:
                self._transaction.put(key, b"", db=self._dbs[b"asked"])

    def asked_count(self) -> int:
        """Of how many slots a look was ever missing."""
        return int(self._transaction.stat(self._dbs[b"asked"])["entries"])

    def settle(self, key: bytes, value: bytes, kept: Kept, look: Look | None, now: float) -> None:
        """Keep a look that was judged, and let it serve if it is the newest of its slot.

        A newer generation that was rejected is forgotten: the look before it serves on, and the next one is tried
        after as many uses again.
        """
        for attempt in range(kept.attempts):
            self.delete(raw_key(key, attempt))
        if look is None or not kept.final:
            self.put(key, value, None, kept.epoch, now)
            return
        slot_key = bytes.fromhex(look.slot)
        slot = self.slot(slot_key)
        if slot is not None and look.generation <= slot.tried:
            return  # another process was faster
        if slot is not None and slot.accepted and not kept.accepted:
            self.delete(key)
            self.put_slot(slot_key, replace(slot, tried=look.generation, uses=0, due_since=0.0))
            return
        if slot is not None:
            self.delete(slot.previous)
        self.put(key, value, slot_key, kept.epoch, now)
        generation, previous = look.generation, slot.look if slot is not None else _NONE
        content = bytes.fromhex(look.content)
        self.put_slot(slot_key, Slot(generation, generation, 0, 0.0, kept.accepted, key, content, previous))

    def use(self, slot_key: bytes, generation: int, times: int, echo: int, now: float) -> None:
        """Count uses of a generation, as long as it serves."""
        slot = self.slot(slot_key)
        if slot is not None and slot.generation == generation:
            uses = slot.uses + times
            due = slot.due_since or (now if uses >= echo else 0.0)
            self.put_slot(slot_key, replace(slot, uses=uses, due_since=due))

    def delete(self, key: bytes) -> int:
        """Forget a value; how many bytes it took."""
        old = self.state(key)
        if old is None:
            return 0
        self._transaction.delete(key, db=self._dbs[b"items"])
        self._transaction.delete(key, db=self._dbs[b"states"])
        self._grow(-old.size)
        return old.size

    @property
    def total_bytes(self) -> int:
        """What the items take."""
        return int(self._transaction.get(b"bytes", b"0", db=self._dbs[b"meta"]))

    def _grow(self, change: int) -> None:
        self._transaction.put(b"bytes", b"%d" % (self.total_bytes + change), db=self._dbs[b"meta"])

    def make_room(self, size: int, echo: int) -> None:
        """Forget about so many bytes: what no longer serves, then due looks, the longest due first, then the oldest."""
        order = []
        for key, state in self.states():
            slot = self.slot(state.slot) if state.slot != _NONE else None
            serves = slot is None or slot.look == key
            due = serves and slot is not None and slot.uses >= echo
            order.append((serves and not due, serves, slot.due_since if slot and due else state.born, key, state.slot))
        early = 0
        for not_due, _, _, key, of in sorted(order):
            if size <= 0:
                break
            size -= self.delete(key)
            early += not_due
            slot = self.slot(of)
            if slot is not None and slot.look == key:
                self._transaction.delete(of, db=self._dbs[b"slots"])
        self.add_counts(b"evicted", Counter(early=early))

    def states(self) -> Iterator[tuple[bytes, State]]:
        """Every item's key and state."""
        with self._transaction.cursor(self._dbs[b"states"]) as cursor:
            for key, value in cursor:
                yield bytes(key), State.unpack(value)

    def slots(self) -> Iterator[tuple[bytes, Slot]]:
        """Every slot."""
        with self._transaction.cursor(self._dbs[b"slots"]) as cursor:
            for key, value in cursor:
                yield bytes(key), Slot.unpack(value)

    def add_counts(self, key: bytes, counts: Mapping[str, int]) -> None:
        """Add to counters."""
        total = Counter(self.counts(key))
        total.update(counts)
        self._transaction.put(key, json.dumps(total).encode(), db=self._dbs[b"counts"])

    def counts(self, key: bytes) -> dict[str, int]:
        """Counters by their names."""
        return dict(json.loads(bytes(self._transaction.get(key, b"{}", db=self._dbs[b"counts"]))))

    def counts_of(self, prefix: bytes) -> dict[str, dict[str, int]]:
        """All counters whose keys begin so, by the rest of the key."""
        found = {}
        with self._transaction.cursor(self._dbs[b"counts"]) as cursor:
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not bytes(key).startswith(prefix):
                        break
                    found[bytes(key)[len(prefix) :].decode()] = dict(json.loads(bytes(value)))
        return found

    def settings(self) -> dict[bytes, str]:
        """With which settings the pool was filled: what is said of each, by its digest."""
        with self._transaction.cursor(self._dbs[b"settings"]) as cursor:
            return {bytes(key): bytes(value).decode() for key, value in cursor}

    def put_settings(self, digest: bytes, words: str) -> None:
        """Note settings with which the pool is filled."""
        self._transaction.put(digest, words.encode(), db=self._dbs[b"settings"])

    def note(self, name: bytes, text: str) -> None:
        """Write something about the whole pool down."""
        self._transaction.put(b"note|" + name, text.encode(), db=self._dbs[b"meta"])

    def noted(self, name: bytes) -> str | None:
        """What ``note`` has written."""
        found = self._transaction.get(b"note|" + name, db=self._dbs[b"meta"])
        return None if found is None else bytes(found).decode()

    def take(self, other: Contents, slot_key: bytes) -> bool:
        """Take a look that serves in another pool, unless one serves here already; whether it was taken."""
        slot = other.slot(slot_key)
        if slot is None or self.slot(slot_key) is not None:
            return False
        value, state = other.item(slot.look), other.state(slot.look)
        if value is None or state is None:
            return False
        self.put(slot.look, bytes(value), slot_key, state.epoch, state.born)
        self.put_slot(slot_key, replace(slot, previous=_NONE))
        return True


def raw_key(key: bytes, attempt: int) -> bytes:
    """Where what was painted in the background lies until it is judged."""
    return key + bytes([min(attempt, 255)])


def size_of(value: bytes) -> int:
    """How many bytes of the file a value takes."""
    return -(-(len(value) + 16) // _PAGE) * _PAGE if len(value) > _INLINE else len(value) + 64
