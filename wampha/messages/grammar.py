"""What clients may send, as one table, and the sentence for what they may not.

Parsers read well-formed messages without this table. It judges a message that a parser could not read, decoded as a
whole, to tell the client what is wrong with it (basic profile, "Message Definitions").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from wampha.errors import ProtocolViolation

ID_MAX: Final = 2**53  # basic profile, "IDs"
_SHOWN_MAX: Final = 60  # characters of a wrong value that go into a sentence

ROUTERS_OWN: Final[Mapping[int, str]] = {
    2: "WELCOME",
    4: "CHALLENGE",
    17: "PUBLISHED",
    33: "SUBSCRIBED",
    35: "UNSUBSCRIBED",
    36: "EVENT",
    50: "RESULT",
    65: "REGISTERED",
    67: "UNREGISTERED",
    68: "INVOCATION",
    69: "INTERRUPT",
}


class Element(NamedTuple):
    """One element of a message: its name in the specification, what it must be, the check."""

    name: str
    expected: str
    holds: Callable[[Any], bool]


class Form(NamedTuple):
    """The form of one type of message; `payload`: Arguments and ArgumentsKw may follow the elements."""

    name: str
    elements: tuple[Element, ...]
    payload: bool = False


def _is_id(value: Any) -> bool:
    return type(value) is int and 1 <= value <= ID_MAX


def is_map(value: Any) -> bool:
    """Whether `value` is what WAMP calls a dict: its keys are strings."""
    return type(value) is dict and _STRINGS.issuperset(map(type, value))


_STRINGS: Final = frozenset((str,))


def _id(name: str) -> Element:
    return Element(name, f"an integer from 1 to {ID_MAX}", _is_id)


def _map(name: str) -> Element:
    return Element(name, "a map with string keys", is_map)


def _uri(name: str) -> Element:
    return Element(name, "a string", lambda value: type(value) is str)


_REQUEST: Final = _id("Request")
_OPTIONS: Final = _map("Options")
_ARGUMENTS: Final = (Element("Arguments", "a list", lambda value: type(value) is list), _map("ArgumentsKw"))
_ANSWERED: Final = Element("REQUEST.Type", "68 (INVOCATION)", lambda value: type(value) is int and value == 68)

FORMS: Final[Mapping[int, Form]] = {
    8: Form("ERROR", (_ANSWERED, _id("REQUEST.Request"), _map("Details"), _uri("Error")), payload=True),
    16: Form("PUBLISH", (_REQUEST, _OPTIONS, _uri("Topic")), payload=True),
    32: Form("SUBSCRIBE", (_REQUEST, _OPTIONS, _uri("Topic"))),
    34: Form("UNSUBSCRIBE", (_REQUEST, _id("SUBSCRIBED.Subscription"))),
    48: Form("CALL", (_REQUEST, _OPTIONS, _uri("Procedure")), payload=True),
    49: Form("CANCEL", (_id("CALL.Request"), _OPTIONS)),
    64: Form("REGISTER", (_REQUEST, _OPTIONS, _uri("Procedure"))),
    66: Form("UNREGISTER", (_REQUEST, _id("REGISTERED.Registration"))),
    70: Form("YIELD", (_id("INVOCATION.Request"), _OPTIONS), payload=True),
}

# Read by Autobahn's classes, which check them.
SESSION_FORMS: Final[Mapping[int, str]] = {1: "HELLO", 3: "ABORT", 5: "AUTHENTICATE", 6: "GOODBYE"}


def check(message: Any) -> None:
    """Raise `ProtocolViolation` with a sentence if the decoded `message` is none that a client may send."""
    if type(message) is not list or not message or type(message[0]) is not int:
        raise ProtocolViolation("a WAMP message is a list that begins with an integer, the message type")
    code = message[0]
    if code in ROUTERS_OWN:
        raise ProtocolViolation(f"{ROUTERS_OWN[code]} is sent by routers only")
    if code not in FORMS and code not in SESSION_FORMS:
        raise ProtocolViolation(f"{_shown(code)} is not the type of a WAMP message")
    if code in FORMS:
        _check_elements(FORMS[code], message)


def _check_elements(form: Form, message: list[Any]) -> None:
    least = 1 + len(form.elements)
    most = least + len(_ARGUMENTS) if form.payload else least
    if form.name in _WITH_OPTIONAL_OPTIONS:
        most += 1
    if not least <= len(message) <= most:
        allowed = str(least) if least == most else f"{least} to {most}"
        raise ProtocolViolation(f"{form.name} has {allowed} elements, not {len(message)}")
    elements = form.elements + (_ARGUMENTS if form.payload else (_OPTIONS,))
    for element, value in zip(elements, message[1:], strict=False):
        if not element.holds(value):
            raise ProtocolViolation(f"{form.name}.{element.name} must be {element.expected}, not {_shown(value)}")


# The advanced profile lets these carry an options map as their last element.
_WITH_OPTIONAL_OPTIONS: Final = frozenset(("UNSUBSCRIBE", "UNREGISTER"))


def _shown(value: Any) -> str:
    if type(value) is list:
        return "a list"
    if type(value) is dict:
        return "a map" if is_map(value) else "a map with other keys"
    if type(value) is int and value.bit_length() > 128:  # its digits would take long to write
        return "an integer of more than 128 bits"
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
