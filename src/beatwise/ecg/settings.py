"""Settings of records and of how beats are cut from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.core.settings import Block, Choice, Positive, split_names
from beatwise.ecg.rr import FEATURES
from beatwise.ecg.segmentation import BEAT_SYMBOLS, OPTIONAL_BEAT_SYMBOLS, SameSample


def _split(names: Any) -> Any:
    # `--params` splits at commas, so that a list cannot be given there; and it reads the name 100 as a number.
    return names.split("+") if isinstance(names, str) else [names] if isinstance(names, int) else names


RecordNames = Annotated[list[Annotated[str, Field(coerce_numbers_to_str=True)]], BeforeValidator(_split)]


Columns = Annotated[list[int | str], BeforeValidator(_split)]


class SegmentRule(Choice):
    """Segmentation of records into beats (:mod:`beatwise.ecg.segmentation`)."""

    registry = "beatwise.ecg.segmentation.RULES"


class Segment(Block):
    """Segmentation of records into beats."""

    rule: SegmentRule = Field(description="How a beat is cut.")
    lead: int | str | Annotated[list[int | str], Field(min_length=1)] = Field(
        0, description="Lead to cut, by column or by name; of a list, the first that a record has."
    )
    leads: int = Field(
        1,
        ge=1,
        description="How many leads are cut: `lead` is the first, and the others follow in the order of the record.",
    )
    features: list[str] = Field(
        ["rr"],
        description="Feature sets that are computed from the whole record, any of `rr`, `log_rr`, `patient`, "
        "`patient_first_minutes`. Behind `--params` joined by `+`.",
    )
    annotator: str = Field(
        "atr",
        pattern=r"^\w+$",
        description="Annotations that name the beats: the ending of their files (atr, qrs, ari …).",
    )
    records: RecordNames = Field(
        [], description="Names of the records to cut; empty means all. Behind `--params` joined by `+`."
    )
    leave_out: RecordNames = Field([], description="Names of records to leave out. Behind `--params` joined by `+`.")
    uncalibrated: bool = Field(
        False, description="Whether signals are cut whose header states the gain 0: they are not calibrated."
    )
    group: Literal["record", "folder"] = Field(
        "record", description="What a patient is, for splits: a record, or a folder of records."
    )
    same_sample: SameSample = Field(
        "refuse",
        description="Two beats annotated on one sample: `refuse` the record, or keep the `first` or the `last`.",
    )
    aami: dict[str, list[str]] = Field(description="Annotation codes of each class.")

    @field_validator("features", mode="before")
    @classmethod
    def _split(cls, features: Any) -> Any:
        return split_names(features)

    @field_validator("features")
    @classmethod
    def _check_features(cls, features: list[str]) -> list[str]:
        for name in features:
            if name not in FEATURES:
                raise BeatwiseError(unknown_name(FEATURES.kind, name, FEATURES.names()))
        return features

    @model_validator(mode="after")
    def _check_stored(self) -> Segment:
        if self.features != ["rr"] and not self.cuts_windows:
            raise BeatwiseError(
                f"features: only windows of leads have {'+'.join(self.features)}; beats of one lead from 0 to 1 have "
                "rr. Set segment.rule.use: window, and segment.leads: 2 or segment.rule.window.scale: record."
            )
        return self

    @property
    def cuts_windows(self) -> bool:
        """Whether windows ``[leads, t]`` are cut, and not beats ``[t]``."""
        return self.rule.use == "window" and (self.leads > 1 or self.rule.options["scale"] == "record")

    @field_validator("aami")
    @classmethod
    def _check_codes(cls, aami: dict[str, list[str]]) -> dict[str, list[str]]:
        allowed = (*BEAT_SYMBOLS, *OPTIONAL_BEAT_SYMBOLS)
        codes = [code for named in aami.values() for code in named]
        wrong = sorted({code for code in codes if code not in allowed or codes.count(code) > 1})
        if wrong:
            raise BeatwiseError(
                f"{', '.join(map(repr, wrong))} is no annotation code of a beat, or stands in two classes. Allowed, "
                f"once each: {' '.join(allowed)}."
            )
        return aami


class Read(Block):
    """Reading of raw recordings (:mod:`beatwise.ecg.reading`)."""

    annotator: str | None = Field(
        None,
        pattern=r"^\w+$",
        description="Annotations that hold the R peaks: the ending of their files (atr, qrs …); null detects them.",
    )
    columns: Columns = Field(
        [],
        description="Signals that are leads, by name or place; empty takes those that are an ECG by name and unit. "
        "Behind `--params` joined by `+`.",
    )
    unit: Literal["mV", "uV", "V"] | Positive | None = Field(
        None,
        description="Unit of the samples where a file states none, or units a millivolt; null takes mV if the size of "
        "the values allows it.",
    )
    rate: Positive | None = Field(
        None, description="Samples a second (Hz) of CSV and text; null takes it from times or the first lines."
    )
    time: str | int | None = Field(
        None, description="Column of times in CSV and text, by name or place; null finds it by its name."
    )
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(
        None, description="Unit of times in CSV and text; null finds it by their steps."
    )
    uncalibrated: bool = Field(
        False,
        description="Whether signals without a known unit (in WFDB, the gain 0) are read, as 200 units a millivolt.",
    )


class Download(Block):
    """Records to fetch from PhysioNet."""

    address: str = Field(description="Address above the databases.")
    database: str = Field(description="Database and version.")
    records: RecordNames = Field([], description="Names of the records; empty means all.")
