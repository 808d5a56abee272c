"""The command line. The only part of keywarp that prints."""

from .main import main

__all__ = ["main"]
