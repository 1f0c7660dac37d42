"""Taking out of a text what must not leave the house; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from sparkctl.serving.environment import MASK, masked

ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]+)"
)
VALUE = r"""(?:"[^"]*"|'[^']*'|\S+)"""
ASSIGNMENT = re.compile(rf"""\b([A-Za-z_]\w*)(=|["']\s*:\s*)({VALUE})""")
# A flag whose last word is a secret's: --hf-token X, --requirepass=X; not --max-batched-tokens 8.
FLAG = re.compile(
    r"(?i)(?<![\w-])(--?[\w-]*(?:key|token|secret|pass|passw(?:or)?d|passphrase|credentials?))"
    rf"(=|\s+(?!-))({VALUE})"
)
# vLLM's takes several, up to the next flag (vLLM 0.32, vllm/entrypoints/launchers/cli_args.py).
API_KEYS = re.compile(r"(?i)(?<![\w-])(--api[-_]keys?)[= ]\s*(?!-)\S+(?:\s+(?!-)\S+)*")
AUTHORIZATION = re.compile(r"(?i)\b(authorization:\s*\w+|bearer)\s+[^\s'\"]+")
LOGIN = re.compile(r"://[^/@\s]+@")
# Tokens that show what they are: of OpenAI's kind, Hugging Face, NGC, GitHub.
TOKEN = re.compile(r"\b(?:sk-|hf_|nvapi-|gh[opsu]_|github_pat_)(?=[\w-]*\d)[\w-]{6,}")

HOME = re.compile(r"/(home|Users)/[^/\s:'\"]+")
ACCOUNT = re.compile(r"(?<!\S)(-u|--user)[= ](?!root\b)[A-Za-z_][\w-]*(:\S+)?(?!\S)")
ACCOUNTS = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
AT_HOST = re.compile(r"(?<![\w.@/*-])(?!root@)[A-Za-z_][\w.-]*@(?=[\w\[])")


def secretless(text: str) -> str:
    """The text, most often somebody's command line, without passwords, keys and tokens."""
    text = API_KEYS.sub(rf"\1 {MASK}", text)
    text = FLAG.sub(rf"\1\2{MASK}", text)
    text = ASSIGNMENT.sub(lambda m: f"{m[1]}{m[2]}{masked(m[1], m[3])}", text)
    text = AUTHORIZATION.sub(rf"\1 {MASK}", text)
    text = LOGIN.sub(f"://{MASK}@", text)
    return TOKEN.sub(MASK, text)


def command_line(text: str, limit: int = 160) -> str:
    """Somebody's command line as it may be told: on one line, printable, without secrets."""
    line = " ".join(secretless(text).split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]


def _anonymous(text: str) -> str:
    """The text without the users that its form alone shows: homes, `-u bob`, bob@host."""
    text = ASSIGNMENT.sub(
        lambda m: f"{m[1]}{m[2]}{'user' if m[1] in ACCOUNTS and m[3] != 'root' else m[3]}", text
    )
    text = ACCOUNT.sub(lambda m: f"{m[1]} user{f':{MASK}' if m[2] else ''}", text)
    return AT_HOST.sub("user@", HOME.sub(r"/\1/user", text))


@dataclass
class Masking:
    """What is masked: `names` (users, hosts) each get a word of their own, so that a reader can
    still tell them apart; private addresses stay, for the fabric cannot be read without them.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """The text without secrets, user names, hosts and public addresses."""
        text = _anonymous(secretless(text))
        for name in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", self.names[name], text)
        return ADDRESS.sub(lambda m: _address(m[0]), text)


def _address(text: str) -> str:
    try:
        return MASK if ip_address(text).is_global else text
    except ValueError:
        return text


def masking(users: Iterable[str], hosts: Mapping[str, Iterable[str]]) -> Masking:
    """A masking for these users, and for each node's hosts (addresses or names).

    `root` says nothing of anybody and stays; so do addresses that are private.
    """
    names = {user: "user" for user in users if user and user != "root"}
    for node, called in hosts.items():
        for host in called:
            if host != node and not _is_address(host):
                names[host] = f"host-of-{node}"
    return Masking(names)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
