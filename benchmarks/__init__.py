"""Benchmarks: what docs/benchmarks.md claims, measured side by side in one run."""
