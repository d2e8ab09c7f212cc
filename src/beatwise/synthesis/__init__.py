"""Synthetic ECG records."""
