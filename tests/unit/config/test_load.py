"""The loader: each kind of mistake has its sentence and its place, and all of them come at once."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wampha.certs import CA, Authority, write
from wampha.config.document import DEPTH_MAX, FILE_BYTES_MAX, Given, Position, plain, read
from wampha.config.load import ConfigFile, development, examine, load
from wampha.errors import ConfigError

SMALLEST = """\
realms:
  - name: realm1
    roles:
      - name: guest
listeners:
  - endpoint: tcp:8080:interface=127.0.0.1
    auth: {anonymous: {role: guest}}
"""

CLUSTER = """\
node: {name: a}
cluster:
  name: demo
  listen: tcp:8071:interface=127.0.0.1
  advertise: 127.0.0.1:8071
  voters:
    - {name: a, address: "127.0.0.1:8071"}
    - {name: b, address: "127.0.0.1:8072"}
    - {name: c, address: "127.0.0.1:8073"}
"""


class Files:
    """Writes configuration files and tells what the loader says about them, without the file's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.yaml"

    def write(self, text: str | bytes) -> Path:
        self.path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return self.path

    def problems(self, text: str | bytes, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load(self.write(text), environment)
        assert all(problem.startswith(f"{self.path}:") for problem in raised.value.problems)
        return [problem.removeprefix(f"{self.path}:") for problem in raised.value.problems]

    def problem(self, text: str | bytes, **environment: str) -> str:
        problems = self.problems(text, **environment)
        assert len(problems) == 1, problems
        return problems[0]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# ---- what is accepted


def test_the_smallest_file_gets_every_default(files: Files) -> None:
    settings = load(files.write(SMALLEST))
    assert settings.node.name == "wampha"
    assert settings.cluster is None
    assert settings.listeners[0].protocols == ("websocket", "rawsocket")
    assert settings.limits == development().limits
    assert settings.log.level == "info"


def test_a_file_grants_only_what_it_states(files: Files) -> None:
    settings = load(files.write(SMALLEST.replace("- name: guest", "- {name: guest, permissions: [{uri: a.b}]}")))
    allow = settings.realms[0].roles[0].permissions[0].allow
    assert (allow.call, allow.register, allow.publish, allow.subscribe) == (False, False, False, False)


def test_without_a_file_everything_is_allowed_on_loopback_only() -> None:
    settings = development()
    assert [listener.endpoint for listener in settings.listeners] == ["tcp:8080:interface=127.0.0.1"]
    assert [realm.name for realm in settings.realms] == ["realm1"]
    (permission,) = settings.realms[0].roles[0].permissions
    allow = permission.allow
    assert (permission.match, permission.uri) == ("prefix", "")
    assert (allow.call, allow.register, allow.publish, allow.subscribe) == (True, True, True, True)


def test_settings_cannot_be_changed(files: Files) -> None:
    settings = load(files.write(SMALLEST))
    with pytest.raises(ValueError, match="frozen"):
        settings.node.name = "other"  # type: ignore[misc]  # that is what is tested
    assert isinstance(settings.realms, tuple)


def test_an_anchor_may_be_used_again(files: Files) -> None:
    again = SMALLEST.replace("role: guest", "role: &r guest") + "  - {endpoint: tcp:0, auth: {anonymous: {role: *r}}}\n"
    assert load(files.write(again)).listeners[1].auth == load(files.path).listeners[0].auth


def test_a_byte_order_mark_is_no_part_of_the_first_key(files: Files) -> None:
    assert load(files.write(b"\xef\xbb\xbf" + SMALLEST.encode())).realms[0].name == "realm1"


# ---- the file as such


def test_a_missing_file_is_said_so(files: Files) -> None:
    with pytest.raises(ConfigError) as raised:
        load(files.folder / "none.yaml")
    assert raised.value.problems == (f"{files.folder / 'none.yaml'}: cannot be read: No such file or directory",)


def test_a_folder_is_no_file(files: Files) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(files.folder)


def test_a_file_that_is_too_large_is_not_parsed(files: Files) -> None:
    with pytest.raises(ConfigError, match="this is no configuration"):
        load(files.write(b"#" * (FILE_BYTES_MAX + 1)))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_says_what_it_needs(files: Files, text: str) -> None:
    assert all("realms" in problem or "section" in problem for problem in files.problems(text))


def test_bytes_that_are_not_utf_8_are_located(files: Files) -> None:
    assert files.problem(b"node:\n  name: caf\xe9\n") == "2:12: this is not UTF-8; save the file as UTF-8"


def test_a_syntax_error_is_located(files: Files) -> None:
    assert files.problem("node: {name: a\nrealms: []\n").startswith("2:7: this is not YAML: ")


def test_a_character_that_yaml_forbids_is_located(files: Files) -> None:
    assert files.problem("node:\n  name: a\x07b\n").startswith("2:10: this is not YAML: it has a character")


def test_a_second_document_is_refused(files: Files) -> None:
    assert files.problem(SMALLEST + "---\na: 1\n").startswith("8:1: this is not YAML: expected a single document")


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_a_file_that_is_no_section_is_refused(files: Files, text: str) -> None:
    assert files.problem(text).startswith("1:1: should be a section (keys with values), not ")


def test_deep_nesting_ends_before_it_exhausts_the_stack(files: Files) -> None:
    assert files.problem("a: " + "[" * 50_000) == f"1:{3 + DEPTH_MAX}: nested more than {DEPTH_MAX} levels deep"


def test_a_bomb_of_aliases_is_not_built(files: Files) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]  # a million values
    assert "once its aliases are followed" in files.problem("\n".join(lines))


