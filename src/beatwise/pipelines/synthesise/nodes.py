"""Nodes that make synthetic records and cut the bundled sample from them."""

from __future__ import annotations

import pandas as pd

from beatwise.data.features import RR_COLUMNS
from beatwise.data.splits import split_stratified
from beatwise.ecg.beats import signal_columns, with_group
from beatwise.ecg.records import Record
from beatwise.synthesis.records import SyntheticSettings, synthesise_records
from beatwise.synthesis.settings import Synthesise

NOTICE = (
    "SYNTHETIC heartbeats, made by Beatwise (kedro run --pipeline=synthesise) from a sum-of-Gaussians ECG model after "
    "McSharry et al. 2003. They come from no patient and are of no clinical use."
)


def make_records(synthesise: Synthesise, seed: int) -> list[Record]:
    """Make synthetic records.

    Args:
        synthesise: Number, length and class shares.
        seed: Seed of everything that is drawn.
    """
    settings = SyntheticSettings(
        n_records=synthesise.n_records,
        beats_per_record=synthesise.beats_per_record,
        class_shares=dict(synthesise.class_shares),
    )
    return synthesise_records(settings, seed)


def cut_sample(beats: pd.DataFrame, synthesise: Synthesise, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the bundled sample: beats rounded to a grid that packs well, in a train and a test part.

    Args:
        beats: Beats segmented from the synthetic records.
        synthesise: Share of the test part, decimals.
        seed: Seed of the split.

    Returns:
        Train and test part. Both say in their metadata that they are synthetic.
    """
    table = beats.drop(columns="lead").round(dict.fromkeys(signal_columns(beats.columns), synthesise.decimals))
    table = table.round(dict.fromkeys(RR_COLUMNS, synthesise.decimals))
    part = split_stratified(with_group(table), seed=seed, test_share=synthesise.test_share)
    in_test = part == "test"
    sample = [table[rows].reset_index(drop=True) for rows in (~in_test, in_test)]
    for one in sample:
        one.attrs = {"notice": NOTICE}
    return sample[0], sample[1]
