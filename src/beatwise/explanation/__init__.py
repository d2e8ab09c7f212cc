"""Explanation of a network: saliency on the trace, and the space in which it separates the classes.

``tensors``, ``beats`` and ``predictions`` are of the same examples; the tensors are made by the model's own
representation. A ``network`` maps ``x``, ``float32 [n, *input_shape]``, and ``aux``, ``float32 [n, f]``, to logits;
``target`` is the class of the explained logit, ``int64 [n]``.
"""
