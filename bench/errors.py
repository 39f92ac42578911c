"""What can go wrong while measuring, told to the person who runs it."""


class BenchError(Exception):
    """The bench cannot go on; the text says what to do about it."""
