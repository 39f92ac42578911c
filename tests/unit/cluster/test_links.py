"""Links between nodes: who dials, which connection counts, what is told and in which order."""

from __future__ import annotations

import pytest

from tests.unit.cluster.harness import VOTERS, Network, Peer, Puppet, Wire, data_puppet, forward, member, settle
from wampha.cluster.frames import KEEP_ALIVE, Ack, Envelope, FrameError, FrameReader, append_envelope, framed, read_data
from wampha.cluster.handshake import Channel
from wampha.cluster.streams import GONE_MAX
from wampha.cluster.window import WAIT_MAX_S
from wampha.limits import Limits
from wampha.messages.payload import NOTHING
from wampha.messages.relayed import Answer, Reply
from wampha.state.commands import Owner

MIB = 1024 * 1024


def _pair(network: Network, **changes) -> tuple[Peer, Peer]:
    """n1 accepts, n2 dials; `changes` are n1's."""
    one, two = Peer(network, "n1", **changes).start(), Peer(network, "n2").start()
    settle(network.clock)
    one.take(), two.take()
    return one, two


def _data_frame(owner: Owner, sequence: int, relayed=None) -> bytes:
    buffer = bytearray()
    append_envelope(buffer, Envelope(owner.incarnation, sequence, relayed or forward(sequence)), 17 * MIB)
    return bytes(buffer)


# ---- coming up


def test_both_sides_hear_that_the_other_is_up_with_its_life_and_incarnation(network, logged):
    one, two = Peer(network, "n1").start(), Peer(network, "n2").start()
    settle(network.clock)
    assert one.take() == [("up", "n2", *two.identity)]
    assert two.take() == [("up", "n1", *one.identity)]
    assert one.counters["link_connects"] == two.counters["link_connects"] == 2
    assert sum("link to n2" in line and line.endswith("is up") for line in logged) == 2


def test_nagle_is_off_at_both_ends(network):
    _pair(network)
    assert len(network.pipes) == 2
    assert all(wire.nodelay for ends in network.pipes for wire in ends)


# ---- frames


def test_messages_arrive_in_order_and_each_chunk_ends(network):
    one, two = _pair(network)
    for number in range(3):
        assert one.links.forward(two.owner, forward(number))
    settle(network.clock)
    assert two.take() == [*(("data", one.owner, forward(number)) for number in range(3)), ("chunk",)]
    assert two.counters["forwards_received"] == one.counters["forwards_sent"] == 3


def test_ten_thousand_messages_arrive_once_and_in_order(network):
    one, two = _pair(network)
    for number in range(10_000):
        assert one.links.forward(two.owner, forward(number))
    settle(network.clock)
    assert [told[2].publication for told in two.of_kind("data")] == list(range(10_000))


def test_a_turn_is_one_write_per_link(network):
    one, two = _pair(network)
    ends = [wire for pair in network.pipes for wire in pair]
    before = sum(len(wire.written) for wire in ends)
    for number in range(50):
        one.links.forward(two.owner, forward(number))
        one.links.send_control("n2", b"raft")
    settle(network.clock)
    assert sum(len(wire.written) for wire in ends) - before == 2


def test_a_flush_writes_before_the_turn_ends(network):
    one, two = _pair(network)
    one.links.forward(two.owner, forward())
    before = [len(wire.written) for pair in network.pipes for wire in pair]
    one.links.flush()
    assert sum(len(wire.written) for pair in network.pipes for wire in pair) == sum(before) + 1
    settle(network.clock)
    assert len(two.of_kind("data")) == 1


def test_what_a_chunk_causes_is_written_at_its_end(network):
    answer = Reply(1, Answer.RESULT, "", {}, NOTHING)
    one = Peer(network, "n1", on_data=lambda owner, relayed: one.links.forward(owner, answer)).start()
    data = data_puppet(network)
    written = data.accepted.transport.written
    before = len(written)
    data.accepted.dataReceived(_data_frame(one.owner, 1) + _data_frame(one.owner, 2))
    assert len(written) == before + 1  # both answers, in this turn


def test_control_frames_are_opaque_and_keep_their_order(network):
    one, two = _pair(network)
    frames = [b"\xc1", b"GET /", bytes(100_000), b"x"]
    for frame in frames:
        assert two.links.send_control("n1", frame)
    settle(network.clock)
    assert one.take() == [("control", "n2", frame) for frame in frames]


def test_a_message_of_16_mib_arrives_while_control_goes_on(network):
    one, two = _pair(network)
    assert one.links.forward(two.owner, forward(1, bytes(16 * MIB - 1)))
    assert one.links.send_control("n2", b"beat")
    settle(network.clock)
    kinds = [told[0] for told in two.told]
    assert kinds == ["control", "data", "chunk"]
    assert len(two.told[1][2].payload.data) == 16 * MIB - 1


