"""A WAMP router of several processes that behave as one."""

__version__ = "0.1.0"
