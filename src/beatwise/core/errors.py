"""The one exception that Beatwise raises for what a user can put right, and how to find it among others."""

from collections.abc import Iterator


class BeatwiseError(ValueError):
    """Bad input or configuration: the message says what, where, what was allowed, what to do."""


def led_to(error: BaseException) -> Iterator[BaseException]:
    """An error, then the one that led to it, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def in_own_words(error: BaseException) -> str | None:
    """The message of the first of our own errors among those that led to an error; None where there is none."""
    return next((str(link) for link in led_to(error) if isinstance(link, BeatwiseError)), None)