def test_an_alias_to_the_list_that_holds_it_ends(files: Files) -> None:
    assert "once its aliases are followed" in files.problem("a: &a [*a]\n")


# ---- keys


def test_an_unknown_key_gets_the_nearest_known_one(files: Files) -> None:
    assert files.problem(SMALLEST + "    protocol: [websocket]\n") == (
        '8:5: listeners[0].protocol: unknown key. Did you mean "protocols"?'
    )


def test_a_misspelt_key_is_not_missing_as_well(files: Files) -> None:
    assert files.problem(SMALLEST.replace("endpoint", "endpont")) == (
        '6:5: listeners[0].endpont: unknown key. Did you mean "endpoint"?'
    )


def test_an_unknown_key_without_neighbour_gets_the_list(files: Files) -> None:
    assert files.problem("frobnicate: 1\n" + SMALLEST) == (
        "1:1: frobnicate: unknown key; known here: node, cluster, realms, realm_templates, listeners, "
        "limits, monitoring, log"
    )


def test_an_unknown_key_in_a_long_section_points_to_the_schema(files: Files) -> None:
    assert files.problem(SMALLEST + "limits:\n  zzz: 1\n") == (
        "9:3: limits.zzz: unknown key; `wampha schema` has the known ones"
    )


def test_a_key_given_twice_names_the_line_of_the_first(files: Files) -> None:
    assert files.problem("log: {}\n" + SMALLEST + "log: {}\n") == "9:1: log: given twice; the first is in line 1"


def test_a_key_is_what_is_written(files: Files) -> None:
    assert files.problem("on: 1\n" + SMALLEST).startswith("1:1: on: unknown key")


def test_a_key_that_is_a_list_is_refused(files: Files) -> None:
    assert files.problem(SMALLEST + "? [a]\n: 1\n") == "8:3: a key should be plain text"


def test_a_missing_key_is_reported_where_its_section_begins(files: Files) -> None:
    assert files.problem(SMALLEST.replace("- name: realm1\n    roles", "- roles")) == "2:5: realms[0].name: is missing"


# ---- values


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("yes", "should be text, but YAML reads true here; write it in quotes"),
        ("12", "should be text, but YAML reads a number here; write it in quotes"),
        ("", "should be text, not nothing"),
        ("[a]", "should be text, not a list"),
        ("{a: b}", "should be text, not a section"),
        ("!secret x", "has the tag !secret; tags are not used here, a reference is {env: NAME}"),
        ("a b", "should be 1 to 63 letters, digits, '.', '_' or '-', with a letter or digit at both ends"),
    ],
)
def test_a_name_that_is_none(files: Files, value: str, sentence: str) -> None:
    assert files.problem(f"node:\n  name: {value}\n" + SMALLEST).partition("node.name: ")[2] == sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1.5", "should be a whole number, not 1.5"),
        ("yes", "should be a whole number, not true"),
        ("'9999'", 'should be a whole number, not "9999"'),
        ("5", "should be at least 512, not 5"),
        ("99999999", "should be at most 16777215, not 99999999"),
    ],
)
def test_a_bound_that_is_none(files: Files, value: str, sentence: str) -> None:
    problem = files.problem(SMALLEST + f"limits: {{message_bytes_max: {value}}}\n")
    assert problem == f"8:29: limits.message_bytes_max: {sentence}"


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "0", "9999"])
def test_a_time_is_positive_and_bounded(files: Files, value: str) -> None:
    assert files.problem(SMALLEST + f"limits: {{hello_timeout_s: {value}}}\n").startswith("8:27: ")