def test_without_a_link_nothing_is_taken(network):
    one, _two = _pair(network)
    assert not one.links.forward(Owner("n2", 4711), forward())
    assert not one.links.forward(Owner("n3", 1), forward())
    assert not one.links.send_control("n3", b"x")
    assert one.counters["forwards_unsendable"] == 2


def test_nothing_waits_for_a_node_that_was_dead_before_it_was_linked(network, clock):
    one, _two = _pair(network)
    one.links.owner_up(Owner("n3", 1))
    one.links.owner_dead(Owner("n3", 1))
    assert not one.links.forward(Owner("n3", 1), forward())
    settle(clock, 5)
    assert one.of_kind("gap", "lost") == []


def test_a_message_that_cannot_be_written_is_refused_and_the_link_stays(network):
    one, two = _pair(network)
    assert not one.links.forward(two.owner, Reply(1, Answer.RESULT, "", {"n": 2**70}, NOTHING))
    assert not one.links.forward(two.owner, forward(1, bytes(18 * MIB)))
    assert one.links.forward(two.owner, forward(2))
    assert not one.links.send_control("n2", bytes(18 * MIB))
    settle(network.clock)
    assert [told[2] for told in two.of_kind("data")] == [forward(2)]
    assert one.counters["forwards_unsendable"] == 2


def test_frames_for_another_incarnation_are_dropped_and_counted(network):
    one = Peer(network, "n1").start()
    Puppet(member()).connect(network)
    data = data_puppet(network)
    data.transport.write(_data_frame(Owner("n1", 4711), 1) + _data_frame(one.owner, 2))
    settle(network.clock)
    assert [told[2] for told in one.of_kind("data")] == [forward(2)]
    assert one.counters["forwards_misaddressed"] == 1


@pytest.mark.parametrize(
    "frame",
    [framed(b"\xc1"), b"\x80\0\0\0", framed(b"\x94\x01\x01\x01\x97\x01"), framed(b"\x91" * 5000)],
    ids=["no msgpack", "2 GiB", "cut short", "deep"],
)
def test_a_proven_peer_that_sends_nonsense_is_reset_and_nothing_else(network, logged, frame):
    one, _two = _pair(network)
    Puppet(member("n3")).connect(network)
    data = data_puppet(network, "n3")
    data.transport.write(_data_frame(one.owner, 1) + frame + _data_frame(one.owner, 2))
    settle(network.clock)
    assert one.of_kind("data", "lost") == [("data", Owner("n3", 2), forward(1))]
    assert data.closed
    assert one.counters["link_frames_refused"] == 1
    assert one.links.connected() == ["n2", "n3"]
    assert sum("is reset" in line for line in logged) == 1


def test_a_sequence_that_does_not_ascend_resets_the_link(network):
    one = Peer(network, "n1").start()
    data = data_puppet(network)
    data.transport.write(_data_frame(one.owner, 1) + _data_frame(one.owner, 2) + _data_frame(one.owner, 2))
    settle(network.clock)
    assert len(one.of_kind("data")) == 2
    assert data.closed
    assert one.counters["link_frames_refused"] == 1


# ---- going down


def test_a_lost_connection_is_told_once_and_dialled_again(network, clock):
    one, two = _pair(network)
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    assert two.take() == [("down", "n1")]
    assert one.take() == [("down", "n2")]
    assert one.counters["link_losses"] == two.counters["link_losses"] == 2
    settle(clock, 0.3)
    assert one.take() == [("up", "n2", *two.identity)]
    assert one.links.forward(two.owner, forward())


def test_data_is_not_dialled_while_control_is_down(network, clock):
    one, two = _pair(network)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    before = len(network.dials)
    settle(clock, 5)
    assert len(network.dials) - before <= 13  # two dialers would make 18 or more
    network.down.clear()
    two.take()
    dials = len(network.dials)
    while not two.links.connected():
        settle(clock, 0.05)
    assert len(network.dials) == dials + 2
    assert two.take() == [("up", "n1", *one.identity), ("lost", one.owner)]  # both had given up
    assert one.links.forward(two.owner, forward())


def test_a_lost_data_connection_leaves_control_alone_and_what_is_sent_meanwhile_arrives(network, clock):
    one, two = _pair(network)
    one.links.forward(two.owner, forward(1))
    network.pipes[1][0].abortConnection()
    settle(clock)
    assert one.links.forward(two.owner, forward(2))
    settle(clock, 0.2)
    assert one.links.forward(two.owner, forward(3))
    settle(clock)
    assert one.take() == []
    assert [told[2].publication for told in two.take() if told[0] == "data"] == [1, 2, 3]
    assert one.counters["link_resumes"] == two.counters["link_resumes"] == 1
    assert one.counters["link_gaps"] == two.counters["link_gaps"] == 0


