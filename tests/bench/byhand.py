"""The hand-written `up`: its files on the nodes, from what `plan` shows, and the script's run."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.secret.names import MASK

if TYPE_CHECKING:
    from tests.lab.cluster import Cluster

SCRIPT = Path(__file__).parent / "bare_ssh.sh"
# What sparkctl is compared with: a change of the script is a change of the bench.
SHA256 = "a3bc720fbc1a10f55bbd4f848b99e8920f947d5192bb686bd37525936db71729"
TOKEN = "RAY_AUTH_TOKEN_PATH"
PROMPT = "Hello"


def checked() -> Path:
    """The script. Raises SystemExit when it is not the one whose figures are compared."""
    found = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{SCRIPT.name} has the checksum {found}, expected {SHA256}")
    return SCRIPT


def prepare(cluster: Cluster) -> dict[str, Any]:
    """Write each node's environment and commands, as `plan` has them, to its ~/bench, 0600.

    Returns the plan. What `plan` masks would be another environment: then it raises ValueError.
    """
    plan: dict[str, Any] = json.loads(cluster.run("plan", "--json").stdout)
    if MASK in json.dumps(plan["nodes"]):
        raise ValueError("the inventory has secrets, which `plan` masks")
    token = secrets.token_hex(32)  # of the cluster, as `up` makes one
    for name, node in plan["nodes"].items():
        for path, text in files(node, token).items():
            _write(cluster, name, path, text)
        made = shlex.quote(node["environment"]["TMPDIR"])
        cluster.on(name, f"mkdir -p {made} && chmod 700 {made} $(dirname {made})")
    return plan


def files(node: dict[str, Any], token: str) -> dict[str, str]:
    """The texts of a node's files by path, which may begin with ~."""
    environment: dict[str, str] = node["environment"]
    ray: list[str] = node["ray"]
    found = {
        "~/bench/env.sh": "".join(
            f"export {key}={shlex.quote(value)}\n" for key, value in environment.items()
        ),
        "~/bench/ray.sh": f"exec {shlex.join(ray)}\n",
    }
    if TOKEN in environment:
        found[environment[TOKEN]] = token
    if node["vllm"]:
        gcs = f"{_after(ray, '--node-ip-address')}:{_after(ray, '--port')}"
        found["~/bench/status.sh"] = f"exec {shlex.join([ray[0], 'status', '--address', gcs])}\n"
        found["~/bench/vllm.sh"] = f"RAY_ADDRESS={gcs} exec {shlex.join(node['vllm'])}\n"
    return found


def run(cluster: Cluster, plan: dict[str, Any]) -> dict[str, float]:
    """The script's stages, in seconds."""
    vllm = next(node["vllm"] for node in plan["nodes"].values() if node["vllm"])
    head, worker = (node.address for node in cluster.lab.nodes)
    url = f"http://{head}:{_after(vllm, '--port')}/v1/completions"
    model = _after(vllm, "--served-model-name")
    request = json.dumps({"model": model, "prompt": PROMPT, "max_tokens": 4, "temperature": 0})
    argv = [str(checked()), str(cluster.lab.base), head, worker, url, request]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    moments = [line.split(" ", 1) for line in done.stdout.splitlines()]
    starts = [(float(when), what) for when, what in moments]
    return {what: after - when for (when, what), (after, _) in pairwise(starts)}


def _after(argv: list[str], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def _write(cluster: Cluster, node: str, path: str, text: str) -> None:
    """Write a file on a node for its user alone; the text goes over stdin, in no argv."""
    place = path.replace("~", "$HOME", 1)
    command = f'umask 077; mkdir -p "$(dirname "{place}")"; cat >"{place}"'
    subprocess.run([*cluster.ssh(node), command], input=text, text=True, check=True)
