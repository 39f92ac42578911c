"""Transports of a router: each becomes one listener, if WebSocket or RawSocket is spoken there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wampha.config.crossbar import methods
from wampha.config.crossbar.methods import Known
from wampha.config.crossbar.part import Part

Relocate = Callable[[str], str]  # a path as the old file has it -> as the new one must

# What a path of a web transport can be, and what takes its place.
_SERVICES: Final = {
    "static": "files are not served here; let a web server do it",
    "redirect": "is not served here; let a web server do it",
    "json": "is not served here; let a web server do it",
    "nodeinfo": "the status page is at `monitoring.endpoint`",
    "publisher": "events over HTTP POST have no counterpart; a client can publish them",
    "caller": "calls over HTTP POST have no counterpart; a client can make them",
    "webhook": "has no counterpart; a client can publish what comes",
    "longpoll": "has no counterpart; all browsers speak WebSocket",
    "wsgi": "applications are not run here; start a WSGI server",
    "cgi": "programs are not run here",
    "upload": "has no counterpart",
    "resource": "applications are not run here",
    "reverseproxy": "is not done here; let a web server do it",
    "archive": "files are not served here; let a web server do it",
}
# Options of WebSocket transports that need no counterpart at these values, as that is how it is done here.
_AS_HERE: Final[Mapping[str, tuple[Any, ...]]] = {
    "enable_webstatus": (False,),
    "validate_utf8": (True,),
    "mask_server_frames": (False,),
    "require_masked_client_frames": (True,),
    "apply_mask": (True,),
    "enable_rfc6455": (True,),
    "enable_hybi10": (True, False),
    "tcp_nodelay": (True,),
    "auto_ping_size": tuple(range(126)),
    "auto_ping_restart_on_any_traffic": (True,),
    "echo_close_codereason": (True, False),
    "fail_by_drop": (True, False),
    "auto_fragment_size": (0,),
    "max_frame_size": (0,),
    "require_websocket_subprotocol": (True,),
    "external_port": (None,),
    "close_handshake_timeout": (0,),
}


class Transports:
    """Converts transports one after the other, and collects the limits that they set: those are the node's here."""

    def __init__(self, known: Known, relocate: Relocate) -> None:
        self.limits: Final[dict[str, Any]] = {}
        self._known: Final = known
        self._relocate: Final = relocate

    def listener(self, part: Part) -> dict[str, Any] | None:
        """One of our listeners, or None if no client of WAMP could connect there."""
        part.ignore("id")
        kind = part.take("type", str)
        convert = _KINDS.get(kind or "")
        if convert is None:
            part.note(f'a transport of type "{kind}" has no counterpart')
            return None
        endpoint = part.part("endpoint")
        protocols, auth = convert(self, part)
        part.close()
        where = self._endpoint(endpoint) if endpoint is not None else None
        if where is None or not protocols:
            part.note("becomes no listener" if protocols else "has nothing that speaks WAMP, and becomes no listener")
            return None
        if not auth:
            part.note("becomes no listener, since nobody could join there")
            return None
        return self._with_tls({**where, "protocols": protocols, "auth": auth})

    def _with_tls(self, listener: dict[str, Any]) -> dict[str, Any]:
        """Clients of method tls need to be asked for a certificate, and others of the listener have none."""
        auth, tls = listener["auth"], listener.get("tls")
        if tls and tls.get("client_ca") and len(auth) > ("tls" in auth):
            tls["client_certificate"] = "optional"
        if len(listener["protocols"]) == 2:
            del listener["protocols"]
        return listener

    # ---- kinds of transports: which protocols are spoken, and who is let in

    def _websocket(self, part: Part) -> tuple[list[str], dict[str, Any]]:
        self._about_websocket(part)
        return ["websocket"], methods.auth(part.part("auth"), part, self._known)

    def _rawsocket(self, part: Part) -> tuple[list[str], dict[str, Any]]:
        self._about_rawsocket(part)
        return ["rawsocket"], methods.auth(part.part("auth"), part, self._known)

    def _universal(self, part: Part) -> tuple[list[str], dict[str, Any]]:
        ways: list[tuple[str, dict[str, Any], Part]] = []
        for path, websocket in self._named(part.part("websocket")):
            websocket.ignore("type")
            self._check_path(websocket, path)
            ways.append(("websocket", self._websocket(websocket)[1], websocket))
            websocket.close()
        rawsocket = part.part("rawsocket")
        if rawsocket is not None:
            ways.append(("rawsocket", self._rawsocket(rawsocket)[1], rawsocket))
            rawsocket.close()
        web = part.part("web")
        if web is not None:
            ways.extend(self._paths(web))
            web.close()
        part.leave("mqtt", "MQTT is not spoken here")
        return self._together(ways)

    def _web(self, part: Part) -> tuple[list[str], dict[str, Any]]:
        return self._together(self._paths(part))

    def _paths(self, part: Part) -> list[tuple[str, dict[str, Any], Part]]:
        """The WebSocket services among the paths of a web transport; each other one is noted."""
        options = part.part("options")
        if options is not None:
            options.ignore(
                "access_log", "display_tracebacks", "hsts", "hsts_max_age", "client_timeout", "hixie76_aware"
            )
            options.close()
        ways = []
        for path, service in self._named(part.part("paths")):
            kind = service.take("type", str)
            if kind == "websocket":
                self._check_path(service, path)
                ways.append(("websocket", self._websocket(service)[1], service))
                service.close()
            elif kind == "path":
                ways.extend(self._paths(service))
            else:
                service.note(_SERVICES.get(kind or "", f'a service of type "{kind}" has no counterpart'))
        return ways

    def _named(self, part: Part | None) -> Iterator[tuple[str, Part]]:
        """The mappings in a mapping, by their keys."""
        for name in part or ():
            assert part is not None
            inner = part.part(name)
            if inner is not None:
                yield name, inner

    def _check_path(self, part: Part, path: str) -> None:
        if path.strip("/") not in ("", "ws"):  # where it is served here
            part.note("WebSocket is at /ws and / here, whatever its path was; change the URL of clients")

    def _together(self, ways: list[tuple[str, dict[str, Any], Part]]) -> tuple[list[str], dict[str, Any]]:
        """A listener has one `auth`: that of the first way in which somebody is let in."""
        ways = [way for way in ways if way[1]]
        if not ways:
            return [], {}
        first = ways[0][1]
        for _, auth, part in ways[1:]:
            if _but_cookie(auth) != _but_cookie(first):
                part.leave(
                    "auth", "a listener has one auth, and this one differs from the first; add a listener for it"
                )
                if "auth" not in part:
                    part.note("lets anybody in, which differs from the first one's auth; add a listener for it")
        protocols = {name for name, auth, _ in ways if _but_cookie(auth) == _but_cookie(first)}
        return [name for name in ("websocket", "rawsocket") if name in protocols], first

    # ---- their options

    def _about_websocket(self, part: Part) -> None:
        part.ignore("url", "id", "debug")
        part.leave("serializers", "all serializers are spoken here: json, msgpack, cbor")
        options = part.part("options")
        if options is None:
            return
        self._limit(options, "max_message_size", "message_bytes_max", 1, int)
        self._limit(options, "auto_ping_interval", "ping_interval_s", 1000, float)
        self._limit(options, "auto_ping_timeout", "ping_timeout_s", 1000, float)
        self._limit(options, "open_handshake_timeout", "opening_timeout_s", 1000, float)
        for key, values in _AS_HERE.items():
            options.satisfied(key, *values)
        options.leave("compression", "messages are not compressed")
        options.leave("allowed_origins", "list the pages in `origins` of the listener, unless they are of its own host")
        options.close()

    def _about_rawsocket(self, part: Part) -> None:
        part.ignore("id", "debug")
        part.leave("serializers", "all serializers are spoken here: json, msgpack, cbor")
        self._limit(part, "max_message_size", "message_bytes_max", 1, int)

    def _limit(self, part: Part, key: str, ours: str, divisor: int, kind: type) -> None:
        """A limit of a transport becomes one of the node: the most generous of them."""
        value = part.take(key, (int, float))
        if value:
            self.limits[ours] = max(kind(value / divisor), self.limits.get(ours, kind(0)))

    # ---- where it listens

    def _endpoint(self, part: Part) -> dict[str, Any] | None:
        kind = part.take("type", str)
        convert = {"tcp": self._tcp, "unix": self._unix, "twisted": self._twisted}.get(kind or "")
        if convert is None:
            part.note(f'an endpoint of type "{kind}" has no counterpart')
            return None
        made = convert(part)
        part.close()
        return made

    def _tcp(self, part: Part) -> dict[str, Any] | None:
        port, version = part.take("port", (int, str)), part.take("version", int, 4)
        interface, backlog = part.take("interface", str), part.take("backlog", int)
        part.satisfied("shared", False)
        for key in ("user_timeout", "user-timeout"):
            part.leave(key, "clients that are silent are cut by limits.ping_timeout_s")
        tls = self._tls(part.part("tls"))
        if isinstance(port, str):
            part.leave("port", f"{port} stands for the port; write the endpoint as {{env: NAME}} with NAME=tcp:PORT")
        if not isinstance(port, int):
            return None
        text = f"{'tcp6' if version == 6 else 'tcp'}:{port}"
        if interface:
            text += ":interface=" + interface.replace("\\", "\\\\").replace(":", "\\:")
        if backlog:
            text += f":backlog={backlog}"
        return {"endpoint": text, **({"tls": tls} if tls else {})}

    def _unix(self, part: Part) -> dict[str, Any] | None:
        path = part.take("path", str)
        part.ignore("backlog", "mode")
        return (
            None
            if path is None
            else {"endpoint": "unix:" + self._relocate(path).replace("\\", "\\\\").replace(":", "\\:")}
        )

    def _twisted(self, part: Part) -> dict[str, Any] | None:
        text = part.take("server_string", str)
        return None if text is None else {"endpoint": text}

    def _tls(self, part: Part | None) -> dict[str, Any] | None:
        if part is None:
            return None
        files = {key: part.take(key, str) for key in ("certificate", "key")}
        authorities = part.take("ca_certificates", (list, tuple), ())
        part.leave("chain_certificates", "those that signed it stand behind it in the same file; append them to it")
        part.leave("dhparam", "is not needed: keys are agreed on by elliptic curves")
        part.leave("ciphers", "TLS 1.2 with forward secrecy and TLS 1.3 are spoken, with nothing to choose")
        if len(authorities) > 1:
            part.leave("ca_certificates", "client_ca is one file; put all of them into it. Here stands the first")
        part.close()
        made = {key: self._relocate(value) for key, value in files.items() if value}
        if authorities and isinstance(authorities[0], str):
            made["client_ca"] = self._relocate(authorities[0])
        return made


_KINDS: Final[Mapping[str, Callable[[Transports, Part], tuple[list[str], dict[str, Any]]]]] = {
    "websocket": Transports._websocket,
    "rawsocket": Transports._rawsocket,
    "universal": Transports._universal,
    "web": Transports._web,
}


def relocation(source: Path, target: Path | None) -> Relocate:
    """How relative paths change between the folders of two files; Crossbar's too start at the folder of its file."""

    def relocate(path: str) -> str:
        if os.path.isabs(path) or target is None:
            return path
        return os.path.relpath(source.parent / path, target.parent)

    return relocate


def _but_cookie(auth: dict[str, Any]) -> dict[str, Any]:
    """RawSocket has no cookies, and shares a listener with WebSocket all the same."""
    return {method: section for method, section in auth.items() if method != "cookie"}
