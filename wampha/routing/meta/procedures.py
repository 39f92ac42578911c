"""Procedures that the router itself answers: below `wamp.` and `wampha.`, where no client can register.

The dealer comes here only when a CALL finds no registration. A handler takes a `MetaCall` and answers it once, at once
or later; or it raises WampError before it has answered. Whatever else ends the call meanwhile (CANCEL, `timeout`, the
caller's end) ends it for good: an answer that comes later is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from wampha.counters import Counters
from wampha.errors import FeatureNotSupported, InvalidArgument, Undecided, WampError
from wampha.messages.model import NO_OPTIONS
from wampha.messages.payload import Payload, Untranscodable
from wampha.names.uri import is_reserved
from wampha.routing.calls import Calls
from wampha.routing.gather import Gathered
from wampha.routing.ports import Audit, no_audit
from wampha.routing.rerouting import not_registered
from wampha.routing.session import Session, who
from wampha.routing.work import PendingCall

_Kind = TypeVar("_Kind")


class MetaCall:
    """One CALL of a procedure of the router, with its arguments decoded."""

    __slots__ = ("_calls", "_counters", "_pending", "args", "kwargs")

    def __init__(self, calls: Calls, counters: Counters, pending: PendingCall) -> None:
        """Raises WampError for a call that the router cannot read."""
        self._calls: Final = calls
        self._counters: Final = counters
        self._pending: Final = pending
        options, payload = pending.call.options, pending.call.payload
        if options.get("ppt_scheme") or "enc_algo" in options:
            raise FeatureNotSupported("The router's own procedures take no payload that only its receiver can read.")
        if options.get("progress") is True:
            raise FeatureNotSupported("The router's own procedures take no progressive calls.")
        try:
            elements = payload.elements()
        except Untranscodable as error:
            raise InvalidArgument(f"{self.procedure}: {error}") from None
        self.args: Final[list[Any]] = elements[0] if elements else []
        self.kwargs: Final[dict[str, Any]] = elements[1] if len(elements) > 1 else {}

    @property
    def caller(self) -> Session:
        return self._pending.caller

    @property
    def procedure(self) -> str:
        return self._pending.call.procedure

    # ---- the end

    @property
    def over(self) -> bool:
        """Whether the call has ended: nobody waits for an answer."""
        return self._pending.ended

    def answer(self, *args: Any, **kwargs: Any) -> None:
        """End the call with RESULT, values as `Payload.of` takes them; nothing happens if it has ended."""
        if not self.over:
            self._calls.result(self._pending, NO_OPTIONS, Payload.of(args, kwargs))

    def answer_gathered(self, gathered: Gathered, *args: Any) -> None:
        """`answer`; of an answer that lacks nodes, kwargs say so: `partial`, and their names in `missing`."""
        if gathered.missing:
            self.answer(*args, partial=True, missing=list(gathered.missing))
        else:
            self.answer(*args)

    def refuse(self, error: WampError) -> None:
        """End the call with ERROR, likewise."""
        if not self.over:
            self._counters.add("meta_calls_refused")
            self._calls.refuse(self._pending, error)

    # ---- arguments, counted from 0; each raises InvalidArgument

    def id(self, position: int, name: str) -> int:
        """A required id. A float without fraction is one: so clients write CBOR in JavaScript."""
        value = self._required(position, name, "an id")
        if type(value) is float and value.is_integer():
            value = int(value)
        return self._of_type(value, int, name, "an id")

    def text(self, position: int, name: str) -> str:
        """A required string."""
        return self._of_type(self._required(position, name, "a string"), str, name, "a string")

    def required(self, position: int, name: str, kind: type[_Kind], words: str) -> _Kind:
        """A required argument; `words` say what it must be."""
        return self._of_type(self._required(position, name, words), kind, name, words)

    def optional(self, position: int, name: str, kind: type[_Kind], words: str) -> _Kind | None:
        """An argument that may be left out or null, by position or by name; `words` say what it must be."""
        value = self.args[position] if 0 <= position < len(self.args) else self.kwargs.get(name)
        return None if value is None else self._of_type(value, kind, name, words)

    def _required(self, position: int, name: str, words: str) -> Any:
        if position >= len(self.args):
            raise InvalidArgument(f"{self.procedure} needs {words} as argument {position + 1}: {name}.")
        return self.args[position]

    def _of_type(self, value: Any, kind: type[_Kind], name: str, words: str) -> _Kind:
        if type(value) is not kind:
            raise InvalidArgument(f"{self.procedure}: {name} must be {words}.")
        return value


Handler = Callable[[MetaCall], None]


class _Procedure(NamedTuple):
    handler: Handler
    changes: bool


class Procedures:
    """What the router answers in one realm."""

    def __init__(self, *, calls: Calls, counters: Counters, audit: Audit = no_audit) -> None:
        self._calls: Final = calls
        self._audit: Final = audit
        self._counters: Final = counters
        self._procedures: Final[dict[str, _Procedure]] = {}

    def add(self, procedure: str, handler: Handler, *, changes: bool = False) -> None:
        """Answer `procedure` by `handler` from now on.

        Who `changes` something with it needs a permission that was meant for it: `Permissions.require_meant`.
        """
        assert is_reserved(procedure) and procedure not in self._procedures, f"{procedure!r} is ours, and new"
        self._procedures[procedure] = _Procedure(handler, changes)

    def names(self) -> Sequence[str]:
        """All procedures, in the order in which they were added."""
        return tuple(self._procedures)

    def take(self, pending: PendingCall) -> None:
        """Answer a call for which there is no registration; `call` itself is allowed already."""
        name = pending.call.procedure
        procedure = self._procedures.get(name)
        if procedure is None:
            self._calls.refuse(pending, not_registered(name))
            return
        self._counters.add("meta_calls")
        self._answer(procedure, pending)

    def _answer(self, procedure: _Procedure, pending: PendingCall) -> None:
        name = pending.call.procedure
        try:
            if procedure.changes:
                pending.caller.permissions.require_meant("call", name)
                self._audit("changed", {**who(pending.caller), "procedure": name})
            procedure.handler(MetaCall(self._calls, self._counters, pending))
        except WampError as error:
            self._counters.add("meta_calls_refused")
            self._calls.refuse(pending, error)
        except Undecided as undecided:
            undecided.awaited.then(lambda: None if pending.ended else self._answer(procedure, pending))
