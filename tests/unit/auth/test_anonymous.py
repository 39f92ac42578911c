"""Method `anonymous`."""

import pytest

from wampha.auth import anonymous


@pytest.mark.parametrize("methods", [None, [], ["anonymous"], ["ticket", "anonymous"]])
def test_it_is_offered_by_name_or_by_naming_nothing(methods: list[str] | None) -> None:
    assert anonymous.offered(methods)


def test_it_is_not_offered_by_who_names_only_other_methods() -> None:
    assert not anonymous.offered(["ticket", "wampcra"])


def test_the_grant_names_role_method_and_provider() -> None:
    grant = anonymous.grant(authid="x", role="guest")
    assert (grant.authid, grant.authrole, grant.authmethod, grant.authprovider) == ("x", "guest", "anonymous", "static")
