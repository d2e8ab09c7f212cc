"""A run that repeats an earlier one, with the parameters of its card, and trains anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import scratch_folder
from beatwise.hooks.parameters import FIXED_BY_SOURCE

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog

    from beatwise.runs.card import RunCard
    from beatwise.search.trials import Searches


@dataclass(frozen=True)
class _Repetition:
    """The run that is repeated, and what is cleaned up when that is over."""

    card: RunCard
    scratch: ExitStack


_active: ContextVar[_Repetition | None] = ContextVar("repetition", default=None)


@contextmanager
def repeating(card: RunCard) -> Iterator[None]:
    """Make every run that begins inside a repetition of the run of a card."""
    with ExitStack() as scratch:
        token = _active.set(_Repetition(card, scratch))
        try:
            yield
        finally:
            _active.reset(token)


def repeated_card() -> RunCard | None:
    """The card of the run that is repeated; None for a run that repeats none."""
    active = _active.get()
    return None if active is None else active.card


class RepetitionHooks:
    """Gives a repetition the parameters of the card, and empty folders instead of those that earlier runs have filled.

    Checkpoints, finished rows and the trials of searches would otherwise be read where a repetition is to train.
    """

    # Before the parameters are checked.
    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Put the parameters of the card in the place of those in the files.

        Raises:
            BeatwiseError: If they are no longer allowed, or if the environment has become another source.
        """
        card = repeated_card()
        if card is None:
            return
        from beatwise.core.settings import checked
        from beatwise.params import Parameters

        heading = "The parameters of the run card cannot be used with this version of Beatwise:"
        checked(Parameters, card.parameters, heading)
        now = context.config_loader["globals"]
        # The task is no global: it comes whole from the card.
        for name in sorted(FIXED_BY_SOURCE & now.keys()):
            if now[name] != card.parameters[name]:
                raise BeatwiseError(
                    f"The environment {card.environment} is not what it was: {name} is {now[name]} in its "
                    f"globals.yml, and {card.parameters[name]} in the run card. Check out the commit of the card to "
                    "repeat it."
                )
        # Not as --params, which would be merged with what has been added to the files since.
        context.config_loader["parameters"] = card.parameters

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Empty the folders."""
        active = _active.get()
        if active is None:
            return
        from beatwise.datasets.folder import FolderDataset
        from beatwise.search.trials import TrialRecord

        card = active.card
        folders = [dataset for name in catalog if isinstance(dataset := catalog[name], FolderDataset)]
        earlier: Searches = catalog.load("searches")
        # Where the folders themselves lie, because the machines of a cluster may share that place.
        beside = earlier.folder.parent
        beside.mkdir(parents=True, exist_ok=True)
        empty = scratch_folder(beside, "repetition")
        active.scratch.callback(shutil.rmtree, empty, ignore_errors=True)
        for dataset in folders:
            dataset.folder = empty / dataset.folder.name
        if card.search is not None:
            catalog.load("searches").replay(
                TrialRecord(number=number, key=f"repeated-{number}", values=trial.values, until=trial.epochs or None)
                for number, trial in enumerate(card.search.trials)
            )
        _keep_refined(earlier, catalog.load("searches"), card.parameters["tune"].get("refine"))


def _keep_refined(earlier: Searches, now: Searches, name: str | None) -> None:
    """Keep the search that a refined one is narrowed around, which is an input of the run."""
    for stored in earlier.all() if name is not None else []:
        if stored.plan.name == name:
            shutil.copytree(stored.folder, now.folder / stored.key, ignore=shutil.ignore_patterns("ray"))
