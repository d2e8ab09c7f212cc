"""Names of methods, beats and comparisons in the tables of an explanation."""

from typing import Final

# Explained beats: drawn at random, the most confident hit, the most confident mistake; and the mean of the drawn ones.
DRAWN: Final = "drawn"
HIT: Final = "hit"
MISTAKE: Final = "mistake"
MEAN: Final = "mean"

# Integrated gradients with sign, their absolute values, and Grad-CAM.
SIGNED: Final = "integrated_gradients"
SIZE: Final = "integrated_gradients_size"
CAM: Final = "grad_cam"
METHODS: Final = (SIGNED, SIZE, CAM)

# The saliency of a trained network is compared with that of random weights, and with the distance of the trace from its
# mean, which is a factor of integrated gradients.
RANDOM: Final = "random weights"
DEFLECTION: Final = "deflection"

# Prefix of the attribution to an auxiliary feature.
AUX: Final = "aux_"
