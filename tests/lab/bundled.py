"""A support bundle of a running cluster of the toy engine, one of whose nodes is away."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from tests.lab.toycluster import unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.cluster import Cluster

HEAD, WORKER = "spark-1", "spark-2"


def bundle_is_sent(toy: Cluster, folder: Path) -> None:
    """A support bundle has the nodes' logs without a secret; a node that is away is named."""
    secret, path = "hf_Zq7abc0123456789", folder / "bundle.zip"
    log = "~/.sparkctl/toy0/logs/*/rank.log"
    toy.on(HEAD, f"for log in {log}; do echo 'HF_TOKEN={secret} x' >> $log; done")
    with unreachable(toy, WORKER):
        done = toy.run("support-bundle", str(path), "--passive", "--json", code=1)
    document = json.loads(done.stdout)
    assert (document["nodes"], document["bytes"]) == ([HEAD], path.stat().st_size)
    assert [(f["node"], f["code"]) for f in document["failed"]] == [(WORKER, "connect-refused")]
    with zipfile.ZipFile(path) as inner:
        files = {n.partition("/")[2]: inner.read(n).decode() for n in inner.namelist()}
    assert not [name for name, text in files.items() if secret in text]
    rank = files[f"logs/{HEAD}/toy-0-rank.log"]
    assert "rank 0 serves" in rank
    assert "HF_TOKEN=**** x" in rank
    assert f"toy/0/rank/{HEAD}" in files[f"journal/{HEAD}.json"]
    assert f"{WORKER}: not read (connect-refused)" in files["README.txt"]
    assert {f"facts/{HEAD}.json", "doctor.html", "status.json"} <= {*files}
    assert f"facts/{WORKER}.json" not in files
    again = toy.error("support-bundle", str(path), code=2)
    assert again["code"] == "bundle-refused"
