"""Explanation of a network: saliency on the trace, and the space in which it separates the classes."""