def test_what_was_written_to_a_connection_that_died_silently_is_sent_again_once(network, clock):
    one, two = _pair(network)
    near, far = network.pipes[1]
    for number in range(1, 4):
        one.links.forward(two.owner, forward(number))
    settle(clock)
    near.blocked = far.blocked = True  # from here on nothing arrives, and nobody is told
    for number in range(4, 7):
        one.links.forward(two.owner, forward(number))
    settle(clock, 4)
    assert [told[2].publication for told in two.of_kind("data")] == [1, 2, 3, 4, 5, 6]
    assert one.of_kind("lost", "gap") == two.of_kind("lost", "gap") == []


def test_an_end_that_notices_later_than_the_other_resumes_too(network, clock):
    one, two = _pair(network)
    near, far = network.pipes[1]
    far.other = Wire(clock, "nowhere")  # what the acceptor writes goes nowhere, and the close of the dialer is not seen
    far.other.protocol, far.other.other = Puppet(), far
    near.other = Wire(clock, "nobody")
    near.other.protocol, near.other.other = Puppet(), near
    for number in range(3):
        one.links.forward(two.owner, forward(number))
        two.links.forward(one.owner, forward(number))
    near.abortConnection()
    settle(clock, 1)
    assert [told[2].publication for told in two.of_kind("data")] == [0, 1, 2]
    assert [told[2].publication for told in one.of_kind("data")] == [0, 1, 2]


def test_a_link_that_does_not_come_back_in_time_is_a_gap_that_everyone_is_told(network, clock, logged):
    one, two = _pair(network)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    for number in range(3):
        assert one.links.forward(two.owner, forward(number))
    settle(clock, 2.6)
    assert one.of_kind("gap", "lost") == []
    settle(clock, 0.5)
    assert one.of_kind("gap", "lost") == [("gap", "n1", "n2", 3), ("lost", two.owner)]
    assert two.of_kind("gap", "lost") == [("lost", one.owner)]  # nothing of it was on its way
    assert sum("3 frame(s) at most to n2 are lost" in line for line in logged) == 1
    assert not one.links.forward(two.owner, forward(3))
    one.take(), two.take()
    network.down.clear()
    settle(clock, 2)
    assert two.of_kind("gap", "lost") == [("gap", "n1", "n2", 4), ("lost", one.owner)]
    assert one.of_kind("gap", "lost") == [("lost", two.owner), ("gap", "n1", "n2", 1), ("lost", two.owner)]
    assert (one.counters["link_gaps"], one.counters["link_frames_lost"]) == (1, 4)  # one cut is one gap
    assert (two.counters["link_gaps"], two.counters["link_frames_lost"]) == (1, 4)
    assert one.links.forward(two.owner, forward(4))
    settle(clock)
    assert [told[2].publication for told in two.of_kind("data")] == [4]


@pytest.mark.parametrize("phase_s", [0.0, 0.15, 0.3, 0.45])
def test_a_link_is_waited_for_exactly_as_long_whenever_it_is_lost(network, clock, phase_s):
    one, two = _pair(network)
    settle(clock, phase_s)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock, WAIT_MAX_S - 0.1)
    assert one.of_kind("lost") == two.of_kind("lost") == []
    settle(clock, 0.2)
    assert one.of_kind("lost") == [("lost", two.owner)]
    assert two.of_kind("lost") == [("lost", one.owner)]


def test_time_in_which_this_process_stood_still_is_not_waited(network, clock):
    one, two = _pair(network)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock, 0.5)
    clock.advance(30)
    settle(clock, 0.5)
    network.down.clear()
    settle(clock, 1.1)
    assert one.of_kind("lost") == two.of_kind("lost") == []


def test_the_next_cut_is_another_gap(network, clock):
    one, two = _pair(network)
    for count in (1, 2):
        network.down.add("one:1")
        for near, _far in list(network.pipes):
            near.abortConnection()
        settle(clock)
        one.links.forward(two.owner, forward(count))
        settle(clock, 3)
        network.down.clear()
        settle(clock, 2)
        assert one.counters["link_gaps"] == two.counters["link_gaps"] == count


def test_what_is_for_a_member_waits_for_its_first_link(network, clock):
    one, two = Peer(network, "n1").start(), Peer(network, "n2")
    one.links.owner_up(two.owner)
    assert one.links.forward(two.owner, forward(1))
    two.start()
    settle(clock, 1)
    assert [told[2].publication for told in two.of_kind("data")] == [1]
    assert one.of_kind("gap", "lost") == two.of_kind("gap", "lost") == []


