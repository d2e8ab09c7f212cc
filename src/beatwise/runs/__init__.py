"""What is stored about a run: metadata, run card, journal; and the settings of tracking."""
