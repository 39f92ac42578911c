"""Loaded by each Python that has this folder in PYTHONPATH: whoever reads or writes a pickle from here on is caught.

Python itself reads its compiled modules with marshal, and twistd keeps its list of plugins as a pickle beside them:
these two callers are let through, by the name of their module. Everybody else gets an exception, and as exceptions may
be swallowed, a line on standard error that no healthy node writes.
"""

import _pickle
import marshal
import pickle
import shelve
import sys
import traceback

LET_THROUGH = frozenset(("importlib._bootstrap_external", "_frozen_importlib_external", "zipimport", "twisted.plugin"))


class PoisonedError(BaseException):
    """No `except Exception` swallows it."""


def caught(name, caller):
    print(f"CRITICAL poisoned: {name} was called by {caller}", file=sys.stderr, flush=True)
    traceback.print_stack(file=sys.stderr)
    raise PoisonedError(name)


def poisoned(module, name):
    honest = getattr(module, name)

    def function(*args, **kwargs):
        caller = sys._getframe(1).f_globals.get("__name__")
        if caller not in LET_THROUGH:
            caught(f"{module.__name__}.{name}", caller)
        return honest(*args, **kwargs)

    setattr(module, name, function)


def poisoned_class(module, name):
    class Poisoned(getattr(module, name)):  # a class: others inherit from it, which does no harm
        def __init__(self, *args, **kwargs):
            caught(f"{module.__name__}.{name}", sys._getframe(1).f_globals.get("__name__"))

    setattr(module, name, Poisoned)


for _module in (pickle, _pickle, marshal):
    for _name in ("load", "loads", "dump", "dumps", "_load", "_loads", "_dump", "_dumps"):
        if hasattr(_module, _name):
            poisoned(_module, _name)
for _name in ("Pickler", "Unpickler", "_Pickler", "_Unpickler"):
    poisoned_class(pickle, _name)
for _name in ("Shelf", "BsdDbShelf", "DbfilenameShelf"):
    poisoned_class(shelve, _name)
poisoned(shelve, "open")