def test_that_a_member_without_a_link_gets_nothing_is_told_once(network, clock, logged):
    one, two = Peer(network, "n1").start(), Peer(network, "n2")
    one.links.owner_up(two.owner)
    settle(clock, 3.5)
    assert one.of_kind("gap") == []  # nothing was for it
    for number in range(3):
        assert not one.links.forward(two.owner, forward(number))
    settle(clock)
    assert one.of_kind("gap") == [("gap", "n1", "n2", None)]
    two.start()
    settle(clock, 1)
    assert one.of_kind("gap") == [("gap", "n1", "n2", None), ("gap", "n1", "n2", 3)]  # now it is known how many
    assert one.counters["link_frames_lost"] == 3
    assert one.counters["link_gaps"] == 1


def test_a_gap_is_told_before_anything_that_comes_behind_it(network, clock):
    one, two = _pair(network, limits=_small())
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    sent = sum(one.links.forward(two.owner, forward(number, bytes(100_000))) for number in range(60))
    settle(clock)
    assert one.of_kind("gap", "lost") == [("gap", "n1", "n2", sent + 1), ("lost", two.owner)]
    two.take()
    network.down.clear()
    settle(clock, 1.5)
    one.links.forward(two.owner, forward(60))
    settle(clock)
    assert [told[:1] for told in two.told if told[0] in ("gap", "data")] == [("gap",), ("data",)]


def test_what_was_sent_beyond_the_ring_is_a_gap_if_the_link_is_cut(network, clock):
    one, two = _pair(network, limits=_small(link_ring_bytes_max=MIB))
    for near, far in network.pipes[1:]:
        near.blocked = far.blocked = True
    far._producer = None  # this transport takes everything
    for number in range(3):
        one.links.forward(two.owner, forward(number, bytes(MIB)))
        one.links.flush()
    network.pipes[1][0].abortConnection()
    settle(clock, 1)
    assert one.of_kind("gap", "lost") == [("gap", "n1", "n2", 2), ("lost", two.owner)]
    assert two.of_kind("gap", "lost") == [("gap", "n1", "n2", 2), ("lost", one.owner)]
    assert [told[2].publication for told in two.of_kind("data")] == [2]
    assert one.counters["link_gaps"] == two.counters["link_gaps"] == 1


def test_a_dead_incarnation_is_no_gap_and_nothing_is_kept_for_it(network, clock):
    one, two = _pair(network)
    two.links.stop()
    settle(clock)
    one.links.forward(two.owner, forward(1))
    one.links.owner_dead(two.owner)
    assert not one.links.forward(two.owner, forward(2))
    settle(clock, 5)
    assert one.of_kind("gap", "lost") == []


def test_a_dead_incarnation_that_still_talks_is_forgotten_when_its_link_ends(network, clock):
    one, two = _pair(network)
    one.links.owner_dead(two.owner)
    assert one.links.forward(two.owner, forward(1))
    two.links.stop()
    settle(clock)
    assert not one.links.forward(two.owner, forward(2))
    settle(clock, 5)
    assert one.of_kind("gap", "lost") == []


def test_a_dead_incarnation_that_comes_back_says_nothing_twice(network, clock):
    one, two = _pair(network)
    two.links.forward(one.owner, forward(1))
    settle(clock)
    one.links.owner_dead(two.owner)
    two.links.forward(one.owner, forward(2))
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock, 1)
    assert [told[2].publication for told in one.of_kind("data")] == [1, 2]


def test_a_death_that_a_snapshot_tells_is_no_gap(network, clock):
    one, two = _pair(network)
    three = Owner("n3", 7)
    one.links.owner_up(two.owner)
    one.links.owner_up(three)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    assert one.links.forward(two.owner, forward(1))
    assert one.links.forward(three, forward(1))
    one.links.members([three])
    assert not one.links.forward(two.owner, forward(2))
    assert one.links.forward(three, forward(2))
    settle(clock, 4)
    assert one.of_kind("gap") == [("gap", "n1", "n3", 2)]


def test_a_peer_that_was_linked_before_the_ledger_named_it_is_not_dead_by_a_snapshot_without_it(network, clock):
    one, two = _pair(network)
    one.links.members([])
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    assert one.links.forward(two.owner, forward(1))
    settle(clock, 1)
    assert [told[2].publication for told in two.of_kind("data")] == [1]


def _lose_many(peer: Peer, count: int) -> None:
    for number in range(count):
        peer.links.owner_up(Owner(f"pod-{number}", number))
        peer.links.owner_dead(Owner(f"pod-{number}", number))


def test_memory_of_those_that_are_gone_is_bounded(network, clock):
    one, two = _pair(network)
    settle(clock)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock, 4)
    assert not one.links.forward(two.owner, forward(1))
    one.take()
    _lose_many(one, GONE_MAX + 50)
    streams = one.links._streams
    assert len(streams._entries) == len(streams._streams) == len(streams._gone) == GONE_MAX
    assert two.owner in streams._entries  # the ledger may still count on it
    for number in range(GONE_MAX):
        one.links.owner_up(Owner(f"cut-off-{number}", number))
    settle(clock, 4)
    assert len(streams._entries) == len(streams._gone) == GONE_MAX
    assert two.owner not in streams._entries
    assert one.of_kind("gap") == [("gap", "n1", "n2", None), ("gap", "n1", "n2", 1)]  # not in silence


