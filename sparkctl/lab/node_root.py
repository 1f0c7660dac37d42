"""A node's own file tree: this machine's below, its own files above; used by node_init.py."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Of root's home the node has its own: not this machine's keys, nor what its shells start with.
HIDDEN = (".ssh", ".sparkctl", ".ray", ".bashrc", ".bash_profile", ".bash_login", ".profile")
MS_REMOUNT = 32  # linux/mount.h
NULL = os.makedev(1, 3)  # Linux's devices.txt: /dev/null


def mount(*argv: str) -> None:
    """mount(8), with its own message when it fails."""
    subprocess.run(["mount", *argv], check=True)


def memory(folder: Path) -> Path:
    """A tmpfs for all that the node writes: it carries an overlay's upper layer whatever lies
    below, and is gone with the node. Gives the upper layer of the node's /sys.
    """
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for name in ("root.upper", "root.work", "sys.upper", "sys.work", "sysfs", "root"):
        (folder / name).mkdir()
    return folder / "sys.upper"


def _overlay(folder: Path, name: str, lower: str, target: Path) -> None:
    options = f"lowerdir={lower},upperdir={folder}/{name}.upper,workdir={folder}/{name}.work"
    mount("-t", "overlay", "-o", options, "overlay", str(target))


def forget_names(root: Path) -> None:
    """Have the overlay at `root` look up all names again.

    The kernel's own sysfs lies below it: where a link was renamed, the overlay knows the old name
    and answers ESTALE. A remount drops what it knows (reconfigure_super in Linux's fs/super.c);
    mount(8) would pass the layers again, which are no paths of the node.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, os.fsencode(root), None, MS_REMOUNT, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(root))


def build(folder: Path, files: Path, shares: dict[Path, Path]) -> Path:
    """Mount the node's root in the tmpfs at `folder`, with the tree `files` copied into it.

    `shares` are paths of the node and the folders of this machine that they must show.
    """
    root = folder / "root"
    _overlay(folder, "root", "/", root)
    _hide(root)
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "sysfs", "sysfs", str(folder / "sysfs"))
    _overlay(folder, "sys", str(folder / "sysfs"), root / "sys")
    for name, mode in (("tmp", "1777"), ("run", "755"), ("dev", "755")):
        mount("-t", "tmpfs", "-o", f"mode={mode},size=50%", "tmpfs", str(root / name))
    _devices(root / "dev")
    (root / "run/sshd").mkdir()
    shutil.copytree(files, root, dirs_exist_ok=True)
    for inside, outside in shares.items():
        place = root / inside.relative_to("/")
        # The overlay shows one file system: what lies on another, or in /tmp, is bound.
        if inside != outside or not place.exists():
            place.mkdir(parents=True, exist_ok=True)
            mount("--bind", str(outside), str(place))
    return root


def _hide(root: Path) -> None:
    for name in HIDDEN:
        path = root / "root" / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    # sshd without PAM refuses an account that is locked ("!"), even with a key.
    shadow = root / "etc/shadow"
    lines = shadow.read_text().splitlines(keepends=True)
    shadow.write_text("".join(x.replace(":!", ":*", 1) if x[:6] == "root:!" else x for x in lines))


def _devices(dev: Path) -> None:
    for name in DEVICES:
        (dev / name).touch()
        mount("--bind", f"/dev/{name}", str(dev / name))
    for name in ("pts", "shm", "infiniband"):
        (dev / name).mkdir()
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(dev / "shm"))
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", str(dev / "pts"))
    (dev / "ptmx").symlink_to("pts/ptmx")
    for index in range(4):
        # It opens, and that is all: the driver behind it is not imitated.
        os.mknod(dev / f"infiniband/uverbs{index}", 0o020666, NULL)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):  # fmt: skip
        (dev / name).symlink_to(target)


def enter(root: Path) -> None:
    """Make `root` the root of this mount namespace, and let go of this machine's mounts."""
    os.chdir(root)
    old = Path(".old-root")
    old.mkdir()
    subprocess.run(["pivot_root", ".", str(old)], check=True)
    os.chdir("/")
    subprocess.run(["umount", "--lazy", f"/{old}"], check=True)
    Path(f"/{old}").rmdir()
