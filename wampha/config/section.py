"""What every section of the configuration is made of."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from wampha.config.places import check_address, check_endpoint
from wampha.errors import InvalidUri
from wampha.limits import Limits
from wampha.names.uri import EXACT, PREFIX, WILDCARD, UriRules

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LIMITS: Final = Limits()
_URIS: Final = UriRules(strict=False, bytes_max=_LIMITS.uri_bytes_max, components_max=_LIMITS.uri_components_max)


def _check_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("should be 1 to 63 letters, digits, '.', '_' or '-', with a letter or digit at both ends")
    return name


def check_uri(uri: str, match: str = EXACT) -> str:
    """Return the URI or pattern; ValueError with a sentence if it breaks WAMP's rules."""
    try:
        _URIS.check_pattern(match, uri)
    except InvalidUri as error:
        raise ValueError(str(error)) from None
    return uri


def starred(pattern: str) -> tuple[str, str]:
    """Match policy and pattern without stars, as in Crossbar: `a.*` is the prefix `a.`, `a.*.c` a wildcard."""
    if "*" not in pattern:
        return EXACT, pattern
    if pattern.index("*") == len(pattern) - 1:
        return PREFIX, pattern[:-1]
    return WILDCARD, pattern.replace("*", "")


def _check_pattern(pattern: str) -> str:
    match, uri = starred(pattern)
    if match == EXACT:
        raise ValueError("should have a star, as in tenants.*; a realm of one name belongs to realms")
    check_uri(uri, match)
    return pattern


Name = Annotated[str, AfterValidator(_check_name)]
Uri = Annotated[str, AfterValidator(check_uri)]
RealmName = Uri
RealmPattern = Annotated[str, AfterValidator(_check_pattern)]
RoleName = Annotated[str, Field(min_length=1, max_length=255)]
Authid = Annotated[str, Field(min_length=1, max_length=255)]
Address = Annotated[str, AfterValidator(check_address)]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
