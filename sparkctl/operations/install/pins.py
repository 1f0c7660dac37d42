"""The versions that `node install` installs: the only place that has them.

They are what CI serves with, on CPUs (lab/runtime/requirements*.txt), and by their metadata all
have wheels for aarch64 with CUDA 13, Python 3.11 or later. torch is the one that an engine requires
exactly: vllm 0.32.0 `torch==2.13.0` (built for CUDA 13 on the index), sglang 0.5.23
`torch==2.14.1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PINS = {"ray": "2.60.0", "vllm": "0.32.0", "sglang": "0.5.23"}
TORCH = {"vllm": "2.13.0", "sglang": "2.14.1"}  # by the engine that requires it
# Ray's dashboard, whose HTTP API tells which nodes it has, is an extra.
EXTRAS = {"ray": "ray[default]"}


def pinned(packages: Sequence[str], asked: Mapping[str, str]) -> dict[str, str]:
    """The version of each of an engine's packages: the one asked for, else the pin.

    Of another engine than the pinned one torch is what it requires itself, and has no version here.
    """
    versions = {name: asked.get(name) or PINS[name] for name in packages if name != "torch"}
    engine = next((name for name in TORCH if name in versions), None)
    if asked.get("torch"):
        versions["torch"] = asked["torch"]
    elif engine and versions[engine] == PINS[engine]:
        versions["torch"] = TORCH[engine]
    return versions


def requirements(versions: Mapping[str, str]) -> list[str]:
    """What pip is called with."""
    return [f"{EXTRAS.get(name, name)}=={version}" for name, version in versions.items()]
