"""Tasks: what is predicted, and how predictions are measured."""
