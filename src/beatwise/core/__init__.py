"""Foundations that know nothing of the rest: registries, errors, files."""
