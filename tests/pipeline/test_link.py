from __future__ import annotations

import threading

from keywarp.pipeline.link import Link


def start(target: object) -> threading.Thread:
    thread = threading.Thread(target=target)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_an_empty_finished_link_ends_at_once() -> None:
    link: Link[int] = Link(2)
    link.finish()
    assert list(link) == []


def test_items_come_in_order_and_what_was_put_before_finish_is_read() -> None:
    link: Link[int] = Link(3)

    def write() -> None:
        for item in range(1000):
            link.put(item)
        link.finish()

    writer = start(write)
    assert list(link) == list(range(1000))
    writer.join(10)
    assert not writer.is_alive()


def test_close_frees_a_writer_that_waits_for_room() -> None:
    link: Link[int] = Link(1)
    assert link.put(1)
    taken: list[bool] = []
    writer = start(lambda: taken.append(link.put(2)))
    link.close()
    writer.join(10)
    assert taken == [False]
    assert list(link) == []


def test_put_newest_drops_the_oldest_and_lets_the_next_one_succeed_it() -> None:
    link: Link[str] = Link(2)
    merge = lambda dropped, following: dropped + following  # noqa: E731
    assert [link.put_newest(item, merge) for item in ("a", "b", "c", "d")] == [None, None, "a", "ab"]
    link.finish()
    assert list(link) == ["abc", "d"]


def test_put_newest_in_a_link_of_one_makes_the_new_item_the_successor() -> None:
    link: Link[str] = Link(1)
    merge = lambda dropped, following: dropped + following  # noqa: E731
    for item in "abc":
        link.put_newest(item, merge)
    link.finish()
    assert list(link) == ["abc"]
