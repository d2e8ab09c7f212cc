from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from beatwise.core.errors import in_own_words
from beatwise.datasets.journal import JournalDataset
from beatwise.runs.journal import Entry, Journal


def test_what_is_loaded_is_the_journal_of_the_project_as_plain_data(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ids = [journal.propose("RR helps S", "macro_recall > 0.9"), journal.propose("Width helps F")]
    loaded = JournalDataset(filepath=str(tmp_path / "docs/journal")).load()
    assert list(loaded) == ids
    assert {id: Entry.model_validate(entry) for id, entry in loaded.items()} == journal.entries()


def test_a_journal_that_is_not_there_is_empty_and_is_not_made(tmp_path: Path) -> None:
    dataset = JournalDataset(filepath=str(tmp_path / "docs/journal"))
    assert dataset.exists()
    assert dataset.load() == {}
    assert not list(tmp_path.iterdir())


def test_the_catalog_does_not_write_to_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is written by `kedro journal` and by runs"):
        JournalDataset(filepath=str(tmp_path / "docs/journal")).save({})  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    path = journal.path(journal.propose("a"))
    path.write_text("hypothesis: [\n")
    with pytest.raises(DatasetError) as raised:
        JournalDataset(filepath=str(tmp_path / "docs/journal")).load()
    assert str(path) in (in_own_words(raised.value) or "")
