"""Examples and what is done to them before they reach a network."""
