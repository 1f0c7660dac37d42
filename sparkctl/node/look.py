"""What only a look at the running cluster shows, in one call on the head.

A completion and Ray's node table are asked for at the same time: each costs as much as a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node import completion, files, raytable
from sparkctl.node.timeout import begin

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Look

TABLE = 60.0  # seconds; each of its answers has a bound of its own


def look(request: Look) -> Answer:
    """`completion` as of completion.ask, `table` as of raytable.table, null where none is asked."""
    files.over_login(request["cluster"])  # a damaged file ends the call, which a thread cannot
    asked = request.get("table")
    table = begin(lambda: raytable.table(asked)) if asked else None
    answer = completion.ask(request["completion"])
    return {"completion": answer, "table": table(TABLE) if table else None}
