"""From a YAML file to `Settings`, or to a list of all that is wrong with it. Nothing else in wampha reads YAML."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wampha.config import rules, sentences
from wampha.config.document import Document, Given, PathInFile, plain, read
from wampha.config.schema import Settings

_NOT_TEXT: Final = ("int_type", "float_type", "bool_type")  # what a reference may stand for, though it gives a text


def load(path: str | os.PathLike[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check a configuration file.

    `environment` is what `{env: NAME}` refers to; `{file: path}` starts at the folder of the configuration file.
    Raises ConfigError with every problem of the file, each as `file:line:column: path: sentence`.
    """
    document = read(Path(path), environment)
    settings = _validate(document)
    rules.report(document)
    document.raise_problems()
    assert settings is not None
    return settings


def development() -> Settings:
    """Return the settings of a node without configuration: loopback only, one realm, everybody may do everything."""
    everything = {"uri": "*", "allow": {"call": True, "register": True, "publish": True, "subscribe": True}}
    return Settings.model_validate(
        {
            "node": {"drain": {"spread_s": 0.0, "answer_s": 0.2, "deadline_s": 3.0}},  # Ctrl-C ends it soon
            "realms": ({"name": "realm1", "roles": ({"name": "anonymous", "permissions": (everything,)},)},),
            "listeners": ({"endpoint": "tcp:8080:interface=127.0.0.1", "auth": {"anonymous": {"role": "anonymous"}}},),
        },
        strict=True,
    )


def _validate(document: Document) -> Settings | None:
    """Return the settings, or note in the document what the schema says against it."""
    try:
        return Settings.model_validate(document.data, strict=True)
    except ValidationError as error:
        document.data = _typed(document.data, error.errors())
    try:
        return Settings.model_validate(document.data, strict=True)
    except ValidationError as error:
        sentences.report(document, error.errors())
        return None


def _typed(data: Any, errors: Iterable[ErrorDetails]) -> Any:
    """Return the data with texts of references read as numbers or booleans where the schema wants such."""
    for error in errors:
        if error["type"] in _NOT_TEXT and isinstance(error["input"], Given):
            data = _replaced(data, tuple(error["loc"]), plain(error["input"]))
    return data


def _replaced(data: Any, path: PathInFile, value: Any) -> Any:
    """Return a copy of nested data in which `path` holds `value`."""
    if not path:
        return value
    if isinstance(data, tuple):
        return tuple(_replaced(item, path[1:], value) if index == path[0] else item for index, item in enumerate(data))
    return {**data, path[0]: _replaced(data[path[0]], path[1:], value)}
