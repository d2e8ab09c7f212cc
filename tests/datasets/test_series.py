"""Tables of measurements over time: what is read, what is refused, and that a window knows nothing of the future."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError

from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.data.summary import summarise_data
from beatwise.data.windows import Windows, cut_windows
from beatwise.datasets.series import SeriesDataset

HOURS = pd.date_range("2024-01-01", periods=60, freq="h")
TABLE = pd.DataFrame({"when": HOURS.astype(str), "no2": np.arange(60) % 7 + 0.5, "T": np.arange(60) % 24 + 0.25})
OPTIONS: dict[str, Any] = {"time": ["when"], "target": "no2", "inputs": ["no2", "T"], "window": 12, "gap": 3}


def dataset(folder: Path, table: pd.DataFrame | str, **options: Any) -> SeriesDataset:
    file = folder / "air.csv"
    file.write_text(table if isinstance(table, str) else table.to_csv(index=False), encoding="utf-8")
    return SeriesDataset(filepath=str(file), **(OPTIONS | options))


def changed(**columns: dict[int, Any]) -> pd.DataFrame:
    table = TABLE.astype(object)
    for name, values in columns.items():
        for row, value in values.items():
            table.loc[row, name] = value
    return table


def hours_of(zone: str, first: str) -> pd.DataFrame:
    return TABLE.assign(when=pd.date_range(first, periods=60, freq="h", tz=zone).tz_localize(None).astype(str))


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another separator": (TABLE.to_csv(sep=";", index=False), {}, "Say separator: ';'."),
    "decimal commas": (
        TABLE.to_csv(sep=";", decimal=",", index=False),
        {"separator": ";"},
        "row 0 (line 2), column 'no2' is not a number: '0,5'. Such rows: 60.",
    ),
    "decimal commas between commas": (
        "when,no2,T\n" + "".join(f"{hour},1,5,2\n" for hour in HOURS),
        {},
        "It cannot be read as text (Length of header",
    ),
    "no time": (TABLE, {"time": ["time"]}, "Unknown column 'time'."),
    "a mistyped name": (TABLE, {"inputs": ["n02"]}, "Unknown column 'n02'. Did you mean 'no2'?"),
    "an unreadable time": (changed(when={7: "31/31/2024"}), {}, "row 7 (line 9): '31/31/2024' is no time"),
    "an ambiguous day": (
        TABLE.assign(when=HOURS.strftime("%d/%m/%Y %H:%M")),
        {},
        "row 0 (line 2): '01/01/2024 00:00' is no time of the format ISO 8601",
    ),
    "an hour twice": (changed(when={6: str(HOURS[5])}), {}, "05:00:00 stands there twice: row 5 (line 7) and row 6"),
    "clocks put back": (hours_of("Europe/Rome", "2024-10-26"), {}, "say time_zone, e.g. Europe/Rome"),
    "another zone": (
        hours_of("UTC", "2024-03-30"),
        {"time_zone": "Europe/Rome"},
        "time_zone: Europe/Rome does not explain the times",
    ),
    "a word": (changed(T={9: "warm"}), {}, "row 9 (line 11), column 'T' is not a number: 'warm'. Such rows: 1."),
    "no target": (TABLE.assign(no2=-200), {"missing": [-200]}, "Column 'no2' has no value: all 60 are missing."),
    "an empty file": ("", {}, "It is empty."),
    "a header alone": (TABLE.iloc[:0], {}, "It has no rows."),
    "too short": (TABLE.iloc[:12], {}, "The series has 12 steps, and a window of 12 with its target needs 13."),
    "gaps everywhere": (TABLE.iloc[::5], {}, "No window is left of 44: 35 windows have no target, 9 more a gap"),
    "the target as a feature": (TABLE, {"present": ["no2"]}, "'no2' cannot be a feature of the forecast time"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_table_that_cannot_be_used_is_refused_in_one_message_that_says_where(case: str, tmp_path: Path) -> None:
    table, options, message = BAD[case]
    with pytest.raises(DatasetError) as refused:
        dataset(tmp_path, table, **options).load()
    words = in_own_words(refused.value)
    assert words is not None
    assert message in words
    assert words.startswith(str(tmp_path / "air.csv"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windw": 3}, "Unknown option 'windw'. Did you mean 'window'?"),
        ({"gap": 12}, "gap: 12 steps would fill a window of 12"),
        ({"every": "1 parsec"}, "every: '1 parsec' is no length of time"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused_before_anything_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BeatwiseError, match=re.escape(message)):
        SeriesDataset(filepath="nowhere.csv", **(OPTIONS | options))


def test_tables_in_any_dress_give_the_same_windows(tmp_path: Path) -> None:
    expected = dataset(tmp_path, TABLE).load()
    np.testing.assert_array_equal(expected.x[3, 0], TABLE["no2"].to_numpy(np.float32)[3:15])
    assert expected.table[["target", "persistence", "group"]].to_numpy()[3].tolist() == [1.5, 0.5, "2024-01-01"]
    assert expected.table.loc[3, "time"] == HOURS[15]

    # Decimal commas, date and time apart, empty columns and rows at the end, hours in any order.
    apart = pd.DataFrame({"date": HOURS.strftime("%d/%m/%Y"), "hour": HOURS.strftime("%H.%M.%S")})
    shuffled = apart.join(TABLE[["no2", "T"]]).sample(frac=1, random_state=1).assign(**{"": np.nan})
    text = shuffled.to_csv(sep=";", decimal=",", index=False) + ";;;;\n" * 3
    italian = dataset(
        tmp_path, text, separator=";", decimal=",", time=["date", "hour"], time_format="%d/%m/%Y %H.%M.%S"
    )
    parquet = tmp_path / "air.parquet"
    TABLE.assign(when=HOURS).set_index("when").to_parquet(parquet)
    half_hours = TABLE.loc[TABLE.index.repeat(2)].assign(when=pd.date_range(HOURS[0], periods=120, freq="30min"))
    for other in (
        italian.load(),
        SeriesDataset(filepath=str(parquet), **OPTIONS).load(),
        dataset(tmp_path, half_hours).load(),
    ):
        np.testing.assert_array_equal(other.x, expected.x)
        pd.testing.assert_frame_equal(other.table, expected.table)


def test_a_window_is_filled_from_its_own_hours_and_long_gaps_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(160, 3))
    values[rng.random(values.shape) < 0.25] = np.nan
    values[100:109, 1] = np.nan
    time = pd.date_range("2024-01-01", periods=160, freq="h", name="time")
    series = pd.DataFrame(values, columns=["y", "a", "b"], index=time)
    how = Windows(target="y", inputs=["y", "a"], present=["b"], window=10, horizon=2, gap=4)
    examples, counts = cut_windows(series, how)
    assert counts["possible"] == len(examples) + counts["target"] + counts["gap"] + counts["feature"]
    at = {moment: row for row, moment in enumerate(examples.table["time"])}
    for start in range(160 - 12 + 1):
        inside, forecast = series[["y", "a"]].iloc[start : start + 10], start + 11
        # A window alone, whatever stands before and behind it.
        filled = inside.interpolate(limit_area="inside").bfill().ffill()
        runs = [inside[c].isna().groupby(inside[c].notna().cumsum()).sum().max() for c in inside]
        known = series["b"].iloc[max(forecast - 4, 0) : forecast + 1].dropna()
        row = at.get(time[forecast])
        assert (row is not None) == (
            max(runs) <= 4 and not np.isnan(values[forecast, 0]) and len(known) > 0 and inside["y"].notna().any()
        )
        if row is not None:
            np.testing.assert_allclose(examples.x[row], filled.to_numpy().T, rtol=1e-6)
            assert examples.table.loc[row, "target"] == values[forecast, 0]
            assert examples.table.loc[row, "persistence"] == inside["y"].dropna().iloc[-1]
            assert examples.table.loc[row, "b"] == known.iloc[-1]


def test_summer_time_is_undone_and_the_clock_is_an_input(tmp_path: Path) -> None:
    options = {"time_zone": "Europe/Rome", "inputs": ["no2", "hour_of_day"], "present": ["day_of_week"]}
    made = dataset(tmp_path, hours_of("Europe/Rome", "2024-10-26"), **options).load()
    assert made.shape == (3, 12)
    assert len(made) == 48
    assert (made.table["time"].diff().iloc[1:] == pd.Timedelta(hours=1)).all()
    angle = 2 * np.pi * (made.table["time"] - pd.Timedelta(hours=1)).dt.hour / 24
    np.testing.assert_allclose(made.x[:, 1:, -1], np.column_stack([np.sin(angle), np.cos(angle)]), atol=1e-6)
    assert made.feature_names == ["day_of_week_sin", "day_of_week_cos"]


def test_the_bundled_year_says_which_feature_gives_its_target_away() -> None:
    entry = yaml.safe_load(Path("conf/air_demo/catalog.yml").read_text(encoding="utf-8"))["raw_beats"]
    kept = {name: value for name, value in entry.items() if name not in ("type", "validator", "metadata", "window")}
    made = SeriesDataset(**kept, window=24).load()
    assert len(made) > 8000
    few = made.take(np.arange(0, len(made), 16))
    summary = summarise_data({"train": few, "val": few, "test": few}, [], None)
    assert summary["gives_away"] == ["S2"]
    assert summary["notes"] == made.table.attrs["notes"]
