"""The lab's image as an archive that `docker load` and `podman load` take; the same Id everywhere.

It has names and small files; its folders are mounted from the node (oci_runtime.py), so that an
image with ray and vLLM weighs kilobytes, and its layers are not copied to each node.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from typing import TYPE_CHECKING

from sparkctl.lab.containers.oci_runtime import MOUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "localhost/sparkctl-lab:latest"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
TOP = ("bin", "lib", "lib32", "lib64")  # of /: links to /usr, or folders
# docker mounts its init into /sbin, which is no mount for this reason.
LINKS = {"sbin/ldconfig": "../usr/sbin/ldconfig"}
COPIED = ("group", "ld.so.cache", "nsswitch.conf", "passwd")  # of /etc
EMPTY = {"dev": 0o755, "proc": 0o755, "root": 0o755, "run": 0o755, "sys": 0o755, "tmp": 0o1777}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def folders(root: Path, runtime: Path | None) -> list[Path]:
    """The folders of the machine at `root` that the image consists of: /usr without /usr/local,
    and the virtual environment `runtime` with its interpreter.
    """
    places = [root / name for name in (*TOP, "etc/alternatives", "etc/ssl")]
    places += [p for p in (root / "usr").iterdir() if p.name != "local"]
    if runtime:
        prefix = (runtime / "bin/python").resolve().parents[1]
        places += [runtime, *([prefix] if prefix != root / "usr" else [])]
    found = sorted(p for p in places if p.is_dir() and not p.is_symlink())
    return [p for p in found if not any(p.is_relative_to(o) for o in found if o != p)]


def archive(root: Path, runtime: Path | None) -> bytes:
    """The image of the machine at `root`, usually /, with a virtual environment's programs first
    in its PATH.
    """
    layer = _layer(root, folders(root, runtime))
    digest = hashlib.sha256(layer).hexdigest()
    made = {"created": "1970-01-01T00:00:00Z"}
    config = {
        **made,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Env": [f"PATH={f'{runtime}/bin:' if runtime else ''}{PATH}"],
            "Cmd": ["/bin/bash"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{**made, "created_by": "sparkctl lab"}],
    }
    text = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    entry = {"Config": name, "RepoTags": [NAME], "Layers": [f"{digest}/layer.tar"]}
    manifest = json.dumps([entry]).encode()
    return _tar({name: text, f"{digest}/layer.tar": layer, "manifest.json": manifest})


def _layer(root: Path, mounted: list[Path]) -> bytes:
    links = LINKS | {n: os.readlink(root / n) for n in TOP if (root / n).is_symlink()}
    contents = {f"etc/{n}": root / "etc" / n for n in COPIED}
    listed = "".join(f"/{p.relative_to(root)}\n" for p in mounted)
    small = {n: p.read_bytes() for n, p in contents.items() if p.is_file()}
    return _tar({**small, MOUNTS: listed.encode()}, links, EMPTY)


def _tar(
    files: Mapping[str, bytes], links: Mapping[str, str] = {}, folders: Mapping[str, int] = {}
) -> bytes:
    """A tar archive, without times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in folders.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
