"""Writing that leaves nothing half-written behind, and clearing up after processes that were killed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beatwise.core.errors import BeatwiseError


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write a file or fill a folder at; it takes the target's place when all went well.

    Args:
        target: Final place of the file or folder.

    Raises:
        BeatwiseError: If the place cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_folder(target.parent, target.name)
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


def scratch_folder(folder: Path, name: str) -> Path:
    """Make a temporary folder whose name begins with ``name`` and holds the ID of this process."""
    return Path(tempfile.mkdtemp(prefix=f".{name}-{socket.gethostname()}-{os.getpid()}-", dir=folder))


def clear_left_over(folder: Path) -> list[Path]:
    """Remove the temporary folders of killed processes of this machine, at any depth of a folder; return them."""
    removed = []
    for parent, names, _ in os.walk(folder):
        for name in [name for name in names if name.startswith(".")]:
            names.remove(name)
            if _is_left_over(name):
                removed.append(Path(parent, name))
                shutil.rmtree(removed[-1], ignore_errors=True)
    return removed


def _is_left_over(name: str) -> bool:
    found = re.fullmatch(rf"\..+-{re.escape(socket.gethostname())}-(\d+)-\w{{8}}", name)
    return found is not None and not is_alive(int(found[1]))


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs; on Windows, where nothing asks without harm, always."""
    try:
        # Signal 0 only asks; on Windows it would end the process.
        if os.name == "posix":
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
