"""Synthetic records: annotated ECG of the five AAMI classes, so that everything runs without a download.

The waveform is the model of McSharry, Clifford, Tarassenko & Smith, "A dynamical model for generating
synthetic electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3):289-294, 2003, in closed form. The paper
integrates dz/dt = -Σ aᵢ Δθᵢ exp(-Δθᵢ²/2bᵢ²) - (z - z₀) along a circle. On the circle the angle grows evenly
with time, so that without the relaxation term every event integrates to one Gaussian, aᵢbᵢ²/ω ·
exp(-Δθᵢ²/2bᵢ²). A beat is therefore written here as a sum of Gaussians in the time since its R peak, with
baseline wander added on top. Angles, widths and relative amplitudes of P, Q, R, S and T start from Table I of
the paper (at 60 beats per minute, 2π is one second) and are varied from patient to patient. The RR tachogram
is the paper's: a spectrum of two Gaussians, Mayer waves at 0.1 Hz and respiration around 0.25 Hz, both of
standard deviation 0.01 Hz, LF/HF = 0.5, with random phases.

Conduction disturbances, ectopic, fusion and paced beats and their timing are not in the paper. They follow
textbook criteria, and nothing here was fitted to recordings of patients: the numbers make ECG that looks
right, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil, isfinite, pi
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]

CLASS_SYMBOLS: Final = {"N": "N", "S": "A", "V": "V", "F": "F", "Q": "/"}
LEADS: Final = ("MLII", "V1")
ADC_GAIN: Final = 200.0
ADC_BASELINE: Final = 1024
ADC_MAXIMUM: Final = 2047

_SHARE_TOLERANCE: Final = 0.01
# Ectopic beats need normal ones between them, and paced records hold none: more than this would not fit.
_LARGEST_SHARE: Final = {"S": 0.1, "V": 0.15, "F": 0.03}
_LARGEST_PACED_SHARE: Final = 0.4
_PACED_IN_PACED_RECORD: Final = 0.97
_SHORTEST_RECORD: Final = 20

# Table I of McSharry et al.: angle (rad), a and b (rad) of each event.
_TABLE_1: Final = {
    "P": (-pi / 3, 1.2, 0.25),
    "Q": (-pi / 12, -5.0, 0.1),
    "R": (0.0, 30.0, 0.1),
    "S": (pi / 12, -7.5, 0.1),
    "T": (pi / 2, 0.75, 0.4),
}
_MAYER_HZ: Final = 0.1
_BAND_SD_HZ: Final = 0.01
_LF_HF_RATIO: Final = 0.5

# Exponents of the RR interval (s): QT follows Bazett, P and PR the weaker law of the authors' ECGSYN program.
_P_EXPONENT: Final = 0.25
_QRS_EXPONENT: Final = 0.0
_T_EXPONENT: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class SyntheticSettings:
    """Settings of a set of synthetic records.

    Attributes:
        n_records: Number of records (patients), at least 2.
        beats_per_record: Mean number of beats of a record, at least 20. The total is exactly ``n_records``
            times this; paced records are shorter than the others where the share of Q would not fill them.
        sample_rate: Samples per second (Hz), 200 to 5000; at lower rates a pacing spike would fall between
            two samples.
        class_shares: Share of every class (N, S, V, F, Q) among all beats. Shares are divided by their sum,
            which must be 1 within 0.01. Q is at most 0.4; S, V and F are at most 0.1, 0.15 and 0.03 of what
            Q leaves, and F is at most V.
        n_leads: 1 (MLII) or 2 (MLII and V1).
        noise: Factor of muscle noise, mains hum and baseline wander, 0 or more.
    """

    n_records: int = 20
    beats_per_record: int = 205
    sample_rate: float = 360.0
    class_shares: dict[str, float] = field(
        default_factory=lambda: {"N": 0.828, "S": 0.025, "V": 0.066, "F": 0.007, "Q": 0.073}
    )
    n_leads: int = 2
    noise: float = 1.0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            BeatwiseError: If a value is not allowed.
        """
        _require(self.n_records >= 2, "n_records", self.n_records, "at least 2")
        _require(
            self.beats_per_record >= _SHORTEST_RECORD,
            "beats_per_record",
            self.beats_per_record,
            f"at least {_SHORTEST_RECORD}",
        )
        _require(200 <= self.sample_rate <= 5000, "sample_rate", self.sample_rate, "200 to 5000 Hz")
        _require(self.n_leads in (1, 2), "n_leads", self.n_leads, "1 or 2")
        _require(isfinite(self.noise) and self.noise >= 0, "noise", self.noise, "0 or more")
        _check_shares(self.class_shares)