def test_a_choice_gets_the_nearest_one(files: Files) -> None:
    assert files.problem(SMALLEST + "log: {level: warning}\n").endswith('not "warning". Did you mean "warn"?')


def test_a_scalar_in_place_of_a_list_is_explained(files: Files) -> None:
    assert files.problem(SMALLEST + "    protocols: websocket\n") == (
        "8:16: listeners[0].protocols: should be a list (each entry begins with '- '), not \"websocket\""
    )


def test_files_of_tls_are_sought_beside_the_configuration_and_tried(files: Files) -> None:
    assert files.problem(SMALLEST + "    tls: {certificate: x.pem, key: x.key}\n") == (
        f"8:24: listeners[0].tls.certificate: {files.folder / 'x.pem'} cannot be read: No such file or directory"
    )


def test_a_listener_is_encrypted_once(files: Files) -> None:
    text = SMALLEST.replace("tcp:8080:interface=127.0.0.1", "tcp:8080") + "    tls: {certificate: x.pem}\n"
    assert files.problem(text).endswith("listeners[0].tls.key: is missing")


def test_a_trustlevel_is_an_integer_from_0(files: Files) -> None:
    role = "- {name: guest, permissions: [{uri: a, trustlevel: -1}]}"
    problem = files.problem(SMALLEST.replace("- name: guest", role))
    assert "permissions[0].trustlevel: should be" in problem


@pytest.mark.parametrize("key", ["realms", "listeners"])
def test_a_list_needs_an_entry(files: Files, key: str) -> None:
    problems = files.problems({"realms": "", "listeners": SMALLEST.partition("listeners")[0]}[key] + f"{key}: []\n")
    assert any(problem.endswith(f"{key}: should have at least 1 entry") for problem in problems)


def test_an_entry_with_a_problem_counts_as_an_entry(files: Files) -> None:
    problem = files.problem(SMALLEST.replace("name: realm1", "name: 'a b'"))
    assert problem.startswith("2:11: realms[0].name: 'a b' is not")


# ---- references


def test_a_value_may_come_from_the_environment(files: Files) -> None:
    text = SMALLEST.replace("name: realm1", "name: {env: REALM}")
    assert load(files.write(text), {"REALM": "com.example"}).realms[0].name == "com.example"


def test_a_value_may_come_from_a_file_beside_the_configuration(files: Files) -> None:
    (files.folder / "secret").write_text("0123456789abcdef\n")
    text = SMALLEST + CLUSTER.replace("  name: demo", "  name: demo\n  secret: {file: secret}")
    cluster = load(files.write(text)).cluster
    assert cluster is not None
    assert cluster.secret == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(cluster)


def test_a_reference_may_stand_for_a_number_or_a_boolean(files: Files) -> None:
    text = SMALLEST.replace("- name: guest", "- {name: guest, permissions: [{uri: a, allow: {call: {env: YES}}}]}")
    text += "limits: {message_bytes_max: {env: BYTES}, hello_timeout_s: {env: TIME}}\n"
    settings = load(files.write(text), {"YES": "true", "BYTES": "4096", "TIME": "1.5"})
    assert settings.realms[0].roles[0].permissions[0].allow.call is True
    assert settings.limits.message_bytes_max == 4096
    assert settings.limits.hello_timeout_s == 1.5


def test_a_reference_stays_text_where_text_is_wanted(files: Files) -> None:
    text = SMALLEST.replace("realms:", "node: {name: {env: NAME}}\nrealms:", 1)
    assert load(files.write(text), {"NAME": "7"}).node.name == "7"


