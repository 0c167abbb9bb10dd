"""chatd: a headless peer-to-peer chat daemon."""

__version__ = "0.1.0"
