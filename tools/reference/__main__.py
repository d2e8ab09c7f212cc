"""``python -m tools.reference --write`` makes the reference pages anew; without it, names what differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kedro.framework.startup import bootstrap_project
from kedro.inspection import get_project_snapshot

from tools.reference.pages import all_pages


def main(arguments: list[str] | None = None) -> int:
    """Write the pages below the working directory, or compare them with what is there.

    Returns:
        0, or 1 where a page is not what it should be and was not to be written.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description="The pages of the reference.")
    parser.add_argument("--write", action="store_true", help="write what differs")
    write = parser.parse_args(arguments).write
    root = Path.cwd()
    bootstrap_project(root)
    stale = []
    for name, text in all_pages(root, get_project_snapshot(root)).items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{name} {'written' if write else 'differs'}\n")
    return int(bool(stale) and not write)


if __name__ == "__main__":
    sys.exit(main())