def test_a_reference_of_the_wrong_kind_is_reported_without_its_content(files: Files) -> None:
    problem = files.problem(SMALLEST + "limits: {message_bytes_max: {env: BYTES}}\n", BYTES="hush")
    assert problem == "8:29: limits.message_bytes_max: should be a whole number, not what the reference names"


def test_a_variable_that_is_not_set_is_the_only_problem_of_its_key(files: Files) -> None:
    beyond = CLUSTER.replace("127.0.0.1", "10.0.0.1").replace("  name: demo", "  name: demo\n  secret: {env: NONE}")
    assert files.problem(SMALLEST + beyond) == "11:11: cluster.secret: the environment variable NONE is not set"


def test_a_referenced_file_that_is_missing_is_named(files: Files) -> None:
    assert files.problem(SMALLEST + "node: {name: {file: none}}\n") == (
        "8:14: node.name: the file none cannot be read: No such file or directory; "
        "relative names start at the folder of this file"
    )


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff", "is not UTF-8"), (b"x" * 70_000, "has more than 65536 bytes")]
)
def test_a_referenced_file_must_be_a_short_text(files: Files, content: bytes, words: str) -> None:
    (files.folder / "value").write_bytes(content)
    assert files.problem(SMALLEST + "node: {name: {file: value}}\n") == f"8:14: node.name: the file value {words}"


# ---- between sections


def test_a_role_that_no_realm_has_gets_the_nearest_one(files: Files) -> None:
    assert files.problem(SMALLEST.replace("role: guest", "role: gest")) == (
        '7:30: listeners[0].auth.anonymous.role: no realm has a role "gest". Did you mean "guest"?'
    )


def test_a_listener_that_lets_nobody_in_is_a_mistake(files: Files) -> None:
    text = SMALLEST.replace("    auth: {anonymous: {role: guest}}\n", "")
    assert files.problem(text).startswith("6:5: listeners[0]: nobody could join here")


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("listeners:", "  - name: realm1\nlisteners:", "realms[1].name"),
        ("listeners:", "      - name: guest\nlisteners:", "realms[0].roles[1].name"),
    ],
)
def test_a_name_given_twice_is_refused(files: Files, old: str, new: str, path: str) -> None:
    assert files.problem(SMALLEST.replace(old, new)).partition(" ")[2].startswith(f"{path}: ")


def test_two_permissions_for_one_pattern_are_refused(files: Files) -> None:
    role = "- {name: guest, permissions: [{uri: a.*}, {uri: a.*, allow: {call: true}}]}"
    assert files.problem(SMALLEST.replace("- name: guest", role)).endswith(
        'permissions[1].uri: the role has a permission for "a.*" already'
    )


def test_two_listeners_cannot_share_a_port(files: Files) -> None:
    text = SMALLEST + "  - {endpoint: 'tcp:port=8080:interface=127.0.0.1', auth: {anonymous: {role: guest}}}\n"
    assert files.problem(text).startswith("8:16: listeners[1].endpoint: binds the same place as")


def test_two_listeners_on_a_free_port_each_are_fine(files: Files) -> None:
    text = SMALLEST.replace("tcp:8080", "tcp:0") + "  - {endpoint: 'tcp:0', auth: {anonymous: {role: guest}}}\n"
    assert len(load(files.write(text)).listeners) == 2


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("client_queue_bytes_max", 65_536),
        ("link_frame_bytes_max", 1_048_576),
        ("link_queue_bytes_max", 1_048_576),
        ("link_queue_bytes_max", 2 * 17 * 1_048_576 - 1),
    ],
)
def test_a_bound_must_hold_what_it_is_to_contain(files: Files, limit: str, value: int) -> None:
    assert files.problem(SMALLEST + f"limits: {{{limit}: {value}}}\n").partition(" ")[2].startswith(f"limits.{limit}: ")


def test_ctrl_c_ends_a_development_node_soon() -> None:
    drain = development().node.drain
    assert drain.spread_s + drain.answer_s < drain.deadline_s <= 3.0


def test_the_deadline_of_a_stop_leaves_room_for_its_steps(files: Files) -> None:
    text = SMALLEST + "node: {drain: {spread_s: 30}}\n"
    assert files.problem(text).endswith("node.drain.deadline_s: should be at least spread_s + answer_s + 5 (37)")
    files.write(text.replace("spread_s: 30", "spread_s: 30, deadline_s: 37"))
    assert load(files.path).node.drain.spread_s == 30.0


