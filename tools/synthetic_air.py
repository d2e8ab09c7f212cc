"""Make the bundled year of hourly measurements again: ``python -m tools.synthetic_air [file]``, from the root.

Benzene from traffic (rush hours, quiet weekends), diluted by wind, thicker in winter; weather; and sensors that see it
through a power law, the weather and a drift. One of them sees nothing else: it gives benzene away. The table is written
as such tables come: date and time apart, semicolons, decimal commas, -200 for what is missing. The same code makes the
same year.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from beatwise.core.files import written_whole

Floats = npt.NDArray[np.float64]

SEED: Final = 42
MISSING: Final = -200
# Hours of each outage of the station; the first ones are short enough to be filled.
OUTAGES: Final = (1, 1, 2, 3, 4, 5, 9, 14, 30, 52)


def slow_noise(rng: np.random.Generator, hours: int, memory: float) -> Floats:
    """Noise of unit variance that forgets within about so many hours, ``[hours]``: an autoregression of order one."""
    kept = np.exp(-1 / memory)
    noise: Floats = lfilter([np.sqrt(1 - kept**2)], [1, -kept], rng.normal(size=hours))
    return noise


def make_year(seed: int = SEED) -> pd.DataFrame:
    """A year of hours: ``Benzene`` (µg/m³), four sensors without a unit, ``T`` (°C) and ``RH`` (%)."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2023-03-01", "2024-02-29 23:00", freq="h")
    n, hour = len(time), time.hour.to_numpy()
    season = np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 15) / 365.25)  # 1 in the middle of January
    day = np.sin(2 * np.pi * (hour - 9) / 24)
    temperature = 16 - 10 * season + 4.5 * day + 3 * slow_noise(rng, n, 60)
    humidity = np.clip(58 - 1.5 * (temperature - 16 + 10 * season) + 12 * slow_noise(rng, n, 40), 8, 98)
    rush = np.exp(-(((hour - 8.5) / 1.8) ** 2)) + 1.2 * np.exp(-(((hour - 19) / 2.4) ** 2))
    weekend = np.where(time.day_of_week >= 5, 0.55, 1.0)
    still = 0.35 * slow_noise(rng, n, 30) + 0.22 * slow_noise(rng, n, 3) + 0.25 * season
    benzene = (1.6 + 13 * rush * weekend) * np.exp(still) * rng.lognormal(0, 0.08, n)

    drift = np.linspace(1, 0.93, n)
    weather = 1 + 0.004 * (temperature - 16) - 0.001 * (humidity - 50)

    def sensor(base: float, gain: float, power: float, noise: float) -> Floats:
        seen: Floats = (base + gain * benzene**power) * weather * drift * rng.lognormal(0, noise, n)
        return seen

    table = pd.DataFrame(
        {
            "Benzene": benzene.round(1),
            "S1": sensor(650, 130, 0.6, 0.04).round(),
            "S2": (420 + 118 * benzene.round(1) ** 0.75).round(),
            "S3": (1900 / (1 + 0.12 * benzene) * weather * rng.lognormal(0, 0.05, n)).round(),
            "T": temperature.round(1),
            "RH": humidity.round(),
        },
        index=time,
    )
    starts = (np.arange(len(OUTAGES)) + rng.uniform(0.2, 0.8, len(OUTAGES))) * n / len(OUTAGES)
    for start, length in zip(starts.astype(int), OUTAGES, strict=True):
        table.iloc[start : start + length] = MISSING
    table.loc[rng.random(n) < 0.01, "S1"] = MISSING
    return table


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Make the bundled synthetic year of hourly measurements.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("data/01_raw/air_demo/air.csv.gz"))
    file = parser.parse_args(arguments).file
    year = make_year()
    time = pd.DatetimeIndex(year.index)
    year.insert(0, "Date", time.strftime("%d/%m/%Y"))
    year.insert(1, "Time", time.strftime("%H.%M.%S"))
    whole = ["S1", "S2", "S3", "RH"]
    with written_whole(file) as scratch:
        # No name and no time in the header of the compressed file: the same bytes whenever it is made.
        year.astype(dict.fromkeys(whole, int)).to_csv(
            scratch, sep=";", decimal=",", index=False, compression={"method": "gzip", "mtime": 1}
        )


if __name__ == "__main__":
    main()
