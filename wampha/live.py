"""What of a node follows its settings while it runs; each part gets ready first, and may refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.logger import Logger

from wampha.auth.configured import doorway
from wampha.auth.doorway import Doorway
from wampha.cluster.encryption import Encryption
from wampha.config.schema import ListenerSettings, Settings
from wampha.limits import PresentLimits
from wampha.reloading import Part
from wampha.routing.permissions import RealmRules, RealmTemplate
from wampha.routing.router import Router
from wampha.transport.certificates import Certificates
from wampha.transport.origins import Origins


class Entries:
    """How clients are let in through each listener: the methods, the certificates, and from which web pages."""

    _log = Logger(namespace="wampha.node")

    def __init__(self, key: bytes) -> None:
        """`key`: 32 random bytes that stay secret, and the same as long as the process lives."""
        self._key: Final = key
        self._doorways: Final[list[Doorway]] = []  # one for each listener, in their order
        self._certificates: Final[list[Certificates | None]] = []  # likewise
        self._origins: Final[list[Origins]] = []  # likewise

    def add(self, listener: ListenerSettings) -> tuple[Doorway, Certificates | None, Origins]:
        """Those of one more listener; raises CertificateError."""
        self._certificates.append(Certificates(listener.tls) if listener.tls else None)
        self._doorways.append(doorway(listener.auth, self._key))
        self._origins.append(Origins(listener.origins))
        return self._doorways[-1], self._certificates[-1], self._origins[-1]

    def expires(self) -> float | None:
        """When the first certificate of a listener ends, in seconds since 1970; None if there is none."""
        return min((each.expires for each in self._certificates if each), default=None)

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Let the same listeners have other methods, principals, certificates and origins."""
        doorways = [doorway(listener.auth, self._key) for listener in settings.listeners]
        uses = [
            certificates.prepare(listener.tls)
            for certificates, listener in zip(self._certificates, settings.listeners, strict=True)
            if certificates
        ]

        def use() -> None:
            for present, other in zip(self._doorways, doorways, strict=True):
                present.become(other)
            for origins, listener in zip(self._origins, settings.listeners, strict=True):
                origins.become(listener.origins)
            for each in uses:
                each()
            if uses:
                self._log.info("{count} listener(s) have read their certificates again", count=len(uses))

        return use


class Level:
    """What the log shows."""

    def __init__(self, level: str, show: Callable[[str], None]) -> None:
        self._level = level
        self._show: Final = show

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Show another level, if the file has another one: somebody may have set it by hand meanwhile."""

        def use() -> None:
            if settings.log.level != self._level:
                self._level = settings.log.level
                self._show(self._level)

        return use


class Links:
    """Encryption between nodes."""

    _log = Logger(namespace="wampha.node")

    def __init__(self, encryption: Encryption) -> None:
        self._encryption: Final = encryption

    def prepare(self, _: Settings) -> Callable[[], None]:
        """Read the certificates again."""
        use = self._encryption.prepare()

        def tell() -> None:
            use()
            self._log.info("the links between nodes have read their certificates again")

        return tell


def live_parts(
    *,
    limits: PresentLimits,
    level: str,
    show: Callable[[str], None],
    entries: Entries,
    encryption: Encryption | None,
    router: Router,
) -> Sequence[Part]:
    """All of them, in the order in which they change; `show` sets the level of the log, which begins as `level`."""
    return (
        lambda settings: lambda: limits.become(settings.limits),
        Level(level, show).prepare,
        *((Links(encryption).prepare,) if encryption else ()),
        entries.prepare,
        lambda settings: _realms(router, settings),
    )


def _realms(router: Router, settings: Settings) -> Callable[[], None]:
    rules = [RealmRules.of(realm) for realm in settings.realms]
    templates = [RealmTemplate.of(template) for template in settings.realm_templates]
    return lambda: router.reconfigure(rules, templates)
