"""Regression: one number for each example."""
