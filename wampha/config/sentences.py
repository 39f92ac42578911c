"""What pydantic found, as sentences for whoever wrote the file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from wampha.config.document import Document, Given, PathInFile
from wampha.config.schema import Settings

_SIMILAR: Final = 0.6  # difflib's measure: `endpont` is near `endpoint`, `port` is not

_FEW: Final = 8  # keys that are worth listing in a sentence


def report(document: Document, errors: Iterable[ErrorDetails]) -> None:
    """Note each error of a validation as a problem of the document, at its place in the file."""
    found = [(error["type"], tuple(error["loc"]), error) for error in errors]
    meant = {_meant(path) for kind, path, _ in found if kind == "extra_forbidden"}
    for kind, path, error in found:
        if kind == "missing" and path in meant:
            continue  # it is there, misspelt, and that is reported
        if kind == "too_short" and error["input"]:
            continue  # pydantic counts the valid entries only; the others have been reported
        document.report(path, _sentence(error, path), at_key=kind == "extra_forbidden")


def _meant(path: PathInFile) -> PathInFile | None:
    """Return the path of the key that an unknown one probably stands for."""
    near = _nearest(str(path[-1]), known_keys(path[:-1]))
    return (*path[:-1], near) if near else None


def _sentence(error: ErrorDetails, path: PathInFile) -> str:
    say = _SENTENCES.get(error["type"])
    if say is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    return say(error, error.get("ctx", {}), path)


def _unknown_key(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    known = known_keys(path[:-1])
    few = f"; known here: {', '.join(known)}" if len(known) <= _FEW else "; `wampha schema` has the known ones"
    return "unknown key" + did_you_mean(str(path[-1]), known, otherwise=few)


def _choice(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    sentence = f"should be {context['expected']}, not {_shown(error['input'])}"
    choices = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
    return sentence + did_you_mean(str(error["input"]), choices)


def _text(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    if isinstance(error["input"], (bool, int, float)):
        # A number is not shown: it may be a secret.
        read = _shown(error["input"]) if isinstance(error["input"], bool) else "a number"
        return f"should be text, but YAML reads {read} here; write it in quotes"
    return _kind("text")(error, context, path)


def _kind(wanted: str) -> Callable[[ErrorDetails, Mapping[str, Any], PathInFile], str]:
    return lambda error, context, path: f"should be {wanted}, not {_shown(error['input'])}"


def _bound(words: str, key: str) -> Callable[[ErrorDetails, Mapping[str, Any], PathInFile], str]:
    return lambda error, context, path: f"should be {words} {_number(context[key])}, not {_shown(error['input'])}"


def _too_short_list(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    return f"should have at least {context['min_length']} entry"


def _too_short_text(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    # The text itself may be a secret: it is not shown.
    return f"should have at least {context['min_length']} characters"


def _said_by_us(error: ErrorDetails, context: Mapping[str, Any], path: PathInFile) -> str:
    return str(context["error"])


_MAPPING: Final = _kind("a section (keys with values)")
_SENTENCES: Final[Mapping[str, Callable[[ErrorDetails, Mapping[str, Any], PathInFile], str]]] = {
    "extra_forbidden": _unknown_key,
    "missing": lambda error, context, path: "is missing",
    "literal_error": _choice,
    "string_type": _text,
    "int_type": _kind("a whole number"),
    "int_from_float": _kind("a whole number"),
    "float_type": _kind("a number"),
    "finite_number": _kind("a finite number"),
    "bool_type": _kind("true or false"),
    "tuple_type": _kind("a list (each entry begins with '- ')"),
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "too_short": _too_short_list,
    "string_too_short": _too_short_text,
    "value_error": _said_by_us,
}


def _number(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _shown(value: Any) -> str:
    """Return a short name of a value of the wrong kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Given):
        return "what the reference names"
    if isinstance(value, (Mapping, tuple)):
        return "a section" if isinstance(value, Mapping) else "a list"
    text = str(value)
    return f'"{text if len(text) <= 40 else text[:37] + "..."}"' if isinstance(value, str) else text


def known_keys(path: PathInFile) -> list[str]:
    """Return the keys that the section at `path` may have (none if there is no such section)."""
    model: Any = Settings
    named = False  # whether the next step is a name that the file's owner chose, such as an authid
    for step in path:
        if named:
            named = False
        elif isinstance(step, str):
            annotation = _annotation(model, step)
            named = get_origin(annotation) is dict
            model = _model_in(annotation)
        if model is None:
            return []
    if named:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _annotation(model: type[BaseModel], key: str) -> Any:
    return next((field.annotation for name, field in model.model_fields.items() if key in (name, field.alias)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that an annotation such as `tuple[Voter, ...]` or `Auth | None` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _nearest(written: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(written, list(known), n=1, cutoff=_SIMILAR)), None)


def did_you_mean(written: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a question after the nearest known word, to end a sentence with, or `otherwise`."""
    near = _nearest(written, known)
    return f'. Did you mean "{near}"?' if near else otherwise
