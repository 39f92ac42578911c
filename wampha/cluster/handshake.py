"""How two nodes prove to each other that they belong together, before anything else passes between them.

    dialer                                     acceptor
    Hello: who I am, whom I want, channel  ->  checks it
    checks it                              <-  Hello: who I am
    Proof(dialer)                          ->  checks it: the dialer is a member
    checks it: the acceptor is a member    <-  Proof(acceptor)

A proof is an HMAC-SHA256 with the cluster's secret over both hellos as they crossed the wire. Each side's nonce makes
the hellos new every time (no replay), and the side's name stands in front (no reflection). Whoever finds something
wrong answers Refused with a sentence and closes; before the proof that sentence gives nothing away.

The proof tells who opened the connection. It does not protect what follows on it: that takes TLS (`encryption.py`) or
a trusted network. With TLS the peer's certificate must name the node that its hello says it is.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from wampha.cluster.frames import framed
from wampha.errors import LinkRefused

VERSIONS: Final = (3, 3)  # of this protocol: the oldest and the newest that this code speaks
HANDSHAKE_FRAME_BYTES_MAX: Final = 4096  # a hello takes less than 1 KiB
NONCE_BYTES: Final = 32
_TERMS_CHARACTERS_MAX: Final = 255

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Text = Annotated[str, msgspec.Meta(max_length=255)]
_Number = Annotated[int, msgspec.Meta(ge=0)]
_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Channel(enum.Enum):
    """What a connection carries; each pair of nodes has one of either, so that a payload never delays a heartbeat."""

    CONTROL = "control"
    DATA = "data"


class Role(enum.Enum):
    """Which end of the connection; the value separates the proofs of both."""

    DIALER = b"wampha link 1, proof of the dialer"
    ACCEPTOR = b"wampha link 1, proof of the acceptor"


class Refusal(enum.Enum):
    """Why a peer is refused, as the peer is told."""

    GARBAGE = "what arrived is not the handshake of a wampha node"
    VERSION = "there is no protocol version that both nodes speak"
    CLUSTER = "the nodes belong to clusters of different names"
    CONFIGURATION = "the nodes disagree on cluster.voters, their names and order, or on cluster.election_timeout_s"
    OWN_NAME = "the peer has the name of this node"
    EXPECTED = "another node answers at this address than the one that was dialled"
    DIRECTION = "of these two nodes it is the other one that dials"
    CHANNEL = "the channel is unknown or not the one that was asked for"
    ENCRYPTION = "one of the two nodes has cluster.tls and the other one has not"
    TLS = "the TLS handshake failed"
    CERTIFICATE = "the certificate is that of another node"
    PROOF = "the proof of membership is wrong: the secrets differ"
    DEAD = "the cluster holds this incarnation for dead, and another one of its name is linked"
    TIMEOUT = "the handshake was not completed in time"
    CROWD = "too many connections are shaking hands at once"


class HandshakeRefused(LinkRefused):
    """The peer is refused; `reason` is what it may know, the sentence adds what our own log should say."""

    def __init__(self, reason: Refusal, detail: str = "") -> None:
        super().__init__(f"{reason.value} ({detail})" if detail else reason.value)
        self.reason: Final = reason


class RefusedByPeer(LinkRefused):
    """The peer refused us; the sentence is the peer's."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="wampha-hello"):
    """Who speaks, and to whom. Later versions may only append fields."""

    oldest_version: _Number
    newest_version: _Number
    cluster: _Text
    name: _Name
    expects: _Text  # the node that the dialer wants; empty from the acceptor
    channel: _Text
    life: _Number
    incarnation: _Number
    configuration: _Digest
    address: _Text  # host:port at which the node's peer listener can be reached, or empty
    nonce: _Digest
    terms: _Text = ""  # what `configuration` stands for, in words; only a refusal in the log shows it


class Proof(msgspec.Struct, frozen=True, array_like=True, tag="wampha-proof"):
    """That the sender knows the secret."""

    mac: _Digest


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="wampha-refused"):
    """The last frame before the close."""

    sentence: _Text


_Frame = Hello | Proof | Refused
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Frame).decode


