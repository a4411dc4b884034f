"""Engines: from an action to its events."""
