"""What methods, beats and comparisons are called in the tables of an explanation."""

from typing import Final

# Explained beats: drawn at random, the most confident hit, the most confident mistake; and the mean of those drawn.
DRAWN: Final = "drawn"
HIT: Final = "hit"
MISTAKE: Final = "mistake"
MEAN: Final = "mean"

# Integrated gradients as they are, the same without their sign, and Grad-CAM.
SIGNED: Final = "integrated_gradients"
SIZE: Final = "integrated_gradients_size"
CAM: Final = "grad_cam"
METHODS: Final = (SIGNED, SIZE, CAM)

# What the saliency of a trained network is compared with: that of random weights, and the distance of the trace from
# its mean, by which integrated gradients are multiplied.
RANDOM: Final = "random weights"
DEFLECTION: Final = "deflection"

# What the attribution to an auxiliary feature is called: this, and the feature's name.
AUX: Final = "aux_"
