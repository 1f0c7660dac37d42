"""Of which faults a test pastes the remedy's commands in the lab, and why not of the others.

A fault whose findings have no commands is in neither table.
"""

from __future__ import annotations

# What a user types in place of a word in capital letters, by fault.
FILLED: dict[str, dict[str, str]] = {"half-without-address": {"ADDRESS": "192.168.101.12"}}
PASTED = ("half-down", "half-without-address", "mtu-1500", "no-route", "leftover")

EDITOR = "opens a file in an editor"
SHOWS = "only shows what to look at"
DRIVER = "loads a driver of this machine, and the lab's devices are imitated"
PACKAGES = "installs packages of the distribution, which the lab imitates the lack of"
LIMITS = "test_cures.py pastes it: root needs CAP_SYS_RESOURCE for a limit that satisfies the check"
INSTALLS = "installs into this machine's runtime, whose version is imitated"
NO_KEY = "copies from another node over SSH, and the lab's nodes have no key of each other"
NOT_PASTED = {
    "address-volatile": EDITOR,
    "link-local": EDITOR,
    "firewall": SHOWS,
    "packet-loss": SHOWS,
    "no-rdma": DRIVER,
    "uverbs-missing": DRIVER,
    "uverbs-denied": "has udev make the devices again, and the lab's have none",
    "memlock-64k": LIMITS,
    "memlock-later": LIMITS,
    "no-libibverbs": PACKAGES,
    "nccl-conf": EDITOR,
    "ib-disabled-profile": EDITOR,
    "file-hangs": SHOWS,
    "ray-version": INSTALLS,
    "nccl-graphs": INSTALLS,
    "nccl-build": INSTALLS,
    "model-missing": NO_KEY,
    "model-truncated": NO_KEY,
    "dangling-links": NO_KEY,
    "disk-full": SHOWS,
    "memory-low": "drops this machine's page cache, and the lab's memory is imitated",
    "clock-skew": "sets this machine's clock, and the lab's is imitated",
    "driver-590": PACKAGES,
    "kho-kernel": EDITOR,
    "gpu-hangs": SHOWS,
    "driver-mismatch": "reboots the node",
    "no-nvidia-smi": PACKAGES,
    "low-clocks": SHOWS,
    "gpu-spins": SHOWS,
    "nvrm-no-memory": SHOWS,
    "port-taken": SHOWS,
    # These need a cluster that serves: test_zz_serving_faults.py.
    "ray-on-management": "starts the cluster again, where its test runs `sparkctl up`",
    "api-wedged": "starts the cluster again, where its test runs `sparkctl up`",
}
