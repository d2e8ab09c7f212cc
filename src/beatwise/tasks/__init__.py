"""Tasks: the kinds of prediction, and how predictions are measured."""
