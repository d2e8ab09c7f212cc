"""Beatwise: raw ECG heartbeats to an honest, recall-first arrhythmia classifier."""

__version__ = "0.2.0.dev0"