def test_who_was_forgotten_says_nothing_twice_and_what_may_be_lost_is_told(network, clock):
    one, two = _pair(network)
    one.links.forward(two.owner, forward(1))
    settle(clock)
    two.links.owner_dead(one.owner)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    one.links.forward(two.owner, forward(2))
    _lose_many(two, GONE_MAX)
    assert one.owner not in two.links._streams._entries
    network.down.clear()
    settle(clock, 1)
    assert [told[2].publication for told in two.of_kind("data")] == [1, 2]
    assert one.of_kind("gap") == [("gap", "n1", "n2", 1)]  # it was not acknowledged


def test_a_member_that_never_says_what_it_resumes_is_cut_off(network, clock, logged):
    one = Peer(network, "n1").start()
    Puppet(member()).connect(network)
    puppet = Puppet(member(channel=Channel.DATA)).connect(network)
    for _ in range(8):
        puppet.transport.write(KEEP_ALIVE)
        settle(clock, 0.5)
    assert puppet.closed
    assert any("does not say what it resumes" in line for line in logged)
    assert one.counters["link_gaps"] == 0


def test_received_frames_are_acknowledged_with_the_next_keep_alive(network, clock):
    one = Peer(network, "n1").start()
    puppet = data_puppet(network)
    puppet.transport.write(_data_frame(one.owner, 1) + _data_frame(one.owner, 2))
    settle(clock)
    puppet.heard.clear()
    settle(clock, 1.1)
    assert [read_data(body) for body in puppet.heard if body] == [Ack(2)]
    assert b"" in puppet.heard


def test_many_received_bytes_are_acknowledged_at_once(network, clock):
    one = Peer(network, "n1").start()
    puppet = data_puppet(network)
    puppet.heard.clear()
    puppet.transport.write(_data_frame(one.owner, 1, forward(1, bytes(2 * MIB))))
    settle(clock)
    assert [read_data(body) for body in puppet.heard if body] == [Ack(1)]


def test_the_older_of_two_connections_is_closed_before_the_younger_is_told(network):
    one = Peer(network, "n1").start()
    first = Puppet(member()).connect(network)
    data_puppet(network)
    one.take()
    second = Puppet(member()).connect(network)
    assert one.take() == [("down", "n2"), ("up", "n2", 1, 2)]
    assert first.closed and not second.closed


def test_frames_of_a_superseded_connection_are_never_delivered(network, clock):
    one = Peer(network, "n1").start()
    first = Puppet(member()).connect(network)
    first.transport.write(framed(b"before"))
    settle(clock)
    Puppet(member()).connect(network)
    one.take()
    first.accepted.dataReceived(framed(b"from the grave"))
    assert one.take() == []


def test_an_unproven_second_connection_disturbs_nothing(network):
    one, two = _pair(network)
    Puppet(member(secret=b"guessed")).connect(network)
    Puppet(member(channel=Channel.DATA, secret=b"guessed")).connect(network)
    assert one.take() == []
    assert one.links.forward(two.owner, forward())


@pytest.mark.parametrize("channel", Channel)
def test_another_incarnation_ends_the_older_one_on_both_channels(network, channel):
    one = Peer(network, "n1").start()
    Puppet(member(identity=(1, 2))).connect(network)
    Puppet(member(identity=(1, 2), channel=Channel.DATA)).connect(network)
    one.take()
    Puppet(member(identity=(1, 3), channel=channel)).connect(network)
    told = one.take()
    assert sorted(told[:2]) == [("down", "n2"), ("lost", Owner("n2", 2))]
    assert told[2:] == []
    other = Channel.DATA if channel is Channel.CONTROL else Channel.CONTROL
    Puppet(member(identity=(1, 3), channel=other)).connect(network)
    assert one.take() == [("up", "n2", 1, 3)]


def test_a_peer_is_up_when_both_channels_are(network):
    one = Peer(network, "n1").start()
    Puppet(member()).connect(network)
    assert one.take() == [] and one.links.connected() == []
    data_puppet(network)
    assert one.take() == [("up", "n2", 1, 2)]


def test_control_frames_that_come_before_the_data_link_are_kept_in_order(network, clock):
    one = Peer(network, "n1").start()
    puppet = Puppet(member()).connect(network)
    puppet.transport.write(framed(b"early") + framed(b"bird"))
    settle(clock)
    assert one.take() == []
    data_puppet(network)
    assert [event[0] for event in one.take()] == ["up", "control", "control"]


