"""Many trainings at once, on one machine or a cluster, by Ray."""
