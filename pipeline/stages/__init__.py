"""Stages: what is done to packets between source and sinks."""
