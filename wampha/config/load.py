"""From a YAML file to `Settings`, or to a list of all that is wrong with it. Nothing else in wampha reads YAML."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wampha.cluster.encryption import link_context
from wampha.config import rules, sentences
from wampha.config.document import Document, Given, PathInFile, is_open, plain, read
from wampha.config.schema import Settings
from wampha.errors import ConfigError
from wampha.tls import CertificateError
from wampha.transport.certificates import context_of

_NOT_TEXT: Final = ("int_type", "float_type", "bool_type")  # what a reference may stand for, though it gives a text


class Loaded(NamedTuple):
    """What a configuration file says."""

    settings: Settings
    warnings: tuple[str, ...] = ()  # what can be used, but is hardly meant; as the problems of a ConfigError
    files: frozenset[Path] = frozenset()  # the file and those that it names, certificates too


def load(path: str | os.PathLike[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of `examine`."""
    return examine(path, environment).settings


def examine(path: str | os.PathLike[str], environment: Mapping[str, str] = os.environ) -> Loaded:
    """Read and check a configuration file.

    `environment` is what `{env: NAME}` refers to; `{file: path}` starts at the folder of the configuration file.
    Raises ConfigError with every problem of the file, each as `file:line:column: path: sentence`.
    """
    document = read(Path(path), environment)
    document.data = _placed(document, Path(path).parent)
    settings = _validate(document)
    rules.report(document)
    if settings is not None:
        _try_certificates(document, settings)
    document.raise_problems()
    assert settings is not None
    return Loaded(settings, document.warning_lines(), frozenset(document.files))


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


def _placed(document: Document, folder: Path) -> Any:
    """Return the data with the paths of certificates as seen from the folder of the configuration file."""
    data = document.data
    sections = (rules.select(data, "listeners", rules.EACH, "tls"), rules.select(data, "cluster", "tls"))
    for section, given in itertools.chain(*sections):
        for key in ("certificate", "key", "client_ca", "ca"):
            if isinstance(given, dict) and isinstance(given.get(key), str):
                document.files.add(folder / given[key])
                data = _replaced(data, (*section, key), str(folder / given[key]))
    return data


def _try_certificates(document: Document, settings: Settings) -> None:
    for index, listener in enumerate(settings.listeners):
        if listener.tls:
            with _reported(document, ("listeners", index, "tls")):
                context_of(listener.tls)
                _warn_of_open_key(document, ("listeners", index, "tls"), listener.tls.key)
    if settings.cluster and settings.cluster.tls:
        with _reported(document, ("cluster", "tls")):
            link_context(settings.cluster.tls, settings.node.name)
            _warn_of_open_key(document, ("cluster", "tls"), settings.cluster.tls.key)


@contextlib.contextmanager
def _reported(document: Document, section: PathInFile) -> Iterator[None]:
    """Report a certificate that cannot be used at its key in the section."""
    try:
        yield
    except CertificateError as error:
        document.report((*section, error.key), str(error))


def _warn_of_open_key(document: Document, section: PathInFile, key: str) -> None:
    with contextlib.suppress(OSError), Path(key).open("rb") as file:
        if is_open(file):
            document.warn((*section, "key"), rules.everybody_reads(key))


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


class ConfigFile:
    """A configuration file that is read again and again, with what it named the last time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.files: frozenset[Path] = frozenset((Path(path),))
        self._path: Final = Path(path)

    def read(self) -> Loaded:
        """As `examine`."""
        try:
            loaded = examine(self._path)
        except ConfigError as error:
            self.files = self.files | error.files
            raise
        self.files = loaded.files
        return loaded
