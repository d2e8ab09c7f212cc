"""Settings of records and of how beats are cut from them."""

from __future__ import annotations

from pydantic import Field, field_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Block, Choice
from beatwise.ecg.segmentation import BEAT_SYMBOLS


class SegmentRule(Choice):
    """How beats are cut from records (:mod:`beatwise.ecg.segmentation`)."""

    registry = "beatwise.ecg.segmentation.RULES"


class Segment(Block):
    """Segmentation of records into beats."""

    rule: SegmentRule = Field(description="How a beat is cut.")
    lead: int | str = Field(0, description="Lead to cut, by column or by name.")
    aami: dict[str, list[str]] = Field(description="Annotation codes of each class.")

    @field_validator("aami")
    @classmethod
    def _check_codes(cls, aami: dict[str, list[str]]) -> dict[str, list[str]]:
        codes = [code for named in aami.values() for code in named]
        wrong = sorted({code for code in codes if code not in BEAT_SYMBOLS or codes.count(code) > 1})
        if wrong:
            raise BeatwiseError(
                f"{', '.join(map(repr, wrong))} is no annotation code of a beat, or stands in two classes. Allowed, "
                f"once each: {' '.join(BEAT_SYMBOLS)}."
            )
        return aami


class Download(Block):
    """Records to fetch from PhysioNet."""

    address: str = Field(description="Address above the databases.")
    database: str = Field(description="Database and version.")
    records: list[str] = Field([], description="Names of the records; empty means all.")