# ---- the cluster


def cluster_of(count: int) -> str:
    """Return a cluster section with the first `count` of six voters."""
    voters = [f'{{name: {name}, address: "127.0.0.1:807{index + 1}"}}' for index, name in enumerate("abcdef"[:count])]
    return CLUSTER.partition("  voters:")[0] + f"  voters: [{', '.join(voters)}]\n"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_one_three_or_five_voters_are_fine(files: Files, count: int) -> None:
    cluster = load(files.write(SMALLEST + cluster_of(count))).cluster
    assert cluster is not None
    assert [voter.name for voter in cluster.voters] == list("abcde"[:count])


@pytest.mark.parametrize("count", [0, 2, 4, 6])
def test_any_other_number_of_voters_is_refused(files: Files, count: int) -> None:
    assert f"should name 1, 3 or 5 voters, not {count}" in files.problem(SMALLEST + cluster_of(count))


def test_a_node_that_is_no_voter_is_an_observer(files: Files) -> None:
    text = CLUSTER.replace("name: a}", "name: d}", 1).replace("advertise: 127.0.0.1:8071", "advertise: 127.0.0.1:8074")
    settings = load(files.write(SMALLEST + text))
    assert settings.cluster is not None
    assert settings.node.name not in [voter.name for voter in settings.cluster.voters]


def test_an_observer_at_the_address_of_a_voter_has_the_wrong_name(files: Files) -> None:
    assert files.problem(SMALLEST + CLUSTER.replace("name: a}", "name: aa}", 1)) == (
        '8:14: node.name: cluster.advertise is the address of voter "a". Did you mean "a"?'
    )


def test_a_voter_advertises_its_address(files: Files) -> None:
    text = CLUSTER.replace("advertise: 127.0.0.1:8071", "advertise: 127.0.0.1:8079")
    assert files.problem(SMALLEST + text) == (
        '12:14: cluster.advertise: voter "a" has the address 127.0.0.1:8071 in the list of voters'
    )


def test_a_node_of_a_cluster_has_a_name_of_its_own(files: Files) -> None:
    assert "node.name: is missing" in files.problem(SMALLEST + CLUSTER.replace("node: {name: a}\n", ""))


def test_voters_are_named_and_reached_once(files: Files) -> None:
    twice = CLUSTER.replace('{name: c, address: "127.0.0.1:8073"}', '{name: b, address: "127.0.0.1:8072"}')
    problems = files.problems(SMALLEST + twice)
    assert [problem.partition(" ")[2] for problem in problems] == [
        'cluster.voters[2].name: "b" is given twice',
        'cluster.voters[2].address: "127.0.0.1:8072" is given twice',
    ]


@pytest.mark.parametrize(
    "beyond",
    [
        ("listen: tcp:8071:interface=127.0.0.1", "listen: tcp:8071"),
        ("listen: tcp:8071:interface=127.0.0.1", "listen: tcp:8071:interface=10.1.2.3"),
        ('"127.0.0.1:8072"', '"10.0.0.2:8072"'),
        ('"127.0.0.1:8073"', '"wampha-2.example:8073"'),
    ],
)
def test_a_cluster_beyond_loopback_needs_a_secret(files: Files, beyond: tuple[str, str]) -> None:
    assert files.problem(SMALLEST + CLUSTER.replace(*beyond)).startswith(
        "10:3: cluster.secret: is missing, and so is cluster.tls; a cluster beyond 127.0.0.1 needs one of both"
    )
    with_secret = CLUSTER.replace(*beyond).replace("  name: demo", "  name: demo\n  secret: 0123456789abcdef")
    assert load(files.write(SMALLEST + with_secret)).cluster is not None


ENCRYPTED = CLUSTER.replace(
    "  name: demo", "  name: demo\n  tls: {certificate: tls/a.pem, key: tls/a.key, ca: tls/ca.pem}"
)


@pytest.fixture
def certificates(files: Files) -> Path:
    """Certificates of nodes a and b, in a folder beside the configuration."""
    folder = files.folder / "tls"
    folder.mkdir()
    authority = Authority.new(1)
    write(folder, CA, authority.key, authority.certificate)
    for name in ("a", "b"):
        write(folder, name, *authority.sign(name, [], 1))
    return folder


