"""Settings of synthetic records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beatwise.core.settings import Block
from beatwise.data.splits import Share


class Synthesise(Block):
    """Synthetic records and the sample that is bundled."""

    n_records: int = Field(ge=1, le=999, description="Records to make.")
    beats_per_record: int = Field(ge=20, description="Approximate number of beats in a record.")
    class_shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        description="Share of each class among all beats."
    )
    test_share: Share = Field(description="Share of the beats that becomes the test part, stratified per beat.")
    decimals: int = Field(ge=1, le=7, description="Decimals that the values of the sample are rounded to.")
