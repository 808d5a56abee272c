"""Scenes that know their own truth: classes, boxes and exact flow for every frame."""
