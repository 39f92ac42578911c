"""Who is let in: the methods of a listener, in Crossbar's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from wampha.auth.ticket import hashed
from wampha.config.load import load
from wampha.errors import ConfigError

KEY = "ab" * 32
HASH = hashed("x", b"s" * 16)
WHOLE = f"""\
realms:
  - name: realm1
    roles: [{{name: user}}, {{name: guest}}]
listeners:
  - endpoint: tcp:8080
    auth:
      anonymous: {{type: static, role: guest}}
      ticket:
        type: static
        principals:
          joe: {{ticket: {{env: JOE}}, role: user}}
          eva: {{ticket_hash: "{HASH}", role: user, realm: realm1}}
      wampcra:
        users:
          joe: {{secret: secret2, role: user}}
          peter: {{secret: prq7+YkJ1/KlW1X0YczMHw==, role: user, salt: salt123, iterations: 100, keylen: 16}}
      scram:
        principals:
          carol:
            kdf: argon2id-13
            memory: 512
            iterations: 4096
            salt: accaa46a8a32b6f1a5b0c3ee6f8e4e4f
            stored-key: {KEY}
            server-key: {KEY}
            role: user
      cryptosign:
        principals:
          client01@example.com: {{role: user, authorized_keys: [{KEY}]}}
      cookie: {{name: cbtid, length: 24, max_age: 864000, store: {{type: memory}}}}
"""


def problem(folder: Path, old: str, new: str) -> str:
    """The one problem of the file with a mistake in it, without the file's name."""
    assert old in WHOLE
    path = folder / "config.yaml"
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(path, {"JOE": "geheim-geheim"})
    (line,) = caught.value.problems
    assert "geheim" not in line
    return line.removeprefix(f"{path}:")


def test_every_method_can_be_configured(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(WHOLE)
    auth = load(path, {"JOE": "geheim-geheim"}).listeners[0].auth
    assert auth.ticket and auth.ticket.principals["joe"].ticket == "geheim-geheim"
    assert auth.wampcra and auth.wampcra.users["peter"].keylen == 16
    assert "geheim" not in repr(auth)
    assert "secret2" not in repr(auth)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{env: JOE}", "''", "ticket: should have at least 1 characters"),
        ("ticket: {env: JOE}, role", "role", "joe: should have either ticket or ticket_hash"),
        ("ticket: {env: JOE}", "tickt: {env: JOE}", 'tickt: unknown key. Did you mean "ticket"?'),
        (HASH, "$2b$12$abc", "ticket_hash: should be an argon2id hash"),
        ("m=19456", "m=999999999", "ticket_hash: should cost at most m="),
        (
            "secret: secret2, role: user",
            "secret: secret2, role: usr",
            'no realm has a role "usr". Did you mean "user"?',
        ),
        ("secret: secret2, role: user", "role: user", "secret: is missing"),
        ("            memory: 512\n", "", "carol: should have memory with kdf argon2id-13, and only with it"),
        ("argon2id-13", "scrypt", "kdf: should be 'argon2id-13' or 'pbkdf2', not \"scrypt\""),
        (f"stored-key: {KEY}", "stored-key: abcd", "stored-key: should be 64 hexadecimal digits"),
        ("salt: acc", "salt: '?'\n            #", "salt: should be base64"),
        (f"[{KEY}]", "[abc]", "authorized_keys[0]: should be 64 hexadecimal digits"),
        (f"[{KEY}]", "[]", "authorized_keys: should have at least 1 entry"),
        ("type: static\n", "type: dynamc\n", "type: should be 'static' or 'dynamic', not \"dynamc\""),
        ("realm: realm1}", "realm: realm2}", 'there is no realm "realm2". Did you mean "realm1"?'),
        (
            f"authorized_keys: [{KEY}]}}",
            f"authorized_keys: [{KEY}]}}\n          other: {{role: user, authorized_keys: [{KEY}]}}",
            'cryptosign: "client01@example.com" and "other" have the same key',
        ),
        ("peter: {", "joe: {", "given twice"),
        (
            "      cryptosign:\n",
            f"      tls: {{principals: {{a: {{role: user, certificate-sha256: {KEY}}}, "
            f"b: {{role: user, certificate-sha256: {KEY}}}}}}}\n      cryptosign:\n",
            'tls: "a" and "b" have the same certificate',
        ),
        (
            "{name: user}",
            "{name: user, authorizer: com.auth, permissions: [{uri: 'a.*'}]}",
            "realms[0].roles[0]: should have either permissions or an authorizer",
        ),
        (
            "        type: static\n        principals",
            "        type: dynamic\n        authenticator: com.auth\n        principals",
            "ticket: should have an authenticator, and no principals, since it is of type dynamic",
        ),
        ("type: static, role: guest", "type: dynamic", "anonymous: should have an authenticator, and no role"),
        ("type: static, role: guest", "type: dynamic, authenticator: a..b", "authenticator: "),
        ("type: static, role: guest", "type: static", "anonymous: should have role, and no authenticator, unless"),
    ],
)
def test_a_mistake_is_reported_where_it_stands(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert words in problem(tmp_path, old, new)
