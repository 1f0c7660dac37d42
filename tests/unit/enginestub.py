"""Programs named docker and podman that print what the real ones did, on the lab's nodes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

CAPTURED = json.loads(
    (Path(__file__).parents[1] / "fixtures/containers/engines.json").read_text(encoding="utf-8")
)
IMAGE = "sha256:cecc606f98e538de17204011e7136f42dfa0e363f221b3698a9895aa0d24ea38"


def install(folder: Path, tool: str, **changed: str) -> None:
    """A program that prints what the engine printed, but for these commands, which are scripts."""
    found = CAPTURED[tool]
    ids = "\n".join(c["Id"] for c in found["containers"])
    printed = {"about": found["about"], "image": found["image"], "inspect": found["containers"]}
    scripts = {k: f"printf %s {shlex.quote(json.dumps(v))}" for k, v in printed.items()}
    scripts = {**scripts, "ps": f"echo {shlex.quote(ids)}", "run": "exit 1", "rm": "", **changed}
    text = f"""#!/bin/sh
case "$1 $2" in
info*|version*) {scripts["about"]} ;;
ps*) {scripts["ps"]} ;;
"container inspect") {scripts["inspect"]} ;;
"image inspect") {scripts["image"]} ;;
run*) {scripts["run"]} ;;
rm*) {scripts["rm"]} ;;
esac
"""
    (folder / tool).write_text(text)
    (folder / tool).chmod(0o755)
