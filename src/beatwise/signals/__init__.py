"""Signals: records, their segmentation into beats, RR intervals, representations, synthetic ECG."""