@pytest.mark.usefixtures("certificates")
def test_a_cluster_beyond_loopback_needs_no_secret_if_it_has_tls(files: Files) -> None:
    cluster = load(files.write(SMALLEST + ENCRYPTED.replace(":interface=127.0.0.1", ""))).cluster
    assert cluster is not None and cluster.tls is not None
    assert cluster.tls.ca == str(files.folder / "tls" / "ca.pem")


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        (("tls/a.pem", "tls/b.pem"), "certificate", 'b.pem is for b, and node.name is "a"'),
        (("tls/a.pem", "tls/ca.pem"), "key", "a.key is no private key in PEM format that fits"),
        (("tls/a.key", "tls/b.key"), "key", "b.key is no private key in PEM format that fits"),
        (("tls/ca.pem", "tls/none"), "ca", "none cannot be read: No such file"),
        (("tls/ca.pem", "tls/a.key"), "ca", "a.key holds no certificate in PEM format"),
    ],
)
def test_the_files_of_links_are_tried_and_must_fit_the_node(
    files: Files, certificates: Path, change: tuple[str, str], key: str, why: str
) -> None:
    text = ENCRYPTED.replace(*change)
    if change == ("tls/a.pem", "tls/b.pem"):
        text = text.replace("tls/a.key", "tls/b.key")
    problem = files.problem(SMALLEST + text)
    assert f"cluster.tls.{key}: {certificates.parent}" in problem
    assert why in problem


@pytest.mark.usefixtures("certificates")
def test_a_certificate_without_names_is_that_of_nobody(files: Files) -> None:
    text = ENCRYPTED.replace("tls/a.pem", "tls/ca.pem").replace("tls/a.key", "tls/ca.key")
    assert 'ca.pem is for nobody, and node.name is "a"' in files.problem(SMALLEST + text)


def test_a_cluster_on_loopback_needs_no_secret(files: Files) -> None:
    assert load(files.write(SMALLEST + CLUSTER)).cluster is not None


def test_a_short_secret_is_refused_and_not_shown(files: Files) -> None:
    problem = files.problem(SMALLEST + CLUSTER.replace("  name: demo", "  name: demo\n  secret: hush"))
    assert problem == "11:11: cluster.secret: should have at least 16 characters"


# ---- all at once


def test_every_problem_is_reported_at_once_in_the_order_of_the_file(files: Files) -> None:
    problems = files.problems(
        """\
        node:
          nmae: x
        realms:
          - name: "real m"
            uri_check: stric
            roles:
              - name: yes
              - name: guest
                permissions:
                  - {uri: a.*, allow: {cal: true, register: 1}}
                  - {uri: a..b}
        listeners:
          - endpont: tcp:8080
            auth: {anonymous: {role: gest}}
          - endpoint: 127.0.0.1:8080
            auth: {anonymous: {role: guest}}
        log: {level: {env: NONE}}
        """
    )
    assert [problem.split(" ")[:2] for problem in problems] == [
        ["2:3:", "node.nmae:"],
        ["4:11:", "realms[0].name:"],
        ["5:16:", "realms[0].uri_check:"],
        ["7:15:", "realms[0].roles[0].name:"],
        ["10:32:", "realms[0].roles[1].permissions[0].allow.cal:"],
        ["10:53:", "realms[0].roles[1].permissions[0].allow.register:"],
        ["11:19:", "realms[0].roles[1].permissions[1].uri:"],
        ["13:5:", "listeners[0].endpont:"],
        ["14:30:", "listeners[0].auth.anonymous.role:"],
        ["15:15:", "listeners[1].endpoint:"],
        ["17:14:", "log.level:"],
    ]


# ---- anything at all

KEYS = ["node", "name", "cluster", "voters", "realms", "roles", "permissions", "uri", "allow", "listeners", "auth"]
JUNK = st.recursive(
    st.sampled_from(["yes", "1", "x", "~", "1.5", "{env: HOME}", "'*'", "!!int z", "2001-01-01", "=", "<<"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=20,
)


@given(JUNK)
def test_any_yaml_is_loaded_or_refused_with_places(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    assert all(problem.startswith(f"{path}:1:") for problem in raised.value.problems)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load(path, {})


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(0, 5), min_size=1))
def test_positions_are_those_of_the_lines_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, int]
) -> None:
    text, expected = "", {}
    for key, blank_lines in entries.items():
        text += "\n" * blank_lines + f"{key}:   value\n"
        expected[(key,)] = Position(text.count("\n"), len(key) + 5)
    path = tmp_path_factory.getbasetemp() / "positions.yaml"
    path.write_text(text)
    document = read(path, {})
    assert {place: document.values[place] for place in expected} == expected


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("7", 7), ("1.5", 1.5), ("x", "x"), ("", None), ("0x", "0x")]
)
def test_a_referenced_text_is_read_like_a_plain_scalar(text: str, value: object) -> None:
    assert plain(Given(text)) == value


