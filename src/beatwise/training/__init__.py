"""Training: the loop, its optimizer and losses."""
