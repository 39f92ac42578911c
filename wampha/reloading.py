"""The configuration is read again while the node runs: all of it is checked first, then what may change does.

A file that cannot be used changes nothing. What is wrong with it is told as `wampha check` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from twisted.internet import defer
from twisted.logger import Logger

from wampha.config.difference import differences, merged
from wampha.config.load import Loaded
from wampha.config.schema import Settings
from wampha.counters import Counters
from wampha.errors import ConfigError
from wampha.routing.ports import Audit, Workers
from wampha.tls import CertificateError

_NAMED_MAX: Final = 50  # key paths in one line of the log
_BUSY: Final = "the configuration was not read: too much else is being calculated, or the node stops; try again"
NO_FILE: Final = "this node was started without a configuration file: there is nothing to read"

# Gets ready for other settings, and raises CertificateError if it cannot; what it returns makes them hold.
Part = Callable[[Settings], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of it. Paths are those of keys, `realms[realm1].roles[guest]`, and never show a value."""

    changed: Sequence[str] = ()  # what holds now
    restart: Sequence[str] = ()  # what is different in the file and stays as it was until the node starts again
    problems: Sequence[str] = ()  # why nothing has changed at all, each `file:line:column: path: sentence`
    warnings: Sequence[str] = ()  # likewise, of what can be used all the same

    @property
    def done(self) -> bool:
        """Whether the file could be used."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"done": self.done, **asdict(self)}


class Reloading:
    """One per node."""

    _log = Logger(namespace="wampha.config")

    def __init__(
        self,
        *,
        read: Callable[[], Loaded] | None,
        settings: Callable[[], Settings],
        parts: Sequence[Part],
        workers: Workers,
        counters: Counters,
        audit: Audit,
    ) -> None:
        """`read` reads the file and may raise ConfigError; None if there is none. It is called in another thread.

        `settings` are those that hold; `parts` are what others are told to, in this order, the holder of them included.
        """
        self._read: Final = read
        self._parts: Final = tuple(parts)
        self._workers: Final = workers
        self._counters: Final = counters
        self._audit: Final = audit
        self._settings: Final = settings
        self._asked: list[defer.Deferred[Reloaded]] = []  # that the next reading answers
        self._reading = False

    def reload(self) -> defer.Deferred[Reloaded]:
        """Read the file and change what can be changed; fires with what was said in the log. Never fails.

        Who asks while it is being read is told what the next reading brings.
        """
        told: defer.Deferred[Reloaded] = defer.Deferred()
        self._asked.append(told)
        if not self._reading:
            self._begin()
        return told

    def _begin(self) -> None:
        asked, self._asked = self._asked, []
        if self._read is None:
            self._tell(asked, self._refused([NO_FILE]))
            return
        self._reading = self._workers.run(self._try, lambda read: self._go_on(asked, read))
        if not self._reading:
            self._tell(asked, self._refused([_BUSY]))

    def _try(self) -> Loaded | ConfigError:
        assert self._read is not None, "somebody asked"
        try:
            return self._read()
        except ConfigError as error:
            return error

    def _go_on(self, asked: list[defer.Deferred[Reloaded]], read: Loaded | ConfigError) -> None:
        self._reading = False
        self._tell(asked, self._refused(read.problems) if isinstance(read, ConfigError) else self._take(read))
        if self._asked and not self._reading:
            self._begin()

    @staticmethod
    def _tell(asked: list[defer.Deferred[Reloaded]], reloaded: Reloaded) -> None:
        for told in asked:
            told.callback(reloaded)

    def _refused(self, problems: Sequence[str]) -> Reloaded:
        self._counters.add("config_reload_failures")
        self._audit("configuration_refused", {"problems": len(problems)})
        self._log.error("the configuration stays as it was; problems: {count}", count=len(problems))
        for problem in problems:
            self._log.error("{problem}", problem=problem)
        return Reloaded(problems=tuple(problems))

    def _take(self, read: Loaded) -> Reloaded:
        before = self._settings()
        found, settings = differences(before, read.settings), merged(before, read.settings)
        try:
            uses = [part(settings) for part in self._parts]
        except CertificateError as error:  # a file has changed since it was checked
            return self._refused([str(error)])
        for use in uses:
            use()
        self._counters.add("config_reloads")
        reloaded = Reloaded(
            changed=tuple(str(each) for each in found if each.live),
            restart=tuple(str(each) for each in found if not each.live),
            warnings=read.warnings,
        )
        self._say(reloaded)
        return reloaded

    def _say(self, reloaded: Reloaded) -> None:
        fields: Mapping[str, Any] = {"changed": _listed(reloaded.changed), "restart": _listed(reloaded.restart)}
        self._audit("configuration_changed", fields)
        for warning in reloaded.warnings:
            self._log.warn("{warning}", warning=warning)
        changed = _listed(reloaded.changed) or "nothing"
        self._log.info("the configuration was read again; changed: {changed}", changed=changed)
        if reloaded.restart:
            self._log.warn("changed in the file, stays as it was until this node starts again: {restart}", **fields)


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED_MAX} more" if len(paths) > _NAMED_MAX else ""
    return ", ".join(paths[:_NAMED_MAX]) + more
