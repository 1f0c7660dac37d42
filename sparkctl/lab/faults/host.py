"""Faults of the node: kernel, driver, memory, disk, model, runtime."""

from __future__ import annotations

from sparkctl.lab.faults.fault import Fault

TOOL = "/usr/local/bin/nvidia-smi"
SITE = '"$(echo "$VENV"/lib/python3*/site-packages)"'


def _meminfo(line: str) -> str:
    """Shell that lays a changed /proc/meminfo over the real one."""
    name = line.partition(":")[0]
    return (
        f"{{ grep -v '^{name}:' /proc/meminfo; echo '{line}'; }} >$OWN/meminfo;"
        " over $OWN/meminfo /proc/meminfo"
    )


FAULTS = (
    Fault(
        "memory-low",
        "1 GiB of memory is available",
        _meminfo("MemAvailable: 1048576 kB"),
        "unlay /proc/meminfo",
    ),
    Fault(
        "kho-kernel",
        "a kernel whose KHO took the CMA pool",
        "echo 7.0.0-1019-nvidia >$OWN/osrelease;"
        f" over $OWN/osrelease /proc/sys/kernel/osrelease; {_meminfo('CmaTotal: 0 kB')}",
        "unlay /proc/meminfo; unlay /proc/sys/kernel/osrelease",
    ),
    Fault(
        "driver-590",
        "the driver is of the 590 branch",
        f"sed 's/580\\.[0-9.]*/590.44.01/' {TOOL} >$OWN/tool; chmod 755 $OWN/tool;"
        f" over $OWN/tool {TOOL}",
        f"unlay {TOOL}",
    ),
    Fault(
        "gpu-hangs",
        "nvidia-smi does not answer: the driver is wedged",
        "printf '#!/bin/sh\\nexec sleep infinity\\n' >$OWN/tool; chmod 755 $OWN/tool;"
        f" over $OWN/tool {TOOL}",
        f"unlay {TOOL}",
    ),
    Fault(
        "disk-full",
        "the disk of the temporary files is full",
        "mount -t tmpfs -o size=16m,mode=1777 none /tmp;"
        " dd if=/dev/zero of=/tmp/full bs=1M count=15 status=none",
        "umount --lazy /tmp",
    ),
    Fault(
        "model-missing",
        "the model's folder is empty",
        'mount -t tmpfs none "$MODEL"',
        'unlay "$MODEL"',
        needs="runtime",
    ),
    Fault(
        "model-truncated",
        "the copy of the model was interrupted in a shard",
        'mkdir $OWN/model; cp -a "$MODEL/." $OWN/model;'
        ' truncate -s -100 "$(ls $OWN/model/*.safetensors | head -1)"; over $OWN/model "$MODEL"',
        'unlay "$MODEL"',
        needs="runtime",
    ),
    Fault(
        "ray-version",
        "another version of Ray is installed",
        f"mkdir $OWN/upper $OWN/work; mount -t overlay -o"
        f" lowerdir={SITE},upperdir=$OWN/upper,workdir=$OWN/work overlay {SITE};"
        f" cd {SITE}; cp -a ray-*.dist-info ray-2.0.0.dist-info;"
        " for old in ray-*.dist-info; do [ $old = ray-2.0.0.dist-info ] || rm -r $old; done",
        f"unlay {SITE}",
        needs="runtime",
    ),
)
