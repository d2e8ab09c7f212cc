"""Writing that leaves nothing half-written behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beatwise.core.errors import BeatwiseError


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write a file or fill a folder at; it takes the target's place when all went well.

    Args:
        target: Where the file or folder is to stand in the end.

    Raises:
        BeatwiseError: If the place cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise BeatwiseError(
            f"Cannot write to {target.parent.absolute()} ({error.strerror}). Check its permissions and free space."
        ) from error
    try:
        yield scratch / target.name
        if target.is_dir() and (scratch / target.name).exists():
            target.replace(scratch / "before")
        (scratch / target.name).replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
