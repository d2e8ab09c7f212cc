"""The zoo is imported before any single family, so that models are registered in its order."""

import beatwise.networks.zoo  # noqa: F401
