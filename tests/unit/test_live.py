"""What follows the settings while a node runs."""

from __future__ import annotations

from typing import Any

from wampha.config.schema import Settings
from wampha.live import Entries, Level


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


def pages(*origins: str) -> Settings:
    """A node with one listener that takes browsers from these pages."""
    listener: dict[str, Any] = {"endpoint": "tcp:1", "auth": {"anonymous": {"role": "guest"}}, "origins": origins}
    return Settings.model_validate({"realms": [{"name": "a"}], "listeners": [listener]})


def test_a_listener_takes_browsers_from_other_pages_as_soon_as_its_settings_say_so() -> None:
    entries = Entries(bytes(32))
    _, _, origins = entries.add(pages("same-host").listeners[0])
    use = entries.prepare(pages("https://app.example.com"))
    assert origins.allow("http://router.example.org", "router.example.org")
    use()
    assert not origins.allow("http://router.example.org", "router.example.org")
    assert origins.allow("https://app.example.com", "router.example.org")
