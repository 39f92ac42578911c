"""The pages that are written from the code are as the code is now."""

from __future__ import annotations

from docs import metrics, reference


def test_the_configuration_reference_is_current() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run: make reference"


def test_the_tables_of_metrics_are_current() -> None:
    page = metrics.PAGE.read_text()
    assert page == metrics.written(page), "run: make reference"
