"""Records, R peaks, beats and RR intervals."""
