"""What a start needs on a node before it: sparkctl's directories, journalled, and files in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import containerend, files, journal

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Prepare


def prepare(request: Prepare) -> Answer:
    """Make the directories for `owner`, and write `files`, as files.write does.

    `folders` of the login are made where they are missing, and stay. What `tool` has left of
    containers of `units`, which are started next, is removed.
    `folder` is one that could not be made, for the `reason`; then nothing is written.
    The journal has what was made until the run is settled, so that a run whose controller died can
    be taken back.
    """
    cluster, where = request["cluster"], {"temp_dir": request["temp_dir"]}
    journal.change(
        {
            "cluster": cluster,
            "owner": request["owner"],
            "do": {"name": "make-files", "data": where},
            "title": "make the cluster's directories",
            "unfinished": True,
        }
    )
    for folder in request.get("folders", ()):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return {"changed": [], "folder": folder, "reason": error.strerror or str(error)}
    if units := request.get("units"):
        containerend.remove(cluster, units, request.get("tool", ""))
        (files.home(cluster) / files.CONTAINER).unlink(missing_ok=True)
    return files.write(
        {"cluster": cluster, "files": request["files"], "temp_dir": where["temp_dir"]}
    )
