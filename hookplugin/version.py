"""The version, where hatchling and the User-Agent read it."""

__version__ = "0.1.0"
