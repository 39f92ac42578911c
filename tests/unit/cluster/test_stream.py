"""One stream: what is kept, what is acknowledged, and how much is said to be lost (design section 6)."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.cluster.harness import forward
from wampha.cluster.frames import Ack, Envelope, FrameError, FrameReader, Resume, read_data
from wampha.cluster.stream import ACK_BYTES, Loss, State, Stream
from wampha.state.commands import Owner

MIB = 1024 * 1024


def new(ring_bytes_max: int = MIB) -> Stream:
    names = itertools.count(7)
    return Stream(
        peer=Owner("n2", 2), draw_name=lambda: next(names), frame_bytes_max=2 * MIB, ring_bytes_max=ring_bytes_max
    )


def flowing(ring_bytes_max: int = MIB) -> Stream:
    """One that has found a fresh peer."""
    stream = new(ring_bytes_max)
    assert stream.connected() == Resume(7, 0, 0, 1, 7)
    assert stream.resume(Resume(100, 0, 0, 1, 100)) == (None, None)
    return stream


def numbers(data: bytes) -> list[int]:
    """The sequence numbers of whole frames."""
    envelopes = [read_data(body) for body in FrameReader(2 * MIB).frames(data)]
    assert all(isinstance(envelope, Envelope) for envelope in envelopes)
    return [envelope.sequence for envelope in envelopes]


def taken(stream: Stream) -> list[int]:
    return numbers(b"".join(iter(lambda: stream.take(MIB), b"")))


def send(stream: Stream, count: int, *, chunks: bool = False) -> None:
    """Send messages, each as a chunk of its own if so wanted."""
    for _ in range(count):
        assert stream.append(forward())
        if chunks:
            assert len(taken(stream)) == 1


def test_nothing_is_sent_before_the_peer_has_said_where_to_go_on():
    stream = new()
    send(stream, 2)
    stream.connected()
    send(stream, 1)
    assert stream.take(MIB) == b""
    stream.resume(Resume(100, 0, 0, 1, 100))
    assert taken(stream) == [1, 2, 3]
    assert stream.waiting == 0


def test_after_a_cut_it_goes_on_in_the_middle_of_what_was_one_write():
    stream = flowing()
    send(stream, 5)
    assert taken(stream) == [1, 2, 3, 4, 5]
    send(stream, 1)
    stream.disconnected()
    send(stream, 1)
    assert stream.connected() == Resume(7, 100, 0, 1, 7)
    assert stream.resume(Resume(100, 7, 3, 1, 100)) == (None, None)
    assert taken(stream) == [4, 5, 6, 7]


def test_a_half_sent_frame_is_sent_again_as_a_whole():
    stream = flowing()
    send(stream, 2)
    stream.take(10)
    assert stream.offset
    stream.connected()
    assert not stream.offset
    stream.resume(Resume(100, 7, 0, 1, 100))
    assert taken(stream) == [1, 2]


def test_what_was_acknowledged_is_not_kept():
    stream = flowing()
    send(stream, 3, chunks=True)
    stream.acknowledged(2)
    stream.disconnected()
    assert stream.connected().first == 3
    assert stream.resume(Resume(100, 7, 2, 1, 100)) == (None, None)
    assert taken(stream) == [3]


def test_what_is_kept_is_not_copied():
    stream = flowing()
    send(stream, 1)
    first = stream.take(MIB)
    stream.connected()
    stream.resume(Resume(100, 7, 0, 1, 100))
    assert stream.take(MIB) is first


def test_what_the_ring_let_go_is_a_loss_of_known_size_at_both_ends():
    stream = flowing(ring_bytes_max=200)
    send(stream, 5, chunks=True)  # of about a hundred bytes each
    resume = stream.connected()
    lost = resume.first - 1
    assert 2 <= lost <= 4
    assert stream.resume(Resume(100, 7, 0, 1, 100)) == (Loss(lost), None)
    assert taken(stream) == list(range(lost + 1, 6))

    other = flowing()
    other.connected()
    assert other.resume(Resume(100, 7, 0, resume.first, 100)) == (None, Loss(lost))
    with pytest.raises(FrameError):
        other.accept(lost, 1)
    assert other.accept(lost + 1, 1) is None


def test_the_newest_chunk_is_kept_even_if_it_is_larger_than_the_ring():
    stream = flowing(ring_bytes_max=200)
    assert stream.append(forward(1, bytes(1000)))
    assert taken(stream) == [1]
    stream.connected()
    assert stream.resume(Resume(100, 7, 0, 1, 100)) == (None, None)
    assert taken(stream) == [1]


def test_giving_up_counts_what_the_peer_has_not_acknowledged_and_later_what_was_refused():
    stream = flowing()
    send(stream, 4, chunks=True)
    stream.acknowledged(1)
    stream.disconnected()
    send(stream, 2)
    assert stream.give_up() == Loss(5)
    assert (stream.state, stream.waiting) == (State.BROKEN, 0)
    assert not stream.append(forward())
    assert not stream.append(forward())
    assert stream.connected() == Resume(8, 100, 0, 9, 7)  # another name: the peer's calls over it end too
    assert stream.resume(Resume(100, 7, 4, 1, 100)) == (Loss(2), None)
    send(stream, 1)
    assert taken(stream) == [9]


def test_what_was_refused_is_told_once_also_if_it_is_given_up_again():
    stream = flowing()
    stream.give_up()
    stream.append(forward())
    stream.connected()
    send(stream, 1)
    assert stream.give_up() == Loss(2)
    stream.connected()
    assert stream.resume(Resume(100, 7, 0, 1, 100)) == (None, None)


def test_a_loss_that_was_told_is_not_told_again():
    stream = flowing()
    stream.give_up()
    stream.append(forward())
    stream.connected()
    assert stream.resume(Resume(100, 7, 0, 1, 100)) == (Loss(1), None)
    assert stream.give_up() == Loss(0)


def test_what_was_refused_is_told_also_if_the_peer_knows_already():
    stream = flowing()
    stream.give_up()
    stream.append(forward())
    assert stream.connected() == Resume(8, 100, 0, 2, 7)
    assert stream.connected() == Resume(8, 100, 0, 2, 7)  # the peer read the first one, its answer never came
    assert stream.resume(Resume(100, 8, 1, 1, 100)) == (Loss(1), None)


def test_that_the_other_gave_up_is_told_though_it_lost_nothing():
    stream = flowing()
    stream.connected()
    assert stream.resume(Resume(101, 7, 0, 1, 100)) == (None, Loss(0))


def test_the_other_s_loss_is_exact():
    stream = flowing()
    for number in (1, 2, 3):
        assert stream.accept(number, 100) is None
    assert stream.connected().received == 3
    assert stream.resume(Resume(101, 7, 0, 9, 100)) == (None, Loss(5))
    assert stream.accept(9, 100) is None


@pytest.mark.parametrize("acknowledged", [0, 2])
def test_a_peer_that_forgot_is_not_sent_what_it_may_have_had(acknowledged):
    stream = flowing()
    send(stream, 3, chunks=True)
    if acknowledged:
        stream.acknowledged(acknowledged)
    stream.accept(1, 10)
    stream.connected()
    send(stream, 1)
    ours, theirs = stream.resume(Resume(200, 0, 0, 1, 200))
    assert (ours, theirs) == (Loss(3 - acknowledged), Loss(None))
    assert taken(stream) == [4]
    assert stream.accept(1, 10) is None


def test_a_peer_that_gave_up_before_it_heard_anything_has_not_forgotten():
    stream = flowing()
    send(stream, 3, chunks=True)
    stream.connected()
    assert stream.resume(Resume(101, 0, 0, 1, 100)) == (None, Loss(0))
    assert taken(stream) == [1, 2, 3]


def test_a_peer_that_forgot_before_it_acknowledged_anything_gets_nothing_twice():
    stream = flowing()
    send(stream, 3, chunks=True)
    stream.disconnected()
    send(stream, 1)
    stream.connected()
    assert stream.resume(Resume(200, 0, 0, 1, 200)) == (Loss(3), Loss(0))
    assert taken(stream) == [4]
    assert stream.waiting == 0
    assert stream.give_up() == Loss(1)


def test_a_peer_that_never_heard_of_the_stream_gets_all_of_it():
    stream = flowing()
    send(stream, 2, chunks=True)  # into a connection that is cut before its first byte arrives
    stream.connected()
    assert stream.resume(Resume(100, 0, 0, 1, 100)) == (None, None)
    assert taken(stream) == [1, 2]


def test_frames_that_were_never_sent_cannot_be_acknowledged():
    stream = flowing()
    send(stream, 2)
    with pytest.raises(FrameError, match="frame 1 is acknowledged, 0 were sent"):
        stream.acknowledged(1)
    stream.connected()
    with pytest.raises(FrameError):
        stream.resume(Resume(100, 7, 2, 1, 100))


def test_a_connection_resumes_once_and_before_anything_else():
    stream = new()
    stream.connected()
    with pytest.raises(FrameError, match="before"):
        stream.accept(1, 10)
    stream.resume(Resume(100, 0, 0, 1, 100))
    with pytest.raises(FrameError, match="second"):
        stream.resume(Resume(100, 0, 0, 1, 100))


def test_a_frame_that_came_already_is_refused():
    stream = flowing()
    stream.accept(1, 10)
    with pytest.raises(FrameError):
        stream.accept(1, 10)


def test_acknowledgements_are_few():
    stream = flowing()
    assert stream.ack() is None
    stream.accept(1, 100)
    assert not stream.ack_due
    assert stream.ack() == Ack(1)
    assert stream.ack() is None
    stream.accept(2, ACK_BYTES)
    assert stream.ack_due
    assert stream.ack() == Ack(2)
    assert not stream.ack_due


def test_a_message_that_cannot_be_written_takes_no_number():
    stream = flowing()
    with pytest.raises(FrameError):
        stream.append(forward(1, bytes(3 * MIB)))
    send(stream, 1)
    assert taken(stream) == [1]


def test_waiting_is_what_the_connection_was_not_given():
    stream = flowing()
    assert stream.append(forward(1, bytes(MIB + 1)))
    before = stream.waiting
    assert len(stream.take(1000)) == 1000
    assert stream.waiting == before - 1000
    stream.disconnected()
    assert stream.waiting == before
    stream.give_up()
    assert stream.waiting == 0


def test_waiting_frames_are_joined_into_pieces():
    stream = new()
    for number in range(30):
        stream.append(forward(number, bytes(100_000)))
    assert [MIB < len(data) < MIB + 200_000 for _, data in stream._ready] == [True, True]
    assert len(stream._gathered) < MIB
