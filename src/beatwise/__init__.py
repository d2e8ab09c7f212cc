"""Beatwise: raw ECG heartbeats to an honest, recall-first arrhythmia classifier."""

__version__ = "0.3.0"
