"""What a network learned: saliency on the trace, and the space in which it tells classes apart."""
