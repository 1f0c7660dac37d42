"""A node's root: an overlay of its own files over this machine's; used by node_init.py."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Of root's home, what a node must not share: keys, state, what shells read at their start.
HIDDEN = (".ssh", ".sparkctl", ".ray", ".bashrc", ".bash_profile", ".bash_login", ".profile")
# A node's only firewall is nftables, whatever this machine has (node/firewalls.py).
OTHER_FIREWALLS = ("iptables", "ufw", "firewall-cmd")
MS_REMOUNT = 32  # linux/mount.h
NULL = os.makedev(1, 3)  # Linux's devices.txt: /dev/null
DESCRIPTORS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}  # in /proc/self/fd


def mount(*argv: str) -> None:
    """Run mount(8), which prints why it fails."""
    subprocess.run(["mount", *argv], check=True)


def mount_layers(folder: Path) -> Path:
    """Mount a tmpfs for the upper layers of the node's overlays; gives that of /sys.

    A tmpfs can be an upper layer over any file system, and is gone with the node.
    """
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for name in ("root.upper", "root.work", "sys.upper", "sys.work", "sysfs", "root"):
        (folder / name).mkdir()
    return folder / "sys.upper"


def _overlay(folder: Path, name: str, lower: str, target: Path) -> None:
    options = f"lowerdir={lower},upperdir={folder}/{name}.upper,workdir={folder}/{name}.work"
    mount("-t", "overlay", "-o", options, "overlay", str(target))


def drop_names(root: Path) -> None:
    """Make the overlay at `root` look up all names again.

    The kernel's own sysfs is its lower layer: after a link was renamed, the overlay still has the
    old name and answers ESTALE. A remount drops its cache (reconfigure_super in Linux's
    fs/super.c); mount(8) would pass the layers' paths again, which the node does not have.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, os.fsencode(root), None, MS_REMOUNT, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(root))


def build(folder: Path, files: Path, shares: dict[Path, Path]) -> Path:
    """Mount the node's root in the tmpfs at `folder`, and copy the tree `files` into it.

    `shares` are paths of the node and the folders of this machine to show there.
    """
    root = folder / "root"
    _overlay(folder, "root", "/", root)
    _hide_home(root / "root")
    for name in OTHER_FIREWALLS:
        for programs in ("usr/sbin", "usr/bin", "usr/local/sbin"):
            (root / programs / name).unlink(missing_ok=True)
    shutil.rmtree(root / "var/lib/sparkctl", ignore_errors=True)  # this machine's own journals
    _unlock_root(root / "etc/shadow")
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "sysfs", "sysfs", str(folder / "sysfs"))
    _overlay(folder, "sys", str(folder / "sysfs"), root / "sys")
    for name, mode in (("tmp", "1777"), ("run", "755"), ("dev", "755")):
        mount("-t", "tmpfs", "-o", f"mode={mode},size=50%", "tmpfs", str(root / name))
    _devices(root / "dev")
    (root / "run/sshd").mkdir()
    (root / "etc/resolv.conf").unlink(missing_ok=True)  # systemd's is a link into /run
    shutil.copytree(files, root, dirs_exist_ok=True)
    for inside, outside in shares.items():
        place = root / inside.relative_to("/")
        # The overlay has one file system as its lower layer: others, and /tmp, are bind mounts.
        if inside != outside or not place.exists():
            place.mkdir(parents=True, exist_ok=True)
            mount("--bind", str(outside), str(place))
    return root


def _hide_home(home: Path) -> None:
    for path in (home / name for name in HIDDEN):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _unlock_root(shadow: Path) -> None:
    """Allow root's login: without PAM sshd refuses a locked account ("!"), even with a key."""
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
    # The kernel's log is this machine's: the node's is a file in its format (dev-kmsg).
    (dev / "kmsg").write_text("5,0,0,-;Linux (imitated by sparkctl lab)\n", encoding="ascii")
    for index in range(4):
        # It can be opened; the driver behind it is not imitated.
        verbs = dev / f"infiniband/uverbs{index}"
        os.mknod(verbs, 0o020666, NULL)
        verbs.chmod(0o666)  # past the umask, as rdma-core's udev rules do
    for name, descriptor in DESCRIPTORS.items():
        (dev / name).symlink_to(f"/proc/self/fd{descriptor}")


def enter(root: Path) -> None:
    """Make `root` the root of this mount namespace, and unmount all of this machine's."""
    os.chdir(root)
    old = Path(".old-root")
    old.mkdir()
    subprocess.run(["pivot_root", ".", str(old)], check=True)
    os.chdir("/")
    subprocess.run(["umount", "--lazy", f"/{old}"], check=True)
    Path(f"/{old}").rmdir()
