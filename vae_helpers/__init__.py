"""Helpers for the notebooks: one subject a module, each derived in a lesson first."""
