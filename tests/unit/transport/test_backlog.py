"""What waits for a client that does not read: order, what may be dropped, and what it takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wampha.routing.slow import SlowPolicy
from wampha.transport.backlog import FRAME_OVERHEAD_BYTES, Backlog


def all_of(backlog: Backlog) -> list[bytes]:
    taken = []
    while backlog:
        taken.append(backlog.take())
    return taken


def mixed(policy: SlowPolicy) -> Backlog:
    backlog = Backlog(policy)
    backlog.owe(b"reply 1")
    backlog.add([b"event 1", b"event 2"])
    backlog.owe(b"reply 2")
    backlog.add([b"event 3"])
    backlog.owe(b"reply 3")
    return backlog


def test_everything_leaves_in_the_order_in_which_it_came() -> None:
    expected = [b"reply 1", b"event 1", b"event 2", b"reply 2", b"event 3", b"reply 3"]
    assert all_of(mixed(SlowPolicy.DISCONNECT)) == expected


def test_the_oldest_events_go_and_nothing_else() -> None:
    backlog = mixed(SlowPolicy.DROP_OLDEST)
    assert backlog.drop(2 * (7 + FRAME_OVERHEAD_BYTES)) == 2
    assert all_of(backlog) == [b"reply 1", b"reply 2", b"event 3", b"reply 3"]


def test_the_newest_events_go_and_nothing_else() -> None:
    backlog = mixed(SlowPolicy.DROP_NEWEST)
    assert backlog.drop(2 * (7 + FRAME_OVERHEAD_BYTES)) == 2
    assert all_of(backlog) == [b"reply 1", b"event 1", b"reply 2", b"reply 3"]


def test_an_event_does_not_overtake_a_reply_in_the_place_of_a_dropped_one() -> None:
    backlog = Backlog(SlowPolicy.DROP_NEWEST)
    backlog.add([b"event 1"])
    backlog.owe(b"SUBSCRIBED")
    backlog.drop(1)
    backlog.add([b"event of that subscription"])
    assert all_of(backlog) == [b"SUBSCRIBED", b"event of that subscription"]


def test_small_frames_count_with_what_python_adds_to_them() -> None:
    backlog = Backlog(SlowPolicy.DROP_OLDEST)
    backlog.add([b"x"] * 1000)
    assert backlog.frame_bytes == 1000
    assert backlog.held_bytes == 1000 * (1 + FRAME_OVERHEAD_BYTES)
    assert backlog.owed_held_bytes == 0


steps = st.lists(st.one_of(st.tuples(st.just("event"), st.integers(1, 9)), st.sampled_from(["reply", "take", "drop"])))


@given(steps, st.sampled_from([SlowPolicy.DROP_NEWEST, SlowPolicy.DROP_OLDEST]))
def test_what_leaves_is_a_part_of_what_came_in_order_with_every_reply(
    steps: list[str | tuple[str, int]], policy: SlowPolicy
) -> None:
    backlog, came, left, dropped = Backlog(policy), [], [], 0
    for number, step in enumerate(steps):
        if step == "take":
            left += [backlog.take()] if backlog else []
        elif step == "drop":
            dropped += backlog.drop(100)
        elif step == "reply":
            came.append(b"R%d" % number)
            backlog.owe(came[-1])
        else:
            events = [b"E%d.%d" % (number, each) for each in range(step[1])]
            came += events
            backlog.add(events)
    left += all_of(backlog)
    assert len(left) == len(came) - dropped
    remaining = iter(came)
    assert all(frame in remaining for frame in left)
    assert [each for each in left if each[:1] == b"R"] == [each for each in came if each[:1] == b"R"]
    assert (backlog.held_bytes, backlog.frame_bytes, backlog.owed_held_bytes) == (0, 0, 0)