def synthesise_records(settings: SyntheticSettings, seed: int) -> list[Record]:
    """Synthesise a set of annotated records.

    Equal settings and seed give equal records. Every record has a random stream of its own.

    Args:
        settings: Settings of the set.
        seed: Seed, not negative.

    Returns:
        The records ``"s01"``, ``"s02"``, …: ``adc`` is ``int16 [n_samples, n_leads]``, annotations are a
        rhythm change (``"+"``) at the start and one code for each beat, at its R peak.

    Raises:
        BeatwiseError: If the seed is negative.
    """
    _require(seed >= 0, "seed", seed, "0 or a positive integer")
    whole_set, *streams = np.random.SeedSequence(seed).spawn(settings.n_records + 1)
    patients = _plan_patients(settings, np.random.default_rng(whole_set))
    return [
        _synthesise(patient, settings, np.random.default_rng(stream))
        for patient, stream in zip(patients, streams, strict=True)
    ]


def _require(holds: bool, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise BeatwiseError(f"synthesise.{key} is {value!r}; allowed: {allowed}.")


def _check_shares(shares: Mapping[str, float]) -> None:
    known = set(CLASS_SYMBOLS)
    _require(
        set(shares) == known,
        "class_shares",
        dict(shares),
        f"one share for each of {', '.join(CLASS_SYMBOLS)}",
    )
    for name, share in shares.items():
        _require(isfinite(share) and 0 <= share <= 1, f"class_shares.{name}", share, "0 to 1")
    total = sum(shares.values())
    _require(
        abs(total - 1) <= _SHARE_TOLERANCE,
        "class_shares",
        dict(shares),
        f"shares that add up to 1 within {_SHARE_TOLERANCE} (these add up to {total:.4g})",
    )
    paced = shares["Q"]
    _require(paced <= _LARGEST_PACED_SHARE, "class_shares.Q", paced, f"0 to {_LARGEST_PACED_SHARE}")
    for name, largest in _LARGEST_SHARE.items():
        bound = largest * (1 - paced)
        _require(
            shares[name] <= bound,
            f"class_shares.{name}",
            shares[name],
            f"0 to {bound:.4g} with this share of Q",
        )
    # A fusion beat needs a patient with a ventricular focus.
    _require(shares["F"] <= shares["V"], "class_shares.F", shares["F"], f"at most the share of V, {shares['V']}")


# --- Patients: who has which beats, and which heart ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Patient:
    name: str
    counts: dict[str, int]
    heart_rate: float
    conduction: str
    t_gain: float

    @property
    def is_paced(self) -> bool:
        return self.counts["Q"] > 0


def _plan_patients(settings: SyntheticSettings, rng: np.random.Generator) -> list[_Patient]:
    n = settings.n_records
    counts = _counts_per_record(settings, rng)
    # Stratified, so that even a small set covers the whole range of heart rates.
    heart_rates = 55.0 + 45.0 * (rng.permutation(n) + rng.random(n)) / n
    few = round(0.15 * n)
    conductions = rng.permutation(["RBBB"] * few + ["LBBB"] * few + ["normal"] * (n - 2 * few))
    t_gains = rng.permutation([-0.7] * few + [0.2] * few + [1.0] * (n - 2 * few))
    digits = max(2, len(str(n)))
    return [
        _Patient(
            name=f"s{i + 1:0{digits}d}",
            counts={name: int(per_record[i]) for name, per_record in counts.items()},
            heart_rate=float(heart_rates[i]),
            conduction=str(conductions[i]),
            t_gain=float(t_gains[i]),
        )
        for i in range(n)
    ]


def _counts_per_record(settings: SyntheticSettings, rng: np.random.Generator) -> dict[str, Ints]:
    """Beats of every class in every record, ``int64 [n_records]`` each; they add up to the class counts."""
    n_beats = settings.n_records * settings.beats_per_record
    shares = np.array([settings.class_shares[name] for name in CLASS_SYMBOLS])
    total = dict(zip(CLASS_SYMBOLS, _apportion(n_beats, shares).tolist(), strict=True))

    order = rng.permutation(settings.n_records)
    n_paced = ceil(total["Q"] / (_PACED_IN_PACED_RECORD * settings.beats_per_record))
    paced, free = order[:n_paced], order[n_paced:]
    counts = {name: np.zeros(settings.n_records, dtype=np.int64) for name in CLASS_SYMBOLS}
    beats = np.zeros(settings.n_records, dtype=np.int64)
    counts["Q"][paced] = _apportion(total["Q"], np.ones(n_paced)) if n_paced else 0
    beats[paced] = np.maximum(np.ceil(counts["Q"][paced] / _PACED_IN_PACED_RECORD), counts["Q"][paced] + 2)
    beats[free] = _apportion(n_beats - int(beats.sum()), np.ones(len(free)))

    per_class = _spread_ectopic(total, beats[free], rng)
    for name, per_record in per_class.items():
        counts[name][free] = per_record
    counts["N"] = beats - sum(counts[name] for name in ("S", "V", "F", "Q"))
    return counts


def _spread_ectopic(total: Mapping[str, int], beats: Ints, rng: np.random.Generator) -> dict[str, Ints]:
    """Give some of the records S, V and F, ``int64 [n_free_records]`` each; F only where there is V."""
    n = len(beats)
    shortest = int(beats.min())

    def n_holders(name: str, fewest: int, usual_share: float, per_record: float) -> int:
        wanted = max(fewest, round(usual_share * n), ceil(total[name] / max(int(per_record * shortest), 1)))
        return min(wanted, n, total[name])

    # A patient's tendency to ectopy: some have a few beats of it, some very many.
    tendency = rng.lognormal(sigma=0.9, size=(3, n))
    n_fusion = n_holders("F", 4, 0.25, 0.05)
    n_ventricular = max(n_holders("V", 6, 0.55, 0.15), n_fusion)
    ventricular = rng.permutation(n)[:n_ventricular]
    supraventricular = rng.permutation(n)[: n_holders("S", 6, 0.45, 0.1)]
    s = _spread(total["S"], supraventricular, tendency[0], (0.2 * beats).astype(np.int64))
    v = _spread(total["V"], ventricular, tendency[1], (0.35 * beats).astype(np.int64) - s)
    f = _spread(total["F"], ventricular[:n_fusion], tendency[2], (0.4 * beats).astype(np.int64) - s - v)
    return {"S": s, "V": v, "F": f}


def _spread(total: int, holders: Ints, weights: Floats, room: Ints) -> Ints:
    """Share out ``total`` beats by weight: at least one to each holder, to none more than it has room for."""
    counts = np.zeros(len(weights), dtype=np.int64)
    counts[holders] = 1
    while (missing := total - int(counts.sum())) > 0:
        open_weights = np.where((counts > 0) & (counts < room), weights, 0.0)
        counts = np.minimum(counts + _apportion(missing, open_weights), room)
    return counts


def _apportion(total: int, weights: Floats) -> Ints:
    """Whole numbers in proportion to the weights that add up to ``total`` (largest remainders)."""
    quotas = total * weights / weights.sum()
    counts = np.floor(quotas).astype(np.int64)
    counts[np.argsort(counts - quotas, kind="stable")[: total - int(counts.sum())]] += 1
    return counts


# --- Rhythm: which beat comes when --------------------------------------------------------------------------


class _Rhythm(NamedTuple):
    classes: Names  # [n_beats]
    times: Floats  # [n_beats], R peaks, s
    sinus: Floats  # [n_beats], the interval (s) that the undisturbed rhythm would have had
    before: Floats  # [n_beats], RR interval before the beat, s


def _rhythm(patient: _Patient, respiration_hz: float, rng: np.random.Generator) -> _Rhythm:
    if patient.is_paced:
        classes = _paced_order(patient.counts, rng)
        sinus = 60.0 / rng.uniform(60, 80) * (1 + rng.normal(0, 0.003, len(classes)))
        # A demand pacemaker lets the heart's own beat pass only when it comes before the pacemaker's turn.
        before = np.where(classes == "N", sinus * rng.uniform(0.85, 0.95, len(classes)), sinus)
    else:
        classes = _ectopic_order(patient.counts, rng)
        sinus = _tachogram(len(classes), 60.0 / patient.heart_rate, respiration_hz, rng)
        before = _disturbed(classes, sinus, rng)
    start = rng.uniform(0.6, 0.95)
    times = start + np.concatenate([[0.0], np.cumsum(before[1:])])
    return _Rhythm(classes, times, sinus, before)


def _paced_order(counts: Mapping[str, int], rng: np.random.Generator) -> Names:
    return rng.permutation(np.repeat(["Q", "N"], [counts["Q"], counts["N"]]))


def _ectopic_order(counts: Mapping[str, int], rng: np.random.Generator) -> Names:
    """Order the beats of a record: ectopic ones apart from each other but for an occasional couplet of V."""
    couplets = int(rng.binomial(counts["V"] // 2, 0.08))
    runs = ["VV"] * couplets + ["V"] * (counts["V"] - 2 * couplets) + ["S"] * counts["S"] + ["F"] * counts["F"]
    # The first and the last beat stay normal: timing and annotation of an ectopic beat need its neighbours.
    gaps = np.sort(rng.choice(np.arange(1, counts["N"]), size=len(runs), replace=False))
    runs = rng.permutation(runs).tolist() if runs else []
    where = np.repeat(gaps, [len(run) for run in runs])
    return np.insert(np.full(counts["N"], "N"), where, list("".join(runs)))


def _tachogram(n: int, mean: float, respiration_hz: float, rng: np.random.Generator) -> Floats:
    """RR intervals (s) of an undisturbed sinus rhythm, ``float64 [n]`` (McSharry et al., section III-A)."""
    # A long enough series resolves the two bands, which are 0.01 Hz wide; a power of two as in ECGSYN.
    length = 2 ** ceil(np.log2(max(n, 256)))
    frequency = np.fft.rfftfreq(length, d=mean)
    low = np.exp(-0.5 * ((frequency - _MAYER_HZ) / _BAND_SD_HZ) ** 2)
    high = np.exp(-0.5 * ((frequency - respiration_hz) / _BAND_SD_HZ) ** 2)
    phases = rng.uniform(0, 2 * pi, len(frequency))
    series = np.fft.irfft(np.sqrt(_LF_HF_RATIO * low + high) * np.exp(1j * phases), length)
    variation = rng.uniform(0.015, 0.05) * series / series.std()
    return mean * (1 + np.clip(variation[:n], -0.15, 0.15))


def _disturbed(classes: Names, sinus: Floats, rng: np.random.Generator) -> Floats:
    """The interval before every beat (s), ``float64 [n_beats]``: prematurity and the pauses after it."""
    n = len(classes)
    is_s, is_v, is_f = (classes == name for name in "SVF")
    # The coupling interval is a trait of the patient's focus.
    coupling_s = np.clip(rng.uniform(0.68, 0.88) + rng.normal(0, 0.05, n), 0.55, 0.95)
    coupling_v = np.clip(rng.uniform(0.55, 0.72) + rng.normal(0, 0.025, n), 0.5, 0.8)
    relative = np.ones(n)
    relative[is_f] = rng.uniform(0.94, 1.0, n)[is_f]
    relative[is_s] = coupling_s[is_s]
    relative[is_v] = coupling_v[is_v]

    after_s = ~(is_s | is_v) & np.roll(is_s, 1)
    after_v = ~(is_s | is_v) & np.roll(is_v, 1)
    # An atrial beat resets the sinus node, so that its pause is short. A ventricular one does not reach it:
    # the next sinus beat comes when it was due anyway.
    relative[after_s] = rng.uniform(1.05, 1.18, n)[after_s]
    before = relative * sinus
    previous = np.flatnonzero(after_v) - 1
    before[after_v] = 2 * sinus[previous] - before[previous]
    return before


# --- Waves: the Gaussians that a patient's beats are made of ------------------------------------------------


class _Source(IntEnum):
    SINUS_P = 0
    ECTOPIC_P = 1
    OWN_QRS_T = 2
    ABERRATION = 3
    VENTRICULAR_A = 4
    VENTRICULAR_B = 5
    PACED = 6


class _Wave(NamedTuple):
    source: _Source
    rr_exponent: float
    delay: float  # s after the R peak, at an RR interval of 1 s
    width: float  # standard deviation, s, at an RR interval of 1 s
    mlii: float  # mV
    v1: float  # mV


def _paper_wave(event: str) -> tuple[float, float, float]:
    """Delay (s), width (s) and amplitude relative to the R wave, from Table I at 60 beats per minute."""
    angle, a, b = _TABLE_1[event]
    _, a_r, b_r = _TABLE_1["R"]
    return angle / (2 * pi), b / (2 * pi), a * b**2 / (a_r * b_r**2)


def _patient_waves(patient: _Patient, rng: np.random.Generator) -> list[_Wave]:
    r_height = rng.uniform(0.8, 1.6)
    # Fused with an upright QRS, an inverted one would leave next to nothing of either.
    sign_a = 1.0 if patient.counts["F"] else float(rng.choice([-1, 1]))
    sign_b = float(rng.choice([-1, 1]))
    return [
        *_atrial_waves(r_height, rng),
        *_own_waves(patient, r_height, rng),
        *_wide_waves(_Source.VENTRICULAR_A, sign_a, rng.uniform(0.024, 0.033), rng),
        *_wide_waves(_Source.VENTRICULAR_B, sign_b, rng.uniform(0.024, 0.033), rng),
        *_paced_waves(rng),
    ]


def _atrial_waves(r_height: float, rng: np.random.Generator) -> list[_Wave]:
    delay, width, height = _paper_wave("P")
    delay *= rng.uniform(0.75, 1.1)
    width *= rng.uniform(0.5, 0.7)
    height *= r_height * rng.uniform(0.4, 0.8)
    # From low in the atria the P wave is inverted, from high up just smaller, and nearer to the QRS.
    ectopic = height * float(rng.choice([rng.uniform(-0.9, -0.4), rng.uniform(0.25, 0.5)]))
    shift = rng.uniform(0.02, 0.05)
    return [
        _Wave(_Source.SINUS_P, _P_EXPONENT, delay, width, height, 0.4 * height),
        _Wave(_Source.ECTOPIC_P, _P_EXPONENT, delay + shift, 0.8 * width, ectopic, -0.5 * ectopic),
    ]


def _own_waves(patient: _Patient, r_height: float, rng: np.random.Generator) -> list[_Wave]:
    """QRS and T of a beat that the conduction system carries, and what a premature one adds to it."""
    qrs = [
        _own_qrs_wave("Q", r_height * rng.uniform(0.2, 1.0), rng.uniform(-1.6, -0.8), rng),
        _own_qrs_wave("R", r_height, rng.uniform(-0.6, -0.3), rng),
        _own_qrs_wave("S", r_height * rng.uniform(0.3, 1.1), rng.uniform(1.0, 2.0), rng),
        *_block_waves(patient.conduction, r_height, rng),
    ]
    delay, width, height = _paper_wave("T")
    delay *= rng.uniform(1.0, 1.2)
    width *= rng.uniform(0.65, 0.85)
    # Repolarisation after a left bundle branch block is discordant: the T wave points away from the QRS.
    sign = -0.8 if patient.conduction == "LBBB" else 1.0
    height *= sign * patient.t_gain * r_height * rng.uniform(0.4, 0.8)
    aberrant = -r_height * rng.uniform(0.15, 0.4)
    source, v1 = _Source.OWN_QRS_T, rng.uniform(-0.4, 0.6)
    return [
        *_centred(qrs),
        _Wave(source, _T_EXPONENT, delay, width, height, v1 * height),
        # A second, earlier Gaussian gives the T wave its slow rise and fast fall.
        _Wave(source, _T_EXPONENT, delay - 1.3 * width, 1.2 * width, 0.35 * height, 0.35 * v1 * height),
        _Wave(_Source.ABERRATION, _QRS_EXPONENT, 0.05, 0.017, aberrant, -1.2 * aberrant),
    ]


def _own_qrs_wave(event: str, scale: float, v1: float, rng: np.random.Generator) -> _Wave:
    delay, width, height = _paper_wave(event)
    mlii = height * scale
    width *= rng.uniform(0.65, 0.9)
    return _Wave(_Source.OWN_QRS_T, _QRS_EXPONENT, delay * rng.uniform(0.6, 0.8), width, mlii, v1 * mlii)


def _block_waves(conduction: str, r_height: float, rng: np.random.Generator) -> list[_Wave]:
    source, late = _Source.OWN_QRS_T, rng.uniform(0.05, 0.065)
    height = r_height * rng.uniform(0.4, 0.7)
    if conduction == "RBBB":
        return [_Wave(source, _QRS_EXPONENT, late + 0.01, 0.02, -0.5 * height, 1.3 * height)]
    if conduction == "LBBB":
        return [
            _Wave(source, _QRS_EXPONENT, 0.5 * late, 0.018, 0.8 * height, -1.5 * height),
            _Wave(source, _QRS_EXPONENT, late, 0.018, height, -1.2 * height),
        ]
    return []


def _wide_waves(source: _Source, sign: float, width: float, rng: np.random.Generator) -> list[_Wave]:
    """QRS and T of a beat that starts in a ventricle: slow, wide, with the T wave opposite to the QRS."""
    height = sign * rng.uniform(0.6, 1.6)
    side = float(rng.choice([-1, 1]))
    t_delay, t_height = rng.uniform(0.29, 0.34), -height * rng.uniform(0.25, 0.45)
    v1 = rng.uniform(-0.9, 0.9, size=3)
    shoulder = height * rng.uniform(0.25, 0.5)
    qrs = [
        _Wave(source, _QRS_EXPONENT, 0.0, width, height, v1[0] * height),
        _Wave(source, _QRS_EXPONENT, side * 1.7 * width, 0.8 * width, shoulder, v1[1] * shoulder),
        _Wave(source, _QRS_EXPONENT, -side * 1.9 * width, 0.5 * width, -0.4 * shoulder, -v1[1] * shoulder),
    ]
    return [
        *_centred(qrs),
        _Wave(source, _T_EXPONENT, t_delay, 0.055, t_height, v1[2] * t_height),
        _Wave(source, _T_EXPONENT, t_delay - 0.085, 0.06, 0.5 * t_height, 0.5 * v1[2] * t_height),
    ]


def _paced_waves(rng: np.random.Generator) -> list[_Wave]:
    width = rng.uniform(0.027, 0.036)
    spike = float(rng.choice([-1, 1])) * rng.uniform(0.6, 1.5)
    # 1.3 ms of standard deviation are 3 ms at half height.
    spike_wave = _Wave(_Source.PACED, _QRS_EXPONENT, -3.2 * width, 0.0013, spike, 0.8 * spike)
    # From an electrode in the right ventricle's apex the impulse runs upwards, away from MLII.
    return [*_wide_waves(_Source.PACED, -1.0, width, rng), spike_wave]


def _centred(qrs: list[_Wave]) -> list[_Wave]:
    """Shift a QRS so that its largest deflection in MLII is at time 0, where the annotation will be."""
    time = np.linspace(-0.1, 0.1, 401)
    deflection = sum(wave.mlii * np.exp(-0.5 * ((time - wave.delay) / wave.width) ** 2) for wave in qrs)
    peak = float(time[np.argmax(np.abs(deflection))])
    return [wave._replace(delay=wave.delay - peak) for wave in qrs]


def _mixture(classes: Names, rng: np.random.Generator) -> Floats:
    """The weight of every source in every beat, ``float64 [n_beats, n_sources]``."""
    n = len(classes)
    is_n, is_s, is_v, is_f, is_q = (classes == name for name in CLASS_SYMBOLS)
    mix = np.zeros((n, len(_Source)))
    mix[is_n | is_f, _Source.SINUS_P] = 1.0
    mix[is_n | is_s, _Source.OWN_QRS_T] = 1.0
    # A junctional beat's P wave is hidden in its QRS; the bundle branches may not have recovered in full.
    mix[is_s, _Source.ECTOPIC_P] = (rng.random(n) > rng.uniform(0, 0.6))[is_s]
    mix[is_s, _Source.ABERRATION] = rng.uniform(0.2, 1.2, n)[is_s]
    second_focus = rng.random(n) < rng.choice([0.0, 0.3])
    mix[is_v & ~second_focus, _Source.VENTRICULAR_A] = 1.0
    mix[is_v & second_focus, _Source.VENTRICULAR_B] = 1.0
    ventricular_part = rng.uniform(0.2, 0.8, n)[is_f]
    mix[is_f, _Source.OWN_QRS_T] = 1 - ventricular_part
    mix[is_f, _Source.VENTRICULAR_A] = ventricular_part
    mix[is_q, _Source.PACED] = 1.0
    return mix


# --- Signal -------------------------------------------------------------------------------------------------


def _synthesise(patient: _Patient, settings: SyntheticSettings, rng: np.random.Generator) -> Record:
    respiration_hz = rng.uniform(0.2, 0.3)
    rhythm = _rhythm(patient, respiration_hz, rng)
    rate = settings.sample_rate
    n_samples = ceil((rhythm.times[-1] + rng.uniform(1.6, 2.0)) * rate)
    signal = _ecg(rhythm, _patient_waves(patient, rng), respiration_hz, n_samples, rate, rng)
    signal += settings.noise * _disturbances(n_samples, rate, respiration_hz, rng)
    adc = np.clip(np.rint(ADC_GAIN * signal) + ADC_BASELINE, 0, ADC_MAXIMUM).astype(np.int16)
    n_leads = settings.n_leads
    return Record(
        name=patient.name,
        adc=np.ascontiguousarray(adc[:, :n_leads]),
        sample_rate=rate,
        leads=LEADS[:n_leads],
        adc_gain=(ADC_GAIN,) * n_leads,
        adc_baseline=(ADC_BASELINE,) * n_leads,
        annotation_samples=np.concatenate([[round(0.05 * rate)], np.rint(rhythm.times * rate)]).astype(np.int64),
        annotation_symbols=np.array(["+", *(CLASS_SYMBOLS[name] for name in rhythm.classes.tolist())], dtype="<U2"),
        comments=(
            "Synthetic record made by Beatwise: no patient, no recording, not for clinical use.",
            "Sum of Gaussians after McSharry et al., IEEE Trans Biomed Eng 50(3):289-294, 2003.",
        ),
    )


def _ecg(
    rhythm: _Rhythm,
    waves: list[_Wave],
    respiration_hz: float,
    n_samples: int,
    rate: float,
    rng: np.random.Generator,
) -> Floats:
    """The undisturbed ECG in both leads (mV), ``float64 [n_samples, 2]``: all waves of all beats."""
    source, exponent, delay, width, *amplitudes = (np.array(column) for column in zip(*waves, strict=True))
    mix = _mixture(rhythm.classes, rng)[:, source]
    beat, wave = np.nonzero(mix)
    n = len(beat)

    # The heart adapts to a new rate over many beats: a premature beat shortens its own QT by little.
    adapted_rr = (0.7 * rhythm.sinus + 0.3 * rhythm.before)[beat]
    scale = adapted_rr ** exponent[wave]
    breathing = 1 + rng.uniform(0.02, 0.08) * np.sin(2 * pi * respiration_hz * rhythm.times)
    height = mix[beat, wave] * breathing[beat] * (1 + rng.normal(0, 0.08, n))
    sigma = width[wave] * scale * np.exp(rng.normal(0, 0.04, n))
    late = delay[wave] * scale + rng.normal(0, 0.004, n) * (exponent[wave] > 0)
    # In a fusion beat a ventricular focus fires before the sinus impulse has passed.
    is_fused_p = (source[wave] == _Source.SINUS_P) & (rhythm.classes[beat] == "F")
    late += np.where(is_fused_p, rng.uniform(0.02, 0.05, n), 0.0)

    centre = rhythm.times[beat] + late
    margin = ceil(4 * sigma.max() * rate)
    index = np.rint(centre * rate).astype(np.int64)[:, None] + np.arange(-margin, margin + 1)
    bumps = height[:, None] * np.exp(-0.5 * ((index / rate - centre[:, None]) / sigma[:, None]) ** 2)
    # The margin catches tails beyond the ends of the record.
    length = n_samples + 2 * margin
    padded = [
        np.bincount((index + margin).ravel(), (bumps * lead[wave, None]).ravel(), minlength=length)
        for lead in amplitudes
    ]
    return np.array(padded, dtype=np.float64).T[margin : margin + n_samples]


def _disturbances(n_samples: int, rate: float, respiration_hz: float, rng: np.random.Generator) -> Floats:
    """Muscle noise, mains hum and baseline wander (mV), ``float64 [n_samples, 2]``."""
    from scipy.interpolate import CubicSpline

    time = np.arange(n_samples)[:, None] / rate
    # Muscle noise comes and goes: white noise under an envelope that changes over some three seconds.
    knots = np.arange(0.0, time[-1, 0] + 6.0, 3.0)
    tension = np.exp(0.7 * CubicSpline(knots, rng.normal(size=len(knots)))(time))
    muscle = rng.uniform(0.012, 0.05, 2) * tension * rng.normal(size=(n_samples, 2))
    phase = rng.uniform(0, 2 * pi, (2, 4))
    mains = rng.uniform(0.001, 0.01, 2) * np.sin(2 * pi * rng.choice([50.0, 60.0]) * time + phase[:, 0])
    wander = rng.uniform(0.02, 0.08, 2) * np.sin(2 * pi * respiration_hz * time + phase[:, 1])
    for column, hertz in ((2, rng.uniform(0.03, 0.08)), (3, rng.uniform(0.08, 0.15))):
        wander += rng.uniform(0.03, 0.15, 2) * np.sin(2 * pi * hertz * time + phase[:, column])
    return muscle + mains + wander
