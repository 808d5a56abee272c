"""Sinks: files, windows and streams that a graph ends in."""
