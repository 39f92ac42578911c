"""Write the tables of docs/metrics.md from the code: `make reference`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wampha.distributions import MEASURES
from wampha.observe.exposition import COUNTERS, GAUGES, HISTOGRAMS, LINK_HISTOGRAM, Family

PAGE: Final = Path(__file__).parent / "metrics.md"
BEGIN: Final = "<!-- tables: written by make reference -->"


def written(page: str) -> str:
    """The page with its tables as the code has them."""
    return page.partition(BEGIN)[0] + f"{BEGIN}\n\n{tables()}"


def tables() -> str:
    """All of them."""
    histograms = [*(Family(name, text, lambda _: ()) for name, text in HISTOGRAMS.items()), LINK_HISTOGRAM]
    parts = [("Gauges", GAUGES), ("Counters", COUNTERS), ("Histograms", histograms)]
    text = "\n".join(f"## {title}\n\n{_table(families)}" for title, families in parts)
    ranges = "\n".join(
        f"| `wampha_{name}` | {', '.join(f'{bound:g}' for bound in measure.bounds)} |"
        for name, measure in MEASURES.items()
    )
    return f"{text}\nTheir ranges end at:\n\n| Histogram | `le` |\n| --- | --- |\n{ranges}\n"


def _table(families: object) -> str:
    rows = [
        f"| `{family.name}` | {', '.join(f'`{label}`' for label in family.labels)} | {family.text} |"
        for family in families  # type: ignore[attr-defined]
    ]
    return "\n".join(["| Name | Labels | What it tells |", "| --- | --- | --- |", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
