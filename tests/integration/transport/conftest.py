"""The tests of this directory block on their sockets: each runs in a thread beside the reactor."""

from __future__ import annotations

import pytest

from tests.support.reactors import beside_reactor


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """In place of pytest-twisted's, which would call the test in the reactor's thread."""
    names = pyfuncitem._fixtureinfo.argnames
    beside_reactor(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    return True