def test_a_peer_whose_data_link_does_not_come_up_is_cut_off(network, clock):
    one = Peer(network, "n1").start()
    puppet = Puppet(member()).connect(network)
    puppet.transport.write(framed(b"ping") * 101)
    settle(clock)
    assert puppet.closed
    assert one.take() == []
    assert one.counters["link_losses"] == 1


def test_a_changed_identity_shakes_hands_anew_and_ends_the_old_one_elsewhere(network, clock):
    one, two = _pair(network)
    old, two.identity = two.owner, (7, 8)
    two.links.identity_changed()
    assert not two.links.send_control("n1", b"x")
    assert two.take() == []  # told in a later turn
    settle(clock, 0.2)
    told = one.take()
    assert set(told[:2]) == {("down", "n2"), ("lost", old)}
    assert told[2:] == [("up", "n2", 7, 8)]
    assert one.links.forward(Owner("n2", 8), forward())


def test_a_silent_peer_is_cut_after_two_seconds_on_both_channels(network, clock, logged):
    one, _two = _pair(network)
    for near, far in network.pipes:
        near.blocked = far.blocked = True
    settle(clock, 1.9)
    assert one.take() == []
    settle(clock, 0.7)
    assert [kind for kind, *_ in one.take()] == ["down"]
    assert sum("nothing came from it for 2 s" in line for line in logged) >= 2
    assert one.counters["link_losses"] == 2


def test_an_idle_link_stays_up(network, clock):
    one, two = _pair(network)
    settle(clock, 20)
    assert one.take() == two.take() == []


def test_a_pause_of_this_process_is_not_held_against_its_peers(network, clock):
    one, two = _pair(network)
    clock.advance(4)  # nothing ran for four seconds: then one late tick, before any socket is read
    assert one.take() == two.take() == []
    settle(clock, 3)
    assert one.take() == two.take() == []


# ---- more than this node handles in a turn


class Sated:
    """Whose links are stopped behind each `each`-th message; they go on when `go_on` is called."""

    def __init__(self, network: Network, each: int = 3) -> None:
        self._each = each
        self._link = None
        self.stopped = []
        self.one, self.two = _pair(network, on_chunk=self._begin, on_data=self._hear, on_chunk_end=self._end)
        self.heard = []

    def _begin(self, link) -> None:
        assert self._link is None
        self._link = link

    def _hear(self, owner, relayed) -> None:
        assert self._link is not None, "each group has a begin"
        self.heard.append(relayed.publication)
        if len(self.heard) % self._each == 0:
            self._link.stop_flow()
            self.stopped.append(self._link)

    def _end(self) -> None:
        self._link = None

    def go_on(self) -> None:
        stopped, self.stopped = self.stopped, []
        for link in stopped:
            link.resume()


def _send(peer: Peer, to: Peer, numbers) -> None:
    for number in numbers:
        assert peer.links.forward(to.owner, forward(number))


def test_a_link_that_is_stopped_hands_over_no_more_and_goes_on_in_order(network):
    sated = Sated(network)
    _send(sated.two, sated.one, range(10))
    settle(network.clock)
    assert sated.heard == [0, 1, 2]
    (wire,) = [link.transport for link in sated.stopped]
    assert not wire.reading
    _send(sated.two, sated.one, range(10, 12))  # they wait in the network
    settle(network.clock)
    for count in (6, 9, 12):
        sated.go_on()
        settle(network.clock)
        assert sated.heard == list(range(count))
    sated.go_on()
    _send(sated.two, sated.one, [12])
    settle(network.clock)
    assert sated.heard == list(range(13))
    assert wire.reading


def test_what_arrives_though_nothing_is_read_keeps_its_place(network):
    sated = Sated(network)
    _send(sated.two, sated.one, range(5))
    settle(network.clock)
    (link,) = sated.stopped
    late = _data_frame(sated.one.owner, 6) + _data_frame(sated.one.owner, 7)
    for piece in (late[:7], late[7:]):  # as a layer between the socket and the link may do
        link.dataReceived(piece)
    assert sated.heard == [0, 1, 2]
    sated.go_on()
    assert sated.heard == [0, 1, 2, 3, 4, 6]
    sated.go_on()
    assert sated.heard == [0, 1, 2, 3, 4, 6, 7]


def test_what_a_stopped_link_holds_is_not_acknowledged_and_comes_again_once_if_it_is_cut(network, clock):
    sated = Sated(network)
    _send(sated.two, sated.one, range(10))
    settle(clock, 0.6)  # keep-alives, with acknowledgements
    near, _far = network.pipes[1]
    assert [frame.received for frame in _acks(network.pipes[1])] == [3]
    near.abortConnection()
    settle(clock, 1)
    assert sated.heard == list(range(6)), "the new link was stopped too"
    for _ in range(3):
        sated.go_on()
        settle(clock)
    assert sated.heard == list(range(10))
    assert sated.one.of_kind("gap", "lost") == sated.two.of_kind("gap", "lost") == []


