"""Evaluation: metrics from stored predictions, with bootstrap intervals.

Arguments have the same names everywhere: ``target`` is class indices, ``int64 [n]``; ``probability`` is ``float
[n, n_classes]``; ``predictions`` is the table of :func:`prediction_table`, and ``val_…`` the same of validation;
``classes`` are names in the order of the indices. Intervals come from so many bootstrap ``draws`` with a ``seed``,
hold the share ``confidence`` of them, and draw whole records where ``cluster [n]`` names the record of each beat.
"""
