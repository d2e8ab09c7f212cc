"""The one exception that Beatwise raises for what a user can put right."""


class BeatwiseError(ValueError):
    """Bad input or configuration: the message says what, where, what was allowed, what to do."""
