"""What only a look at the running cluster shows, in one call on the head.

A completion and Ray's node table are asked for at the same time: each costs as much as a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node import completion, files, jsontext, raytable, state
from sparkctl.node.timeout import begin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.node.wire import Answer, Ask, Json, Look, Recall

TABLE = 60.0  # seconds; each of its answers has a bound of its own


def look(request: Look) -> Answer:
    """`completion` as of completion.ask, `table` as of raytable.table, null where none is asked."""
    return _look(request, TABLE)


def _look(request: Look, seconds: float) -> Answer:
    files.over_login(request["cluster"])  # a damaged file ends the call, which a thread cannot
    asked = request.get("table")
    table = begin(lambda: raytable.table(asked)) if asked else None
    answer = completion.ask(request["completion"])
    return {"completion": answer, "table": table(seconds) if table else None}


def recall(request: Recall) -> Answer:
    """Look where this node has recorded the service to be: a caller may not know that yet.

    Returns what was `asked` (the API's `base`, and Ray's `address` with the GPUs `wanted`, null
    where no Ray is recorded) and what was `seen` as of `look`; both null where no API is recorded.
    The table has `seconds`.
    """
    cluster = request["cluster"]
    ready = list(_recorded(cluster, request["service"]))
    api = next((r for r in ready if r.get("kind") == "generates"), None)
    if api is None:
        return {"asked": None, "seen": None}
    ray = next((r for r in ready if r.get("kind") == "ray-nodes"), None)
    asked: dict[str, Json] = {"base": api["base"], "address": None, "wanted": {}}
    where: Ask = {"cluster": cluster, "base": jsontext.text(api["base"])}
    look: Look = {"cluster": cluster, "completion": {**request["completion"], **where}}
    if ray is not None:
        address = jsontext.text(ray["address"])
        wanted = {k: jsontext.number(n) for k, n in jsontext.table(ray["nodes"]).items()}
        asked.update(address=address, wanted={**wanted})
        look["table"] = {"cluster": cluster, "address": address, "wanted": wanted, "timeout": 0.0}
    return {"asked": asked, "seen": _look(look, request["seconds"])}


def _recorded(cluster: str, service: str) -> Iterator[Mapping[str, Json]]:
    """When the units of a service are ready, as they were started (unitjson.py)."""
    for name, entry in state.read(cluster)["units"].items():
        if name.startswith(f"{service}/") and entry.get("unit"):
            for ready in jsontext.rows(jsontext.table(entry["unit"]).get("ready", [])):
                yield jsontext.table(ready)
