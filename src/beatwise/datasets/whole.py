"""kedro-datasets' parquet, JSON and text files, written completely or not at all.

The library's own write into the file itself: a disk that fills up leaves half a table where a good one was.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import HTMLPreview
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset
from kedro_datasets.text import TextDataset

from beatwise.core.files import written_whole


class WholeParquetDataset(ParquetDataset):
    """A table as a parquet file."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the file."""
        with written_whole(Path(str(self._get_save_path()))) as path:
            data.to_parquet(path, **self._save_args)


class WholeJSONDataset(JSONDataset):
    """Plain data as a JSON file."""

    def save(self, data: Any) -> None:
        """Write the file."""
        with written_whole(Path(str(self._get_save_path()))) as path:
            path.write_text(json.dumps(data, indent=2, allow_nan=False), encoding="utf-8")


class WholeTextDataset(TextDataset):
    """Text as a file."""

    def save(self, data: str) -> None:
        """Write the file."""
        with written_whole(Path(str(self._get_save_path()))) as path:
            path.write_text(data, encoding="utf-8")


class WholeHTMLDataset(WholeTextDataset):
    """A page of HTML as a file."""

    def preview(self) -> HTMLPreview:
        """Its words and tables, for kedro-viz.

        Pictures are left out: they are datasets with a preview of their own. So are ends of lines: kedro-viz takes them
        for breaks.
        """
        page = Path(str(self._get_load_path())).read_text(encoding="utf-8")
        words = re.sub(r"<(head|script|style|svg)\b.*?</\1>|<img\b[^>]*>", "", page, flags=re.DOTALL)
        return HTMLPreview(" ".join(words.split()))
