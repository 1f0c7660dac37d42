"""Why pip or uv could not install, by what they printed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.errors import RemoteError
from sparkctl.secret.text import command_line
from sparkctl.text import plain

if TYPE_CHECKING:
    from sparkctl.facts.installanswers import Built

LINE = 300  # characters of a line in a message
FULL = 256 * 2**20  # bytes: fewer are left on a disk that was full; a log there lacks its end


class Known(NamedTuple):
    """A failure by a line of the log; the first of them that occurs is the cause.

    `text` is for people, with that `line`, or the last `match` in it.
    """

    code: str
    pattern: re.Pattern[str]
    text: str
    hint: str


# pip 23 to 26, uv 0.9 (their sources); errno texts are glibc's.
DISK = Known(
    "disk-full",
    re.compile(r"No space left on device|Disk quota exceeded"),
    "{line}",
    "free some space on {node}, or set runtime.venv to a path on a larger disk",
)
KNOWN = (
    DISK,
    Known(
        "index-unreachable",
        re.compile(
            r"Temporary failure in name resolution|Name or service not known|dns error"
            r"|Network is unreachable|No route to host|Connection refused|timed out"
            r"|Failed to establish a new connection|error sending request|ProxyError"
        ),
        "the package index cannot be reached: {match}",
        "check the network and proxy of {node}, or name a reachable index with --index-url, or a"
        " folder of wheels on {node} with --no-index --find-links",
    ),
    Known(
        "index-refused",
        re.compile(
            r"\b(401|403|407) (Client )?(Error|Unauthorized|Forbidden)|status code: 40[137]"
        ),
        "{line}",
        "check the account in --index-url",
    ),
    Known(
        "version-missing",
        re.compile(r"No matching distribution found|No solution found|not found in the package"),
        "{line}",
        "check the versions; the index may have none for this Python and processor",
    ),
)
ERROR = re.compile(r"^\s*(ERROR|error|Error)\b")


def failure(node: str, log: str, built: Built) -> RemoteError:
    """The error for an installation that ended so."""

    def error(line: str, hint: str, code: str) -> RemoteError:
        return RemoteError(
            f"installation failed: {command_line(line, LINE)}",
            node=node,
            hint=hint,
            code=code,
            data={"log": log, "status": built.status},
        )

    lines = [line for text in built.tail for line in plain(text).splitlines() if line.strip()]
    for known in KNOWN:
        found = [(line, m[0]) for line in lines for m in known.pattern.finditer(line)]
        if found:
            line, match = found[-1]
            return error(
                known.text.format(line=line, match=match), known.hint.format(node=node), known.code
            )
    if built.free < FULL:
        left = f"only {built.free // 2**20} MiB are free on its disk"
        return error(left, DISK.hint.format(node=node), DISK.code)
    if built.status is None or built.status < 0:
        how = "was killed" + (f" by signal {-built.status}" if built.status else "")
        return error(f"it {how}", "run `sparkctl node install` again", "install-killed")
    errors = [line for line in lines if ERROR.match(line)]
    last = (errors or lines or ["it printed nothing"])[-1]
    return error(last, f"{log} on {node} has all of it", "install-failed")
