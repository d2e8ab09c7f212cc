"""Examples as one parquet file that other tools read too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.data.examples import CHUNK, Examples

X = "x"


class ExamplesDataset(AbstractDataset[Examples, Examples]):
    """Examples as parquet: the table's columns, and ``x``, a tensor of fixed shape.

    ``x`` has Arrow's canonical type ``fixed_shape_tensor``; what does not know it reads a list of numbers.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the parquet file."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Examples:
        """Read the file, some rows at a time, into one array.

        Raises:
            BeatwiseError: If the file holds no examples.
        """
        with pq.ParquetFile(self._filepath) as file:
            kind = file.schema_arrow.field(X).type if X in file.schema_arrow.names else None
            if not isinstance(kind, pa.FixedShapeTensorType):
                raise BeatwiseError(
                    f"{self._filepath.absolute()} holds no examples: it has no column {X!r} of tensors. It was made by "
                    "an earlier version of Beatwise, or by hand: run `kedro run --pipeline=ingest`."
                )
            x = np.empty((file.metadata.num_rows, *kind.shape), dtype=np.float32)
            start = 0
            for batch in file.iter_batches(batch_size=CHUNK, columns=[X]):
                values = batch.column(0).storage.flatten().to_numpy(zero_copy_only=False)
                x[start : start + len(batch)] = values.reshape(-1, *kind.shape)
                start += len(batch)
            others = [name for name in file.schema_arrow.names if name != X]
            table = file.read(columns=others, use_pandas_metadata=True).to_pandas()
        return Examples(x, table if others else pd.DataFrame(index=pd.RangeIndex(len(x))))

    def save(self, data: Examples) -> None:
        """Write the file, some rows at a time, completely or not at all."""
        kind = pa.fixed_shape_tensor(pa.float32(), data.shape)
        size = int(np.prod(data.shape))
        table = pa.Table.from_pandas(data.table, preserve_index=False)
        schema = table.schema.append(pa.field(X, kind))
        with written_whole(self._filepath) as path, pq.ParquetWriter(path, schema) as writer:
            for start in range(0, max(len(data), 1), CHUNK):
                values = np.ascontiguousarray(data.x[start : start + CHUNK]).ravel()
                tensors = pa.ExtensionArray.from_storage(
                    kind, pa.FixedSizeListArray.from_arrays(pa.array(values), size)
                )
                rows = table.slice(start, CHUNK)
                writer.write_table(pa.Table.from_arrays([*rows.columns, pa.chunked_array([tensors])], schema=schema))

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        with pq.ParquetFile(self._filepath) as file:
            first = next(file.iter_batches(batch_size=nrows), None)
            rows: list[dict[str, Any]] = [] if first is None else first.to_pylist()
        shown = pd.DataFrame([{**row, X: np.round(np.ravel(row[X])[:8], 3).tolist()} for row in rows])
        return TablePreview(shown.to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
