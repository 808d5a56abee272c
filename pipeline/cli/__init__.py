"""The command line. The only part of keywarp that prints."""

from .app import main

__all__ = ["main"]
