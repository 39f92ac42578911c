"""Arguments on the command line, and how values are shown."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from wampha.cli.values import argument, arguments, keywords, payload, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"12"', "12"),
        ('{"a": [1]}', {"a": [1]}),
        ("hello world", "hello world"),
        ("", ""),
        ("1,2", "1,2"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_an_argument_is_json_where_it_parses_and_else_text(text: str, value: Any) -> None:
    assert argument(text) == value
    assert type(argument(text)) is type(value)


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(click.UsageError, match="UTF-8"):
        arguments(["\udc80"])


def test_keyword_arguments_are_pairs() -> None:
    assert keywords(["a=1", "b=x=y", "c="]) == {"a": 1, "b": "x=y", "c": ""}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"]])
def test_a_keyword_argument_that_is_no_pair_or_is_given_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(click.UsageError, match="--kwarg"):
        keywords(pairs)


@pytest.mark.parametrize("value", ["\x1b[2J", "a\x7fb", "\x9b31m", "\u202etxt.exe", "line\nline", "\u2028"])
def test_no_value_can_change_how_a_terminal_shows_the_rest(value: str) -> None:
    text = shown([value])
    assert json.loads(text) == [value]
    assert text.isprintable()


def test_bytes_are_shown_as_wamp_has_them_in_json() -> None:
    assert json.loads(shown(b"\1\2")) == "\0AQI="


def test_a_lone_surrogate_can_be_printed() -> None:
    shown("\ud800").encode()


def test_a_payload_for_people_has_arguments_and_then_keyword_arguments() -> None:
    assert payload([1, "a"], {"unit": "m"}) == '1  "a"  unit="m"'