def _acks(wires: tuple[Wire, Wire]) -> list[Ack]:
    found = []
    for wire in wires:
        for body in FrameReader(17 * MIB).frames(b"".join(wire.written)):
            try:
                frame = read_data(body)
            except FrameError:
                continue  # of the handshake, or a keep-alive
            if isinstance(frame, Ack):
                found.append(frame)
    return found


def test_a_peer_is_not_silent_while_we_do_not_listen_and_control_goes_on(network, clock):
    sated = Sated(network)
    _send(sated.two, sated.one, range(5))
    settle(clock, 10)
    assert sated.two.links.send_control("n1", b"still here")
    settle(clock)
    assert sated.one.take() == [("control", "n2", b"still here")]
    assert sated.two.of_kind("down", "lost", "gap") == []
    sated.go_on()
    settle(clock, 3)
    assert sated.heard == [0, 1, 2, 3, 4]
    assert sated.one.counters["link_losses"] == sated.two.counters["link_losses"] == 0
    for near, far in network.pipes:
        near.blocked = far.blocked = True
    settle(clock, 3)
    assert sated.one.counters["link_losses"] == 2, "a peer is heard of again, or it is cut"


def test_a_stopped_link_that_is_closed_hands_over_nothing_and_is_gone(network, clock):
    sated = Sated(network)
    _send(sated.two, sated.one, range(5))
    settle(clock)
    (link,) = sated.stopped
    stopped = sated.one.links.stop()
    sated.two.links.stop()
    link.dataReceived(b"the middle of a frame whose beginning is gone")
    settle(clock)
    assert stopped.called
    sated.go_on()
    assert sated.heard == [0, 1, 2]
    assert sated.one.counters["link_frames_refused"] == 0
    assert not clock.getDelayedCalls()


def test_an_error_behind_a_stop_ends_the_link_and_is_told(network, clock):
    sated = Sated(network)
    puppet = data_puppet(network, "n3")
    frames = [_data_frame(sated.one.owner, number) for number in (1, 2, 3)] + [framed(b"nonsense")]
    puppet.transport.write(b"".join(frames))
    settle(clock)
    assert sated.heard == [1, 2, 3]
    assert not puppet.closed
    sated.go_on()
    settle(clock)
    assert puppet.closed
    assert sated.one.counters["link_frames_refused"] == 1


# ---- a peer that does not read


def _small(**changes) -> Limits:
    return Limits(link_queue_bytes_max=4 * MIB, **changes)


def _block(network: Network, name: str) -> None:
    """Nothing more leaves the host of that name."""
    host = VOTERS[name].partition(":")[0]
    for near, far in network.pipes:
        for wire, other in ((near, far), (far, near)):
            if other.host in (host, name):
                wire.blocked = True


def test_a_peer_that_does_not_read_is_reset_at_the_bound_and_counted(network, clock, logged):
    one, two = _pair(network, limits=_small())
    _block(network, "n1")
    sent = 0
    while one.links.forward(two.owner, forward(sent, bytes(100_000))) and sent < 1000:
        sent += 1
        one.links.flush()
    assert 30 <= sent <= 45
    assert one.of_kind("lost") == []  # never from inside forward
    settle(clock)
    assert one.of_kind("gap", "lost") == [("gap", "n1", "n2", sent + 1), ("lost", two.owner)]
    assert one.counters["link_queue_resets"] == 1
    assert sum("is reset: it does not read" in line for line in logged) == 1


def test_what_is_to_be_sent_again_after_a_cut_is_not_held_against_a_peer(network, clock):
    one, two = _pair(network, limits=_small())
    near, far = network.pipes[1]
    near.blocked = far.blocked = True
    far._producer = None  # this transport takes everything
    for number in range(30):
        one.links.forward(two.owner, forward(number, bytes(100_000)))
        one.links.flush()
    network.down.add("one:1")
    near.abortConnection()
    settle(clock)
    for number in range(30, 60):
        assert one.links.forward(two.owner, forward(number, bytes(100_000)))
    network.down.clear()
    settle(clock, 2)
    assert [told[2].publication for told in two.of_kind("data")] == list(range(60))
    assert one.counters["link_queue_resets"] == one.counters["link_gaps"] == 0


def test_a_peer_is_behind_until_it_has_caught_up(network, clock):
    one, two = _pair(network, limits=_small())
    _block(network, "n1")
    for number in range(20):
        one.links.forward(two.owner, forward(number, bytes(100_000)))
        assert (two.owner in one.links.behind) == (number >= 10)  # a MiB, a quarter of the bound
    settle(clock)
    assert one.of_kind("relieved") == []
    for near, far in network.pipes:
        near.unblock(), far.unblock()
    settle(clock)
    assert one.of_kind("relieved") == [("relieved", two.owner)]
    assert not one.links.behind
    assert [told[2].publication for told in two.of_kind("data")] == list(range(20))