HISTORY = """\
realms:
  - name: realm1
    roles:
      - name: guest
    history:
      - {uri: com.log., match: prefix, limit: 500, bytes_max: 1048576}
      - {uri: com.log.}
      - {uri: com..topic, match: wildcard}
listeners:
  - endpoint: tcp:8080:interface=127.0.0.1
    auth: {anonymous: {role: guest}}
"""


@pytest.mark.parametrize(
    ("line", "wrong", "place", "sentence"),
    [
        ("{uri: com.log.}", "{uri: com.log., match: prefix}", "7:15", 'the realm has a history of "com.log." already'),
        ("{uri: com.log.}", "{match: prefix}", "7:9", "is missing"),
        ("{uri: com.log.}", "{uri: wamp.x}", "7:15", "is a name of the router's own events, which have no history"),
        (
            "{uri: com.log.}",
            "{uri: com.log, match: prefx}",
            "7:31",
            'Did you mean "prefix"?',
        ),
        ("{uri: com.log.}", "{uri: com.log, limit: 0}", "7:31", "should be at least 1"),
        ("{uri: com.log.}", "{uri: com.log, bytes_max: 300_000_000}", "7:35", "may have 268435456 bytes together"),
        ("{uri: com.log.}", "{uri: com.log, limt: 5}", "7:24", 'Did you mean "limit"?'),
    ],
)
def test_mistakes_in_histories_are_told(files: Files, line: str, wrong: str, place: str, sentence: str) -> None:
    text = HISTORY.replace(line, "{uri: com.log}")
    history = load(files.write(text), {}).realms[0].history
    assert [(each.match, each.uri, each.limit) for each in history] == [
        ("prefix", "com.log.", 500),
        ("exact", "com.log", 1000),
        ("wildcard", "com..topic", 1000),
    ]
    problem = files.problem(text.replace("{uri: com.log}", wrong))
    assert problem.startswith(f"{place}: realms[0].history[1]"), problem
    assert sentence in problem


# ---- templates of realms

TEMPLATE = SMALLEST + "realm_templates:\n  - name: tenants.*\n    roles: [{name: tenant}]\n"


def test_a_template_may_have_all_that_a_realm_has(files: Files) -> None:
    (template,) = load(files.write(TEMPLATE + "    call_timeout_unit: s\n    linger_s: 5.0\n")).realm_templates
    assert (template.pattern, template.linger_s, template.call_timeout_unit) == (("prefix", "tenants."), 5.0, "s")


def test_roles_and_realms_of_a_template_count(files: Files) -> None:
    anonymous = "{anonymous: {role: guest}}"
    load(files.write(TEMPLATE.replace(anonymous, "{anonymous: {role: tenant}}")))
    ticket = "{ticket: {principals: {joe: {ticket: x, role: tenant, realm: REALM}}}}"
    load(files.write(TEMPLATE.replace(anonymous, ticket.replace("REALM", "tenants.a"))))
    assert 'there is no realm "others.a"' in files.problem(
        TEMPLATE.replace(anonymous, ticket.replace("REALM", "others.a"))
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("tenants.*", "tenants", "9:11: realm_templates[0].name: should have a star, as in tenants.*"),
        ("tenants.*", "tenants #.*", "9:11: realm_templates[0].name: should have a star"),
        ("name: tenants.*", "name: 'a b.*'", "9:11: realm_templates[0].name: 'a b.' is not a valid URI"),
        ("roles: [{name: tenant}]", "roles: [{name: t}, {name: t}]", '"t" is given twice'),
    ],
)
def test_what_is_wrong_with_a_template_is_told(files: Files, old: str, new: str, problem: str) -> None:
    assert problem in files.problem(TEMPLATE.replace(old, new))


