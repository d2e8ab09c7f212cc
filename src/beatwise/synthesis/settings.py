"""Settings of synthetic records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beatwise.core.settings import Block
from beatwise.data.splits import Share


class Synthesise(Block):
    """Synthetic records and the sample that is bundled.

    Attributes:
        n_records: Records to make.
        beats_per_record: Beats in each, about.
        class_shares: Share of each class among all beats.
        test_share: Share of the beats that becomes the test part, stratified per beat.
        decimals: Decimals that the values of the sample are rounded to.
    """

    n_records: Annotated[int, Field(ge=1, le=999)]
    beats_per_record: Annotated[int, Field(ge=20)]
    class_shares: dict[str, Annotated[float, Field(ge=0, le=1)]]
    test_share: Share
    decimals: Annotated[int, Field(ge=1, le=7)]
