"""What is written down of a run: metadata, run card, journal."""
