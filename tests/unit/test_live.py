"""What follows the settings while a node runs."""

from __future__ import annotations

from wampha.config.schema import Settings
from wampha.live import Level


def test_a_level_that_was_set_by_hand_stays_until_the_file_has_another_one() -> None:
    shown: list[str] = []
    level = Level("info", shown.append)
    for each in ("info", "debug", "debug", "info"):
        settings = Settings.model_validate(
            {"realms": [{"name": "a"}], "listeners": [{"endpoint": "tcp:1"}], "log": {"level": each}}
        )
        use = level.prepare(settings)
        use()
    assert shown == ["debug", "info"]