def test_two_templates_of_one_name_are_told(files: Files) -> None:
    assert 'realm_templates[1].name: "tenants.*" is given twice' in files.problem(TEMPLATE + "  - name: tenants.*\n")


# ---- what is no mistake, but hardly meant

GRANTING = SMALLEST.replace("- name: guest\n", "- {name: guest, permissions: [{uri: com.x, allow: {call: true}}]}\n")


def warnings(files: Files, text: str) -> list[str]:
    """What `examine` warns of, without the name of the file."""
    return [line.removeprefix(f"{files.path}:") for line in examine(files.write(text)).warnings]


@pytest.mark.parametrize("more", ["", "\n        permissions: [{uri: com.x, allow: {call: false}}, {uri: com.y}]"])
def test_a_role_that_grants_nothing_is_warned_of_with_a_remedy(files: Files, more: str) -> None:
    (line,) = warnings(files, SMALLEST.replace("- name: guest\n", f"- name: guest{more}\n"))
    assert line.startswith('4:9: realms[0].roles[0]: warning: role "guest" grants nothing')
    assert "permissions: [{uri:" in line


def test_a_role_that_grants_something_or_asks_an_authorizer_is_not(files: Files) -> None:
    assert warnings(files, GRANTING) == []
    assert warnings(files, SMALLEST.replace("name: guest\n", "name: guest\n        authorizer: com.ask\n", 1)) == []


def test_a_secret_in_a_file_that_everybody_may_read_is_warned_of_and_no_other_file(files: Files) -> None:
    (files.folder / "ticket").write_text("geheim")
    (files.folder / "ticket").chmod(0o644)
    text = GRANTING.replace(
        "{anonymous: {role: guest}}", "{ticket: {principals: {joe: {ticket: {file: ticket}, role: {file: role}}}}}"
    )
    (files.folder / "role").write_text("guest")
    (line,) = warnings(files, text)
    assert line == (
        "7:48: listeners[0].auth.ticket.principals.joe.ticket: warning: everybody on this machine may read ticket; "
        "if they should not: chmod o= ticket"
    )
    (files.folder / "ticket").chmod(0o640)
    assert warnings(files, text) == []


def test_a_private_key_that_everybody_may_read_is_warned_of(files: Files) -> None:
    authority = Authority.new(30)
    write(files.folder, "a", *authority.sign("a", [], 30))
    text = GRANTING + "    tls: {certificate: a.pem, key: a.key}\n"
    assert warnings(files, text) == []
    (files.folder / "a.key").chmod(0o604)
    (line,) = warnings(files, text)
    assert line.startswith(f"8:36: listeners[0].tls.key: warning: everybody on this machine may read {files.folder}")


def test_a_mistake_is_told_without_warnings(files: Files) -> None:
    assert files.problem(SMALLEST + "log: {level: 7}\n").startswith("8:14: log.level: should be")


def named(files: Files, file: ConfigFile) -> set[str]:
    return {str(each.relative_to(files.folder)) for each in file.files}


def test_a_file_knows_what_it_names_certificates_too(files: Files) -> None:
    authority = Authority.new(30)
    write(files.folder, "a", *authority.sign("a", [], 30))
    (files.folder / "role").write_text("guest")
    text = GRANTING.replace("{role: guest}", "{role: {file: role}}") + "    tls: {certificate: a.pem, key: a.key}\n"
    path = files.folder / "config.yaml"
    path.write_text(text)
    file = ConfigFile(path)
    assert named(files, file) == {"config.yaml"}
    assert file.read().settings.listeners[0].tls
    assert named(files, file) == {"config.yaml", "a.pem", "a.key", "role"}
    path.write_text(GRANTING)
    file.read()
    assert named(files, file) == {"config.yaml"}


def test_a_file_that_cannot_be_used_names_what_it_named_before_and_what_may_still_come(files: Files) -> None:
    path = files.folder / "config.yaml"
    path.write_text(GRANTING)
    file = ConfigFile(path)
    file.read()
    path.write_text(GRANTING.replace("{role: guest}", "{role: {file: role}}"))
    with pytest.raises(ConfigError, match="role"):
        file.read()
    assert named(files, file) == {"config.yaml", "role"}
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        file.read()
    assert named(files, file) == {"config.yaml", "role"}
