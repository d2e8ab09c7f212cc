"""Settings of the report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beatwise.core.settings import Block


class Report(Block):
    """The report.

    Attributes:
        title: Its title.
        author: Who hands it in; empty leaves the line out.
        repository: Where the code is, as an address; empty leaves the line out.
        examples_per_class: Example beats drawn for each class.
        notice: A sentence above everything else, e.g. that the data is synthetic; empty for none.
    """

    title: str = "Beatwise report"
    author: str = ""
    repository: str = ""
    examples_per_class: Annotated[int, Field(ge=1, le=50)] = 8
    notice: str = ""
