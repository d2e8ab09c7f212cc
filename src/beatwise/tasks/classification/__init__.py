"""Evaluation: metrics from stored predictions, with bootstrap intervals."""
