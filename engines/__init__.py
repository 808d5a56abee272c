"""Engines compile networks to plans and run them in sessions. They know nothing of models or video."""
