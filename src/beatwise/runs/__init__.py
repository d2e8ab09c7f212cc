"""Stored information about a run: metadata, run card and journal."""
