"""Makes Python look like macOS's: a sitecustomize for the tests, first in PYTHONPATH.

It removes the names that Python has on Linux alone, and the files of /proc, /sys and /dev/shm.
"""

import os
import resource
import select
import signal
import socket
import sys
import sysconfig
import time
from typing import Any

import psutil  # noqa: F401  # its C module is the real platform's, as sysconfig's data

NAMES = {
    os: """pidfd_open pipe2 sched_getaffinity sched_setaffinity memfd_create eventfd
        posix_fallocate posix_fadvise getrandom setns unshare splice copy_file_range
        getxattr setxattr listxattr removexattr fdatasync getresuid getresgid setresuid setresgid
        waitid O_TMPFILE O_PATH
        O_NOATIME O_DIRECT""",
    signal: "SIGRTMIN SIGRTMAX SIGPWR SIGPOLL SIGSTKFLT SIGCLD pidfd_send_signal sigtimedwait"
    " sigwaitinfo",
    time: "CLOCK_BOOTTIME CLOCK_TAI",
    resource: "prlimit RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING",
    socket: "TCP_QUICKACK TCP_USER_TIMEOUT TCP_KEEPIDLE TCP_INFO TCP_CORK TCP_DEFER_ACCEPT"
    " SO_PEERCRED SO_BINDTODEVICE SO_MARK SO_DOMAIN SO_PROTOCOL SOCK_CLOEXEC SOCK_NONBLOCK"
    " MSG_NOSIGNAL MSG_CMSG_CLOEXEC AF_NETLINK AF_PACKET AF_VSOCK AF_ALG AF_CAN",
    select: " ".join(name for name in dir(select) if name.lower().startswith("epoll")),
}
ABSENT = ("/proc", "/sys", "/dev/shm", "/dev/full")


def refuse(event: str, args: tuple[Any, ...]) -> None:
    """Have no file of Linux's own."""
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(ABSENT):
        raise FileNotFoundError(2, "No such file or directory", str(args[0]))


sysconfig.get_config_vars()
for module, names in NAMES.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
sys.addaudithook(refuse)
sys.platform = "darwin"
