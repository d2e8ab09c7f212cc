"""The report, and the score tables that it shares with the terminal."""
