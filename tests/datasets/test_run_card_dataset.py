from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from beatwise.core.errors import in_own_words
from beatwise.datasets.run_card import RunCardDataset
from beatwise.runs.card import RunCard
from beatwise.runs.journal import Entry, Journal
from tests.conftest import example_card


@pytest.fixture
def dataset(tmp_path: Path) -> RunCardDataset:
    """The dataset as a run that goes on has it."""
    made = RunCardDataset(filepath=str(tmp_path / "run_card.json"), journal={"path": str(tmp_path / "docs/journal")})
    made.begun = example_card()
    return made


def test_a_run_that_goes_on_loads_its_own_card_and_the_journal_as_plain_data(
    dataset: RunCardDataset, tmp_path: Path
) -> None:
    journal = Journal(tmp_path)
    ids = [journal.propose("RR helps S", "macro_recall > 0.9"), journal.propose("Width helps F")]
    loaded = dataset.load()
    entries = loaded.pop("journal")
    assert RunCard.model_validate(loaded) == dataset.begun
    assert list(entries) == ids
    assert {id: Entry.model_validate(entry) for id, entry in entries.items()} == journal.entries()


def test_a_journal_that_is_not_there_is_empty_and_is_not_made(dataset: RunCardDataset, tmp_path: Path) -> None:
    assert dataset.load()["journal"] == {}
    assert not list(tmp_path.iterdir())


def test_a_stored_card_is_loaded_alone(dataset: RunCardDataset) -> None:
    card = example_card()
    dataset.save(card.model_dump(mode="json"))
    dataset.begun = None
    assert RunCard.model_validate(dataset.load()) == card


def test_a_file_of_the_journal_that_cannot_be_read_is_named(dataset: RunCardDataset, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    path = journal.path(journal.propose("a"))
    path.write_text("hypothesis: [\n")
    with pytest.raises(DatasetError) as raised:
        dataset.load()
    assert str(path) in (in_own_words(raised.value) or "")
