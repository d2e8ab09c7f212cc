"""Settings of the report."""

from __future__ import annotations

from pydantic import Field

from beatwise.core.settings import Block


class Report(Block):
    """The report."""

    title: str = Field("Beatwise report", description="Title of the report.")
    author: str = Field("", description="Author; empty leaves the line out.")
    repository: str = Field("", description="Address of the code; empty leaves the line out.")
    examples_per_class: int = Field(8, ge=1, le=50, description="Example beats drawn for each class.")
    notice: str = Field(
        "", description="Sentence at the top of the report, e.g. that the data is synthetic; empty for none."
    )
