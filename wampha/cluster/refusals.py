"""Log lines about peers that cannot be had, each said once and not with every attempt."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from wampha.cluster.handshake import Refusal

_QUIET_TICKS: Final = 120  # one minute: how long the same stranger is not mentioned again for the same reason
_STRANGERS_MAX: Final = 256


class RefusalLog:
    """Remembers what was said, in bounded memory."""

    _log = Logger()

    def __init__(self) -> None:
        self._troubles: Final[dict[str, str]] = {}  # dialled peer -> what is wrong with it
        self._strangers: Final[dict[tuple[str, Refusal | None], int]] = {}  # (host, reason) -> tick of the line
        self._ticks = 0

    def tick(self) -> None:
        """Half a second has passed."""
        self._ticks += 1

    def trouble(self, name: str, sentence: str) -> None:
        """A dialled peer cannot be had; said when the reason is new."""
        if self._troubles.get(name) != sentence:
            self._troubles[name] = sentence
            self._log.warn("peer {name} at {sentence}", name=name, sentence=sentence)

    def well(self, name: str) -> None:
        """The peer is fine now."""
        self._troubles.pop(name, None)

    def stranger(self, address: str, reason: Refusal | None, sentence: str) -> None:
        """A connection was refused; said once a minute for each host and reason."""
        key = (address.rpartition(":")[0], reason)
        said = self._strangers.get(key)
        if said is not None and self._ticks - said < _QUIET_TICKS:
            return
        if len(self._strangers) >= _STRANGERS_MAX:
            self._strangers.clear()
        self._strangers[key] = self._ticks
        self._log.warn("a peer from {address} is refused: {sentence}", address=address, sentence=sentence)
