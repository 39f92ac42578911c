"""Golden scripts: what a cluster says, word for word.

`REWRITE=1 pytest tests/scripts` writes the traces anew: read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.scripts.player import Player

SCRIPTS = sorted(Path(__file__).parent.glob("*.script"))


def blocks(text: str) -> list[tuple[str, str]]:
    """(commands, trace) of each block; an empty line ends a trace."""
    found = []
    for part in re.split(r"\n{2,}", text.strip("\n")):
        commands, mark, trace = f"{part}\n".partition("----\n")
        assert mark, f"a block without ----: {part}"
        found.append((commands, trace))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_causes_its_trace(script: Path) -> None:
    player = Player()
    parts = blocks(script.read_text())
    played = [(commands, player.play(commands)) for commands, _ in parts]
    if os.environ.get("REWRITE"):
        script.write_text("\n".join(f"{commands}----\n{trace}" for commands, trace in played))
    assert played == parts or os.environ.get("REWRITE")


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 4
