"""Which router a command talks to, and as whom: options and environment variables that all such commands share."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

DEFAULT_URL: Final = "ws://127.0.0.1:8080/ws"
SECRET_FILE_BYTES_MAX: Final = 64 * 1024
METHODS: Final = ("anonymous", "ticket", "wampcra", "wamp-scram", "cryptosign", "tls")
_PORTS: Final = {"ws": 80, "wss": 443, "rs": None, "rss": None}
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Url:
    """Where a router listens."""

    text: str
    scheme: str
    host: str
    port: int

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken there."""
        return self.scheme in ("wss", "rss")

    @property
    def websocket(self) -> bool:
        """Whether WebSocket is spoken there; else RawSocket."""
        return self.scheme in ("ws", "wss")

    @classmethod
    def read(cls, text: str) -> Url:
        """Read a URL; ValueError with a sentence."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f'"{text}" is no URL: {error}') from None
        if parts.scheme not in _PORTS:
            raise ValueError(f'"{text}" should begin with ws://, wss://, rs:// or rss://')
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL should have no user and no password; use --authid and --ticket-file")
        port = port or _PORTS[parts.scheme]
        if not host or not port:
            raise ValueError(f'"{text}" should name a host{"" if parts.scheme.startswith("ws") else " and a port"}')
        return cls(text, parts.scheme, host, port)


@dataclass(frozen=True, slots=True)
class Credentials:
    """By what the router is shown who we are; `key` is an Ed25519 private key, 32 bytes."""

    method: str
    authid: str | None = None
    ticket: str | None = None
    secret: str | None = None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What a server's certificate must be signed by (None: what the system trusts), and what we show ourselves."""

    insecure: bool
    authority: Path | None
    certificate: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """A router, by the URLs of its nodes, each of which will do, and how to join it."""

    urls: tuple[Url, ...]
    realm: str
    serializer: str
    credentials: Credentials
    trust: Trust
    connect_timeout_s: float

    def beginning_with(self, index: int) -> Target:
        """The same, but for the URL that is tried first; the others follow in their order."""
        return dataclasses.replace(self, urls=self.urls[index:] + self.urls[:index])


def _secret(option: str, name: str, variable: str, meaning: str) -> list[Callable[[Any], Any]]:
    """A secret as an option, or better as a file or in the environment."""
    return [
        click.option(option, name, envvar=variable, show_envvar=True, help=f"{meaning}; others see it in `ps`"),
        click.option(
            f"{option}-file",
            f"{name}_file",
            envvar=f"{variable}_FILE",
            show_envvar=True,
            type=click.Path(path_type=Path),
            help="a file that holds it",
        ),
    ]


def _path(option: str, name: str, variable: str, meaning: str) -> Callable[[Any], Any]:
    kind = click.Path(path_type=Path)
    return click.option(option, name, envvar=variable, show_envvar=True, type=kind, help=meaning)


_OPTIONS: Final[list[Callable[[Any], Any]]] = [
    click.option(
        "--url",
        "urls",
        envvar="WAMPHA_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        help="where the router is: ws://, wss://, rs:// or rss:// (RawSocket); several with commas between: the next "
        "one is tried when one fails",
    ),
    click.option(
        "--realm",
        envvar="WAMPHA_REALM",
        show_envvar=True,
        default="realm1",
        show_default=True,
        help="the realm to join",
    ),
    click.option(
        "--serializer",
        envvar="WAMPHA_SERIALIZER",
        show_envvar=True,
        type=click.Choice(["json", "msgpack", "cbor"]),
        default="json",
        show_default=True,
        help="how messages are written",
    ),
    click.option(
        "--authmethod",
        envvar="WAMPHA_AUTHMETHOD",
        show_envvar=True,
        type=click.Choice(METHODS),
        help="how to prove who one is; else by what is given: a ticket, a secret (wampcra), a key, or nothing",
    ),
    click.option("--authid", envvar="WAMPHA_AUTHID", show_envvar=True, help="who one is"),
    *_secret("--ticket", "ticket", "WAMPHA_TICKET", "for method ticket"),
    # WAMPHA_SECRET is what configurations of clusters refer to, and no client's business.
    *_secret("--secret", "secret", "WAMPHA_AUTH_SECRET", "for methods wampcra and wamp-scram"),
    *_secret(
        "--private-key",
        "private_key",
        "WAMPHA_PRIVATE_KEY",
        "for method cryptosign: 64 hexadecimal digits, or PEM in a file",
    ),
    _path("--ca", "ca", "WAMPHA_CA", "PEM file of the authorities that are trusted; else the system's"),
    _path("--cert", "cert", "WAMPHA_CERT", "PEM file of the certificate to show, for method tls"),
    _path("--cert-key", "cert_key", "WAMPHA_CERT_KEY", "PEM file of its private key, if that is another file"),
    click.option(
        "--insecure",
        envvar="WAMPHA_INSECURE",
        show_envvar=True,
        is_flag=True,
        help="take any certificate: anybody between can read and change everything",
    ),
    click.option(
        "--connect-timeout",
        "connect_timeout_s",
        envvar="WAMPHA_CONNECT_TIMEOUT",
        show_envvar=True,
        type=click.FloatRange(0.1, 600),
        default=10.0,
        show_default=True,
        help="seconds for each URL, until one has joined",
    ),
]
NAMES: Final = (
    *("urls", "realm", "serializer", "authmethod", "authid", "ca", "cert", "cert_key", "insecure", "connect_timeout_s"),
    *(name for secret in ("ticket", "secret", "private_key") for name in (secret, f"{secret}_file")),
)


