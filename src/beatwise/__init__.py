"""Beatwise: raw ECG heartbeats to an honest, recall-first arrhythmia classifier."""

import os

__version__ = "0.3.0"

# Threads of a training spin while they wait for each other. GNU's OpenMP lets them do so for milliseconds, which takes
# the core from the very thread that they wait for where other work keeps cores busy (benchmarks/threads.py). OpenMP
# reads this when PyTorch is imported; workers of Ray inherit it. A setting of the user's own stands.
if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
    os.environ["GOMP_SPINCOUNT"] = "10000"
