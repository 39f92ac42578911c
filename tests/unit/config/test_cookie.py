"""When browsers may be known again by a cookie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wampha.config.load import load
from wampha.errors import ConfigError

WHOLE = """\
realms: [{name: realm1, roles: [{name: user}]}]
listeners:
  - endpoint: tcp:8080
    protocols: [websocket, rawsocket]
    auth:
      ticket: {principals: {joe: {ticket: secret, role: user}}}
      cookie: {}
"""


def problem(folder: Path, old: str, new: str) -> str:
    """The one problem of the file with a mistake in it, without the file's name."""
    assert old in WHOLE
    path = folder / "config.yaml"
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(path)
    (line,) = caught.value.problems
    return line.removeprefix(f"{path}:")


def test_nothing_has_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(WHOLE)
    cookie = load(tmp_path / "config.yaml").listeners[0].auth.cookie
    assert cookie is not None
    assert (cookie.name, cookie.length, cookie.max_age, cookie.same_site) == ("cbtid", 24, 86400, "strict")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "ticket: {principals: {joe: {ticket: secret, role: user}}}",
            "anonymous: {role: user}",
            "7:15: .*another method",
        ),
        ("[websocket, rawsocket]", "[rawsocket]", "7:15: .*WebSocket requests only"),
        ("cookie: {}", "cookie: {same_site: none}", "7:27: .*only with a tls section"),
        ("cookie: {}", "cookie: {name: __Host-id}", "7:22: .*only with a tls section"),
        ("cookie: {}", "cookie: {name: a b}", "7:22: .*should be letters"),
        ("cookie: {}", "cookie: {length: 6}", "7:24: .*at least 22"),
        ("cookie: {}", "cookie: {max_age: 0}", "7:25: .*at least 1"),
        ("cookie: {}", "cookie: {store: {type: file}}", "7:30: .*memory"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert re.match(line, problem(tmp_path, old, new)), problem(tmp_path, old, new)


def test_behind_a_proxy_with_tls_browsers_may_send_it_from_anywhere(tmp_path: Path) -> None:
    text = WHOLE.replace("cookie: {}", "cookie: {secure: true, same_site: none, name: __Host-id}")
    (tmp_path / "config.yaml").write_text(text)
    assert load(tmp_path / "config.yaml")
