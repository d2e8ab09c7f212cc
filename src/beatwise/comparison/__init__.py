"""A comparison: many models × strategies × seeds, trained alike and ranked."""