def test_a_burst_that_is_written_at_once_relieves_too(network, clock):
    one, two = _pair(network, limits=_small())
    for number in range(20):
        one.links.forward(two.owner, forward(number, bytes(100_000)))
    settle(clock)
    assert one.of_kind("relieved") == [("relieved", two.owner)]


def test_a_peer_that_is_lost_is_behind_no_longer(network, clock):
    one, two = _pair(network, limits=_small())
    _block(network, "n1")
    for number in range(20):
        one.links.forward(two.owner, forward(number, bytes(100_000)))
    settle(clock)
    one.take()
    one.identity = (one.identity[0], 4711)
    one.links.identity_changed()
    settle(clock)
    assert [told for told in one.take() if told[0] != "down"] == [("relieved", two.owner), ("lost", two.owner)]


def test_a_peer_that_is_down_and_behind_relieves_when_it_is_given_up(network, clock):
    one, two = _pair(network, limits=_small())
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    for number in range(20):
        one.links.forward(two.owner, forward(number, bytes(100_000)))
    assert two.owner in one.links.behind
    settle(clock, 4)
    assert one.of_kind("gap", "relieved", "lost")[-3:] == [
        ("gap", "n1", "n2", 20),
        ("lost", two.owner),
        ("relieved", two.owner),
    ]


# ---- the end


def _confirmation(peer: Peer) -> list[bool]:
    confirmed: list[bool] = []
    peer.links.confirm(lambda: confirmed.append(True))
    return confirmed


def test_what_was_sent_is_confirmed_when_the_peer_has_said_that_it_has_it(network, clock):
    one, two = _pair(network)
    assert _confirmation(one) == [True]  # nothing was
    one.links.forward(two.owner, forward(1))
    confirmed = _confirmation(one)
    settle(clock, 0.05)
    assert two.of_kind("data") and not confirmed
    one.links.forward(two.owner, forward(2))  # what is sent later is not waited for
    for _ in range(11):
        settle(clock, 0.05)
        one.links.forward(two.owner, forward(3))
    assert confirmed


def test_what_was_sent_into_a_cut_is_confirmed_when_the_link_is_back(network, clock):
    one, two = _pair(network)
    network.down.add("one:1")
    for near, _far in list(network.pipes):
        near.abortConnection()
    settle(clock)
    one.links.forward(two.owner, forward(1))
    confirmed = _confirmation(one)
    settle(clock, 1.5)
    assert not confirmed
    network.down.clear()
    settle(clock, 2)
    assert confirmed and len(two.of_kind("data")) == 1


@pytest.mark.parametrize("end", ["given up", "dead", "fenced", "stopped"])
def test_nobody_is_waited_for_who_will_not_get_it(network, clock, end):
    one, two = _pair(network)
    _block(network, "n1")
    one.links.forward(two.owner, forward(1))
    confirmed = _confirmation(one)
    settle(clock, 1)
    assert not confirmed
    if end == "given up":
        network.down.add("one:1")
        settle(clock, 6)
    elif end == "dead":
        one.links.owner_dead(two.owner)
    elif end == "fenced":
        one.identity = (1, 4711)
        one.links.identity_changed()
    else:
        one.links.stop()
    settle(clock, 0.1)
    assert confirmed


def test_stop_sends_what_is_queued_closes_everything_and_leaves_no_timer(network, clock):
    one, two = _pair(network)
    one.links.forward(two.owner, forward(1))
    stopped = one.links.stop()
    assert not stopped.called
    settle(clock)
    assert stopped.called
    assert [told[2] for told in two.of_kind("data")] == [forward(1)]
    assert "one:1" not in network.listening
    assert one.take() == []
    two.links.stop()
    settle(clock)
    assert clock.getDelayedCalls() == []


def test_stop_does_not_wait_for_a_peer_that_does_not_read(network, clock):
    one, two = _pair(network)
    _block(network, "n1")
    one.links.forward(two.owner, forward(1))
    stopped = one.links.stop()
    settle(clock, 2)
    assert stopped.called


def test_stop_while_dialling_leaves_no_timer(network, clock):
    two = Peer(network, "n2").start()
    settle(clock, 1)
    stopped = two.links.stop()
    settle(clock)
    assert stopped.called
    assert clock.getDelayedCalls() == []


def test_a_node_that_stops_waits_for_no_link_to_a_member_that_comes_up(network, clock):
    one = Peer(network, "a").start()
    settle(clock, 1)
    one.links.stop()
    one.links.owner_up(Owner("c", 77))
    settle(clock, 0.1)
    assert not clock.getDelayedCalls()
