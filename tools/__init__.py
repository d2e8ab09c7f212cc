"""Generators of the documentation; nothing imports them."""
