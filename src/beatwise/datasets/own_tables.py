"""The content and the faults of a user's own tables of beats, and the settings that read them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.data.contracts import OPTIONAL_COLUMNS, BeatsContract, as_label, is_number, listed
from beatwise.data.examples import GROUP, PART, TARGET, Examples
from beatwise.data.scaling import Scale
from beatwise.ecg.beats_files import BeatsFile, column_problems, open_beats, read_beats

# Classes of ANSI/AAMI EC57, in their usual order.
AAMI: Final = ("N", "S", "V", "F", "Q")
# A column with more different values than this is no label.
MOST_CLASSES: Final = 50
# If this share of the beats leaves [0, 1], the table has another unit; if fewer do, their values are wrong.
OTHER_UNIT: Final = 0.2
# The network for real beats; that of the bundled sample is smaller.
MODEL: Final = "resnet1d"
# Groups that a split by group needs at its default shares.
FEWEST_GROUPS: Final = 10


@dataclass
class OwnTables:
    """Tables, and the settings that read them.

    Attributes:
        files: Paths by part.
        seen: Sentences on their content.
        problems: Faults that no setting can correct.
        globals: Content of ``globals.yml``; ``sample_rate`` is None if it was not given.
        parameters: Content of ``parameters.yml``.
    """

    files: dict[str, list[Path]]
    seen: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    globals: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=lambda: {"model": {"use": MODEL}})

    def globals_yml(self) -> str:
        """The text of ``globals.yml``."""
        notes = {
            "classes": "in the order of their indices",
            "sample_rate": "samples per second (Hz), which no table says",
            "beats_columns": 'meaning of columns, by name or place; "" leaves one out',
            "beats_labels": "the class of each label",
            "beats_scale": "every beat by its own minimum and maximum",
        }
        lines = []
        for name, value in self.globals.items():
            text = "???" if value is None else yaml.safe_dump(value, default_flow_style=True, width=10**6)
            text = text.removesuffix("\n...\n").strip()
            lines.append(f"{name}: {text}" + (f"    # {notes[name]}" if name in notes else ""))
        return "\n".join(lines) + "\n"


def look_at(
    files: Mapping[str, Sequence[Path]],
    *,
    source: str = "mine",
    classes: Sequence[str] = (),
    sample_rate: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> OwnTables:
    """Look at tables of beats.

    Args:
        files: Paths by part; a table with a column ``part`` counts as ``all``.
        source: Name of the source.
        classes: Class names in the order of the labels; empty takes them from the labels.
        sample_rate: Samples per second (Hz) of the beats.
        columns: Meaning of columns, as in ``beats_columns``.
    """
    found = OwnTables({part: list(paths) for part, paths in files.items() if paths})
    columns = dict(columns or {})
    opened = _opened(found, columns)
    if found.problems:
        return found
    if all(PART in file.columns for file in opened):
        found.files = {"all": [file.path for file in opened]}
        for file in opened:
            file.part = "all"
    folder = Path(os.path.commonpath([file.path.absolute().parent for file in opened]))
    layout = {part: [os.path.relpath(path, folder) for path in paths] for part, paths in found.files.items()}
    scale: Scale = "none"
    try:
        beats, notes = read_beats(opened, scale)
        outside = ((beats.x < 0) | (beats.x > 1)).any(axis=1)
        if outside.mean() > OTHER_UNIT:
            scale = "per_example"
            low, high = np.nanmin(beats.x), np.nanmax(beats.x)
            found.seen.append(
                f"Values from {low:g} to {high:g}: another unit, so every beat is to be scaled to [0, 1]."
            )
            beats, notes = read_beats(opened, scale)
    except BeatwiseError as error:
        found.problems.append(str(error))
        return found
    found.seen += notes
    names, labels = _classes(found, beats.table, classes)
    is_own = folder.is_relative_to(Path.cwd())
    found.globals = {
        "source": source,
        "classes": names,
        "sample_rate": sample_rate,
        "beat_length": beats.shape[0],
        "beats_folder": str(folder.relative_to(Path.cwd()) if is_own else folder),
        "beats_layouts": [{part: paths[0] if len(paths) == 1 else paths for part, paths in layout.items()}],
        **({"beats_columns": columns} if columns else {}),
        **({"beats_labels": labels} if labels else {}),
        **({"beats_scale": scale} if scale != "none" else {}),
        "beats_how_to_get": f"These tables were in {folder} when `kedro beats` looked at them.",
        "notice": "",
    }
    if found.problems:
        # The faults of the labels are listed already.
        beats, names, labels = Examples(beats.x, beats.table.assign(**{TARGET: 0})), names[:1] or ["any"], {}
    try:
        beats = BeatsContract(classes=names, beat_length=beats.shape[0], labels=labels).validate(beats)
    except BeatwiseError as error:
        found.problems += str(error).splitlines()
    if not found.problems:
        _describe(found, beats, names)
    return found


def write_environment(found: OwnTables, conf: Path) -> list[Path]:
    """Write an environment that reads tables with nothing wrong, and return its files.

    Raises:
        BeatwiseError: If there is an environment of that name; then nothing is written.
    """
    folder = conf / found.globals["source"]
    if folder.exists():
        raise BeatwiseError(
            f"{folder} is there already, and nothing is overwritten. Choose another name, or remove it."
        )
    with written_whole(folder) as scratch:
        scratch.mkdir()
        (scratch / "globals.yml").write_text(found.globals_yml(), encoding="utf-8")
        text = yaml.safe_dump(found.parameters, default_flow_style=None)
        (scratch / "parameters.yml").write_text(text, encoding="utf-8")
    return sorted(folder.iterdir())


def _opened(found: OwnTables, columns: dict[str, str]) -> list[BeatsFile]:
    """The tables that can be opened; columns of no use are added to ``columns``, to be left out."""
    opened = []
    for part, paths in found.files.items():
        for path in paths:
            try:
                opened.append(open_beats(path, part, columns))
            except BeatwiseError as error:
                found.problems.append(str(error))
    found.problems += column_problems(opened)
    for file in opened:
        if len(file.signals) < 2:
            found.problems.append(
                f"{file.path}: there are no columns of a signal, numbered from 0 or 1: 0, 1, … or s1, s2, …."
            )
        unknown = [name for name in file.columns if not name.isdecimal() and name not in (TARGET, *OPTIONAL_COLUMNS)]
        if TARGET not in file.columns:
            found.problems.append(
                f"{file.path}: no column is named target, label or class. Say which one is the label, with --column "
                f"NAME=target; columns without a meaning yet: {listed(unknown) or 'none'}. One column a class is made "
                "one of labels by pandas: table['target'] = table[[…]].idxmax(axis=1)."
            )
        elif unknown:
            columns |= dict.fromkeys(unknown, "")
            file.columns = [name for name in file.columns if name not in unknown]
    if left_out := [name for name, to in columns.items() if not to]:
        found.seen.append(f"Left out, because Beatwise has no use for them: the columns {listed(left_out)}.")
    return opened


def _classes(found: OwnTables, table: pd.DataFrame, given: Sequence[str]) -> tuple[list[str], dict[str | int, str]]:
    """Class names, and the class of each label where a label is neither an index nor a name."""
    # The most frequent first; the contract refuses missing labels.
    written = [as_label(label) for label in table[TARGET].value_counts().index]
    numbered = all(map(is_number, written))
    if len(written) > MOST_CLASSES or (numbered and not all(label.lstrip("-").isdecimal() for label in written)):
        found.problems.append(
            f"The label has {len(written)} different values, among them {listed(written, 3)}: it names no "
            "classes. Say which column is the label, with --column NAME=target, or PLACE=target without a header."
        )
        return list(given), {}
    if numbered:
        labels: list[Any] = sorted(map(int, written))
    else:
        labels = list(AAMI) if set(written) <= set(AAMI) else written
        labels = [label for label in labels if label in written]
    if given and not numbered and set(written) <= set(given):
        return list(given), {}
    if given and len(given) != len(labels):
        found.problems.append(
            f"There are {len(given)} names of classes, and {len(labels)} labels: {', '.join(map(str, labels))}."
        )
    names = list(given) or [str(label) for label in labels]
    if len(labels) < 2:
        found.problems.append(f"All beats have the label {labels[0] if labels else 'nan'}; two classes are needed.")
    is_plain = labels == list(range(len(labels))) if numbered else not given
    if numbered and not given:
        found.seen.append("The labels are numbers; name their classes with --classes, separated by commas.")
    return names, {} if is_plain else dict(zip(labels, names, strict=False))


def _describe(found: OwnTables, beats: Examples, names: Sequence[str]) -> None:
    """Count the beats by class and group, and choose a split."""
    counts = np.bincount(beats.target, minlength=len(names))
    of_classes = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    found.seen.append(f"{len(beats):,} beats of {beats.shape[0]} samples: {of_classes}.")
    found.problems += [
        f"Class {name} has {count} beat; a split needs more."
        for name, count in zip(names, counts, strict=True)
        if count < 2
    ]
    if beats.group is None:
        found.seen.append(
            "No column says whose beats these are (group, patient, record): a patient may be in two parts, and scores "
            "are then too high for new patients."
        )
        return
    parts = beats.table[PART]
    groups = {part: set(beats.table.loc[parts == part, GROUP].astype(str)) for part in parts.unique()}
    n_groups = len(set().union(*groups.values()))
    found.seen.append(f"{n_groups} groups (patients or records).")
    if "test" in groups:
        if shared := groups["test"] & groups.get("train", set()):
            found.seen.append(f"{len(shared)} groups are in train and in test: scores are too high for new patients.")
    elif n_groups >= FEWEST_GROUPS:
        found.parameters["ingest"] = {"split": {"use": "by_group"}}
    else:
        found.seen.append(f"A split by group needs about {FEWEST_GROUPS} of them, so beats are drawn one by one.")
