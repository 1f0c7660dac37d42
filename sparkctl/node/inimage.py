"""What an image has installed, read by its own Python inside a container (node/images.py)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import libnccl, packages, settings, verbs
from sparkctl.node.subprocesses import start

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

LDCONFIG_SECONDS = 5.0
LIBNCCL = "libnccl.so"
# A line of `ldconfig -p`: `libnccl.so.2 (libc6,AArch64) => /usr/lib/aarch64-linux-gnu/…`.
CACHED = re.compile(r"^\s*(\S+) \(.*\) => (/.+)$", re.M)


def read(_request: Answer) -> Answer:
    """Python, programs on the PATH, versions, each libnccl that a process may load, libibverbs and
    rdma-core's providers, and the variables that change the fabric; `real` is the prefix of Python.
    """
    # -I of the interpreter leaves PYTHONPATH out, which the image's own programs have.
    folders = [*os.environ.get("PYTHONPATH", "").split(":"), *sys.path]
    sites = [site for site in map(Path, dict.fromkeys(filter(None, folders))) if site.is_dir()]
    cached = _cached()
    nccl = [file for site in sites for file in site.glob(libnccl.IN_PACKAGES)]
    others = [Path(path) for name, path in cached if name.startswith(LIBNCCL)]
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        others += Path(folder).glob(f"{LIBNCCL}*")
    nccl += [path.resolve() for path in others]  # of libnccl.so, .so.2 and .so.2.28.9 only one
    library = next((path for name, path in cached if name == verbs.LIBRARY), None)
    return {
        "real": sys.prefix,
        "python": ".".join(map(str, sys.version_info[:3])),
        "programs": {name: shutil.which(name) is not None for name in packages.PROGRAMS},
        "versions": packages.versions(sites),
        "nccl": packages.libraries(dict.fromkeys(nccl)),
        "environment": settings.watched(dict(os.environ)),
        "libibverbs": {"path": library, "providers": verbs.providers()},
    }


def _cached() -> list[tuple[str, str]]:
    """The libraries that the loader knows, with their paths."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        printed = start(["ldconfig", "-p"], PATH=path).finish(LDCONFIG_SECONDS)
    except OSError:  # of musl, for example
        return []
    return [(match[1], match[2]) for match in CACHED.finditer(printed)]
