"""The pages that are written from the code are as the code is now."""

from __future__ import annotations

from docs import reference


def test_the_configuration_reference_is_current() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run: make reference"