def at_router(command: Command) -> Command:
    """Give a command the options of a router; it gets them as `target`."""

    @functools.wraps(command)
    def with_target(**given: Any) -> Any:
        return command(target=target_of({name: given.pop(name) for name in NAMES}), **given)

    decorated: Any = with_target
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    made: Command = decorated
    return made


def target_of(given: dict[str, Any]) -> Target:
    """The target that options describe; click.UsageError with a sentence."""
    try:
        urls = tuple(Url.read(text) for text in re.split(r"[,\s]+", given["urls"].strip(", ")))
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from None
    trust = Trust(given["insecure"], given["ca"], given["cert"], given["cert_key"] or given["cert"])
    if trust.insecure and trust.authority:
        raise click.UsageError("--ca and --insecure exclude each other")
    for option, path in (("--cert", trust.certificate), ("--cert-key", trust.key)):
        if path is not None:
            _content(option, path)
    if trust.authority is not None and not os.access(trust.authority, os.R_OK):  # a bundle may be large
        raise click.UsageError(f"--ca: {trust.authority} cannot be read")
    return Target(urls, given["realm"], given["serializer"], _credentials(given), trust, given["connect_timeout_s"])


def _credentials(given: dict[str, Any]) -> Credentials:
    ticket, secret = (_given(given, name, f"--{name}") for name in ("ticket", "secret"))
    text = _given(given, "private_key", "--private-key")
    key = _private_key(text) if text is not None else None
    told = [name for name, value in (("ticket", ticket), ("wampcra", secret), ("cryptosign", key)) if value is not None]
    method = given["authmethod"]
    if method is None:
        if len(told) > 1:
            raise click.UsageError(f"credentials for {' and '.join(told)} are given; say which by --authmethod")
        method = told[0] if told else "anonymous"
    needs = {
        "ticket": ("--ticket", ticket),
        "wampcra": ("--secret", secret),
        "wamp-scram": ("--secret", secret),
        "cryptosign": ("--private-key", key),
        "tls": ("--cert", given["cert"]),
    }
    if method in needs and needs[method][1] is None:
        raise click.UsageError(f"method {method} needs {needs[method][0]}")
    if method in ("ticket", "wampcra", "wamp-scram") and not given["authid"]:
        raise click.UsageError(f"method {method} needs --authid")
    return Credentials(method, given["authid"], ticket, secret, key)


def _given(given: dict[str, Any], name: str, option: str) -> str | None:
    said, path = given[name], given[f"{name}_file"]
    if said is not None and path is not None:
        raise click.UsageError(f"{option} and {option}-file exclude each other")
    return said if path is None else _content(f"{option}-file", path).rstrip("\r\n")


def _content(option: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1).decode()
    except OSError as error:
        raise click.UsageError(f"{option}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{option}: {path} is no text") from None
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise click.UsageError(f"{option}: {path} has more than {SECRET_FILE_BYTES_MAX} bytes")
    return content


def _private_key(text: str) -> bytes:
    if _KEY.fullmatch(text.strip()):
        return bytes.fromhex(text.strip())
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 50 ms that most commands need not wait for
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    ssh = "OPENSSH" in text
    read: Any = serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key
    try:
        key = read(text.encode(), None)
    except (ValueError, TypeError) as error:
        raise click.UsageError(
            f"--private-key should be 64 hexadecimal digits or a PEM file without passphrase: {error}"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise click.UsageError("--private-key should be an Ed25519 key")
    return key.private_bytes_raw()
