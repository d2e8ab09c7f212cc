"""The documentation's reference pages, made from what the code says of itself."""
