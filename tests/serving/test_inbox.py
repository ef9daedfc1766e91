"""Messages from other threads to a thread that waits in a selector."""

from __future__ import annotations

import select
import threading

from inpaint_transform.serving.server.inbox import Inbox


def readable(inbox: Inbox, seconds: float = 0.0) -> bool:
    return bool(select.select([inbox.socket], [], [], seconds)[0])


def test_messages_come_in_their_order_and_once() -> None:
    inbox = Inbox()
    assert not readable(inbox)
    for number in range(3):
        inbox.post(number)
    assert readable(inbox)
    assert inbox.take_all() == [0, 1, 2]
    assert not readable(inbox)
    assert inbox.take_all() == []


def test_to_be_woken_is_no_message() -> None:
    inbox = Inbox()
    inbox.wake()
    assert readable(inbox)
    assert inbox.take_all() == []


def test_more_wakes_than_a_socket_holds_block_nobody() -> None:
    inbox = Inbox()
    for _ in range(100_000):
        inbox.wake()
    inbox.post("late")
    assert inbox.take_all() == ["late"]
    assert not readable(inbox)


def test_nothing_is_lost_between_threads() -> None:
    inbox = Inbox()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: [inbox.post(number) for number in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(found) < 4000:
        assert readable(inbox, 30)
        found += inbox.take_all()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(4 * list(range(1000)))
