"""The pages that are written from the code are as the code is now."""

from __future__ import annotations

from docs import commands, metrics, reference
from helm import generate


def test_the_configuration_reference_is_current() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run: make reference"


def test_the_manual_of_the_command_is_current() -> None:
    assert commands.PAGE.read_text() == commands.page(), "run: make reference"


def test_the_tables_of_metrics_are_current() -> None:
    page = metrics.PAGE.read_text()
    assert page == metrics.written(page), "run: make reference"


def test_what_the_chart_has_from_elsewhere_is_current() -> None:
    """The schema of its values is made from that of the configuration."""
    assert (generate.CHART / "values.schema.json").read_text() == generate.schema_text(), "run: make chart"
    assert (generate.CHART / "README.md").read_text() == generate.readme_text(), "run: make chart"
    assert (generate.CHART / "files" / "live.yaml").read_text() == generate.live_text(), "run: make chart"
