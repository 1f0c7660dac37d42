"""The one JSON document of a command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sparkctl.output.lines import print_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Document = Mapping[str, object] | Sequence[Mapping[str, object]]


def print_json(document: Document) -> None:
    """Print the document on stdout."""
    print_out(json.dumps(document, indent=2, default=str))
