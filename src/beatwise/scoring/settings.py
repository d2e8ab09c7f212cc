"""Settings of scoring."""

from __future__ import annotations

from pydantic import Field

from beatwise.core.settings import Block, Positive


class Rhythm(Block):
    """Findings in the rhythm of a record: which classes are ectopic, and what is a pause."""

    normal: list[str] = Field(["N"], description="Classes of beats of the usual rhythm.")
    supraventricular: list[str] = Field(["S"], description="Classes of supraventricular ectopic beats.")
    ventricular: list[str] = Field(["V"], description="Classes of ventricular ectopic beats.")
    pause: Positive = Field(2.0, description="An interval between beats longer than this is a pause (s).")
