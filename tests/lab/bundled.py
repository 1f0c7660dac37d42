"""A support bundle of a running cluster of the toy engine, one of whose nodes is away."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.toycluster import unreachable

if TYPE_CHECKING:
    from tests.lab.cluster import Cluster

HEAD, WORKER = "spark-1", "spark-2"


def unzipped(path: Path) -> dict[str, str]:
    """The files of a bundle by name, without its folder."""
    with zipfile.ZipFile(path) as inner:
        return {n.partition("/")[2]: inner.read(n).decode() for n in inner.namelist()}


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
    files = unzipped(path)
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


def kept_log_is_sent(toy: Cluster, node: str, path: Path) -> None:
    """After a first start of service a that was rolled back, `logs` names the log that this machine
    kept of it, and the bundle has it.
    """
    done = toy.run("logs", "a", code=1)
    (kept,) = re.findall(r"`sparkctl doctor --log (.+?)`", done.stderr)
    text = Path(kept).read_text()
    assert text.endswith("rank 0 fatal: no toys left\n")
    toy.run("support-bundle", str(path), "--passive")
    files = unzipped(path)
    assert files[f"logs/{node}/{Path(kept).name}"] == text
    runs = [text for name, text in files.items() if name.endswith(".change.log")]
    assert "rank 0 of a failed to start" in runs[-1], "the log of `up`"
