"""New examples and raw records, annotations out; monitoring; promotion."""

from __future__ import annotations

from typing import Final

# On every output for people.
NOTICE: Final = "Research software, no medical device."
