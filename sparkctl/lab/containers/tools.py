"""The container engines that a lab's nodes can have, and their configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab.containers.oci_runtime import GPU_HOOK, NVIDIA_SMI

CHOICES = {"docker": ("docker",), "podman": ("podman",), "both": ("docker", "podman")}
# What each needs on this machine, whose programs the nodes share: program and Debian's package.
NEEDS = {
    "docker": {"docker": "docker.io", "dockerd": "docker.io", "docker-init": "docker.io"},
    "podman": {"podman": "podman", "conmon": "conmon", "catatonit": "catatonit"},
}
RUNTIME = "sparkctl-lab"
RUNC = Path("/usr/local/sbin/sparkctl-lab-runc")  # on the node: oci_runtime.py
HOOK = Path("/usr/local/sbin") / GPU_HOOK  # on the node
# Where each keeps images and containers, on the node. Its overlays need a real file system below.
DATA = {"docker": Path("/var/lib/docker"), "podman": Path("/var/lib/containers")}
IMITATED = {
    "both": "container runtime: limits are clamped to this machine's, /sys is the node's, and"
    " the files of the lab's image are mounted from this machine",
    "docker": "docker --gpus: each container gets the imitated nvidia-smi",
    "podman": "nvidia.com/gpu (CDI): each container gets the imitated nvidia-smi",
}


def chosen(name: str | None) -> tuple[str, ...]:
    """The engines of a choice of `--containers`; raises UsageError."""
    if name is None:
        return ()
    if name not in CHOICES:
        raise UsageError(
            f"--containers: expected {', '.join(CHOICES)}, got {name}",
            code="lab-containers-unknown",
            data={"containers": name, "known": list(CHOICES)},
        )
    return CHOICES[name]


def imitated(tools: tuple[str, ...]) -> list[str]:
    """What of these engines is imitated."""
    return [IMITATED[name] for name in ("both", *tools)] if tools else []


def require(tools: tuple[str, ...], path: str) -> None:
    """Raises SparkctlError when `path` lacks a program that one of these engines needs."""
    needs = {"runc": "runc"} if tools else {}
    for tool in tools:
        needs |= NEEDS[tool]
    missing = [name for name in needs if shutil.which(name, path=path) is None]
    if missing:
        packages = sorted({needs[name] for name in missing})
        raise SparkctlError(
            f"the lab's containers need {', '.join(missing)}, not found in {path}",
            hint=f"install them: apt-get install {' '.join(packages)}",
            code="lab-containers-missing",
            data={"programs": missing, "packages": packages},
        )


def files(tools: tuple[str, ...]) -> dict[Path, str]:
    """The node's files of these engines; those in a folder named sbin are programs."""
    found: dict[Path, str] = {}
    if "docker" in tools:
        # Containers have the node's network: dockerd makes no bridge and no rule.
        found[Path("/etc/docker/daemon.json")] = json.dumps(
            {
                "bridge": "none",
                "default-runtime": RUNTIME,
                "group": "docker",
                "ip-forward": False,
                "ip-masq": False,
                "ip6tables": False,
                "iptables": False,
                "runtimes": {RUNTIME: {"path": str(RUNC)}},
                "storage-driver": "overlay2",
            },
            indent=1,
        )
        found[HOOK] = "#!/bin/sh\nexit 0\n"
    if "podman" in tools:
        found[Path("/etc/containers/containers.conf")] = (
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'runtime = "{RUNTIME}"\n[engine.runtimes]\n{RUNTIME} = ["{RUNC}"]\n'
            '[containers]\nlog_driver = "k8s-file"\n'
        )
        smi = {"hostPath": NVIDIA_SMI, "containerPath": NVIDIA_SMI, "options": ["bind", "ro"]}
        names = ("all", "0")
        # JSON is YAML.
        found[Path("/etc/cdi/nvidia.yaml")] = json.dumps(
            {
                "cdiVersion": "0.5.0",
                "kind": "nvidia.com/gpu",
                "devices": [{"name": n, "containerEdits": {"mounts": [smi]}} for n in names],
            },
            indent=1,
        )
    if tools:
        found[RUNC] = Path(__file__).with_name("oci_runtime.py").read_text(encoding="utf-8")
    return found