def configuration_hash(cluster: str, voters: Sequence[str], constants: Mapping[str, float]) -> bytes:
    """32 bytes that differ when two nodes may not share a ledger.

    `voters` are the voters' names in order of the configuration, `constants` those of the protocol that all nodes must
    share (protocol section 2). Nothing that may change in a running cluster belongs in it.
    """
    text = json.dumps([cluster, list(voters), sorted(constants.items())], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


def configuration_terms(voters: Sequence[str], election_timeout_s: float) -> str:
    """What a `configuration_hash` stands for, for whoever has to find out why two differ; at most 255 characters."""
    terms = f"election_timeout_s {election_timeout_s:g} and {len(voters)} voter(s): {', '.join(voters)}"
    return terms if len(terms) <= _TERMS_CHARACTERS_MAX else terms[: _TERMS_CHARACTERS_MAX - 3] + "..."


def refusal(reason: Refusal) -> bytes:
    """The frame that tells the peer why it is refused."""
    return framed(_encode(Refused(reason.value)))


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What a node's configuration says about its cluster; `secret` is empty only on loopback or with TLS."""

    cluster: str
    name: str
    voters: frozenset[str]
    configuration: bytes
    address: str
    secret: bytes = field(repr=False)
    terms: str = ""
    versions: tuple[int, int] = VERSIONS

    def dials(self, dialer: str, acceptor: str) -> bool:
        """Whether `dialer` is the one of the two that dials: observers dial voters, else the larger name dials."""
        if (dialer in self.voters) != (acceptor in self.voters):
            return acceptor in self.voters
        return dialer > acceptor


class Stage(enum.Enum):
    """What a handshake waits for."""

    HELLO = "the peer's hello"
    PROOF = "the peer's proof"
    DONE = "nothing more"


class Handshake:
    """One end of one handshake: frames in, bytes out; no socket and no time."""

    def __init__(
        self,
        *,
        membership: Membership,
        identity: tuple[int, int],
        nonce: bytes,
        expects: str = "",
        channel: Channel | None = None,
    ) -> None:
        """`identity` is this node's (life, incarnation); only a dialer gives `expects` and `channel`."""
        self.role: Final = Role.ACCEPTOR if channel is None else Role.DIALER
        self.stage = Stage.HELLO
        self.channel = channel
        self.peer: Hello | None = None  # what the peer says of itself; the truth once `stage` is DONE
        self.version = 0  # the one both speak
        self.incarnation: Final = identity[1]  # ours, as the peer knows it
        self.expects: Final = expects
        self._membership: Final = membership
        self._life: Final = identity[0]
        self._nonce: Final = nonce
        self._own_hello = b""
        self._transcript = b""
        self._certified: Collection[str] | None = None  # names in the peer's certificate; None without TLS

    def certify(self, names: Collection[str]) -> None:
        """The peer has shown a certificate for these names: it is one of them; HandshakeRefused if none was dialled."""
        self._certified = names
        if self.role is Role.DIALER:
            self._check_certificate(self.expects)

    def _check_certificate(self, name: str) -> None:
        if self._certified is not None and name not in self._certified:
            shown = ", ".join(sorted(self._certified)) or "nobody"
            raise HandshakeRefused(Refusal.CERTIFICATE, f"it is for {shown}, and not for {name!r}")

    def begin(self) -> bytes:
        """The first bytes to send: a dialer's hello; an acceptor waits."""
        return self._hello() if self.role is Role.DIALER else b""

    def receive(self, body: bytes) -> bytes:
        """Take one frame and return the bytes of the answer.

        HandshakeRefused if the peer must not become a member, RefusedByPeer if it refuses us.
        """
        frame = self._read(body)
        if isinstance(frame, Refused):
            raise RefusedByPeer(frame.sentence)
        if isinstance(frame, Hello) and self.stage is Stage.HELLO:
            return self._take_hello(frame, body)
        if isinstance(frame, Proof) and self.stage is Stage.PROOF:
            return self._take_proof(frame)
        raise HandshakeRefused(Refusal.GARBAGE, f"{type(frame).__name__} while waiting for {self.stage.value}")

    def _read(self, body: bytes) -> _Frame:
        try:
            frame: _Frame = _decode(body)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise HandshakeRefused(Refusal.GARBAGE, str(error)) from None
        return frame

    # ---- hello

    def _take_hello(self, hello: Hello, body: bytes) -> bytes:
        self._check_certificate(hello.name)
        self._check_kinship(hello)
        self._check_place(hello)
        self.peer = hello
        self.stage = Stage.PROOF
        if self.role is Role.DIALER:
            self._transcript = self._own_hello + framed(body)
            return self._proof(Role.DIALER)
        self.channel = Channel(hello.channel)
        answer = self._hello()
        self._transcript = framed(body) + answer
        return answer

    def _check_kinship(self, hello: Hello) -> None:
        """Whether the peer can be a member of this cluster at all."""
        own = self._membership
        self.version = min(own.versions[1], hello.newest_version)
        if self.version < max(own.versions[0], hello.oldest_version):
            theirs = (hello.oldest_version, hello.newest_version)
            raise HandshakeRefused(Refusal.VERSION, f"this node speaks {own.versions}, the peer {theirs}")
        if hello.cluster != own.cluster:
            raise HandshakeRefused(Refusal.CLUSTER, f"this one {own.cluster!r}, the peer's {hello.cluster!r}")
        if hello.configuration != own.configuration:
            there = f"{hello.name!r} has {hello.terms or 'not said what'}"
            raise HandshakeRefused(Refusal.CONFIGURATION, f"{there}; this node has {own.terms}")

    def _check_place(self, hello: Hello) -> None:
        """Whether this connection between the two is one that should exist."""
        own = self._membership.name
        if hello.name == own:
            raise HandshakeRefused(Refusal.OWN_NAME, f"{own!r}: a second process of that name, or it dialled itself")
        if self.role is Role.DIALER:
            if hello.name != self.expects:
                raise HandshakeRefused(Refusal.EXPECTED, f"{self.expects!r} was dialled, {hello.name!r} answers")
            if self.channel is None or hello.channel != self.channel.value:
                raise HandshakeRefused(Refusal.CHANNEL, f"{hello.channel!r}")
            return
        if hello.expects != own:
            raise HandshakeRefused(Refusal.EXPECTED, f"{hello.name!r} wants {hello.expects!r}, this is {own!r}")
        if not self._membership.dials(hello.name, own):
            raise HandshakeRefused(Refusal.DIRECTION, f"{hello.name!r} dials {own!r}")
        if hello.channel not in (Channel.CONTROL.value, Channel.DATA.value):
            raise HandshakeRefused(Refusal.CHANNEL, f"{hello.channel!r}")

    def _hello(self) -> bytes:
        own = self._membership
        assert self.channel is not None, "an acceptor speaks only when it knows the channel"
        hello = Hello(
            oldest_version=own.versions[0],
            newest_version=own.versions[1],
            cluster=own.cluster,
            name=own.name,
            expects=self.expects,
            channel=self.channel.value,
            life=self._life,
            incarnation=self.incarnation,
            configuration=own.configuration,
            address=own.address,
            nonce=self._nonce,
            terms=own.terms,
        )
        self._own_hello = framed(_encode(hello))
        return self._own_hello

    # ---- proof

    def _take_proof(self, proof: Proof) -> bytes:
        theirs = Role.ACCEPTOR if self.role is Role.DIALER else Role.DIALER
        if not hmac.compare_digest(proof.mac, self._mac(theirs)):
            assert self.peer is not None, "the stage says that a hello was taken"
            raise HandshakeRefused(Refusal.PROOF, f"the peer says it is {self.peer.name!r}")
        self.stage = Stage.DONE
        return b"" if self.role is Role.DIALER else self._proof(Role.ACCEPTOR)

    def _proof(self, role: Role) -> bytes:
        return framed(_encode(Proof(self._mac(role))))

    def _mac(self, role: Role) -> bytes:
        # No label begins another, and the hellos carry their lengths: what is proven can be read in one way only.
        return hmac.digest(self._membership.secret, role.value + self._transcript, "sha256")
