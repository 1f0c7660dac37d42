"""Taking out of a text what must not leave the house; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from sparkctl.doctor.addresses import without_public_addresses
from sparkctl.serving.environment import MASK

# What follows a name: quoted, with a shell's or JSON's escapes; a list; else up to the next space.
VALUE = (
    r"""(?:\\+"[^"]*"?|"(?:\\.|[^"\\])*"?[^\s,;:&|)}\]"']*|'[^']*'?[^\s,;:&|)}\]"']*"""
    r"""|\[[^\]]*\]?|[^\s\["']\S*)"""
)
# The names of secrets. TOKENIZERS_PARALLELISM is none, nor is NCCL_IB_PKEY, a fabric's partition,
# a shell's PWD, or what names a file. Elsewhere in a name `token` counts things as well: a plain
# number stays, as in max_tokens=16.
START = r"(?i)(?<![\w.-])(?![\w.-]*(?:path|file|dir|stdin|pkey)(?![\w.-])|-*(?:old)?pwd(?![\w.-]))"
SECRET = (
    r"(?:[\w.-]*(?:secret|passw|passphrase|credential|(?:api|access|auth|private)[_-]?key)[\w.-]*"
    r"|[\w.-]*(?:token|key|(?<!by)pass|pwd|cookie|jwt|sig(?:nature)?|bearer|_auth))"
)
COUNTED = r"[\w.-]*token(?!iz)[\w.-]*"
NO_COUNT = r"""(?!["']?(?:\d[\d._]*[kmg]?|true|false|none|null)(?![\w.-]))"""
EQUALS = r"""=(?=\S)|\s+=\s+|\\*["']\]?\s*[:=]\s*"""
ASSIGNMENTS = (
    re.compile(rf"{START}({SECRET})({EQUALS}){VALUE}"),
    re.compile(rf"{START}({COUNTED})({EQUALS}){NO_COUNT}{VALUE}"),
    # A header or a line of YAML; but a `key:` by itself is also a word of ours.
    re.compile(rf"{START}(?!key:)({SECRET})(:\s*)(?!//|:){VALUE}"),
    # A flag whose last word is a secret's: --hf-token X, -token X; not --max-batched-tokens 8.
    re.compile(rf"{START}(?=-)({SECRET})(\s+)(?!-){VALUE}"),
    re.compile(rf"{START}(?=-)([\w.-]*tokens)(\s+)(?!-){NO_COUNT}{VALUE}"),
    # csh's and fish's assignment.
    re.compile(rf"{START}((?:setenv|set\s+(?:-\S+\s+)+)\s*{SECRET})(\s+){VALUE}"),
)
# vLLM's takes several, up to the next flag (vLLM 0.32, vllm/entrypoints/launchers/cli_args.py).
API_KEYS = re.compile(r"(?i)(?<![\w-])(--api[-_]keys?)[= ]\s*(?!-)\S+(?:\s+(?!-)\S+)*")
# With a scheme that has one word, or two words: what another scheme has is not known.
AUTHORIZATION = re.compile(
    r"""(?i)\b(authorization\\*["']?\s*[:=]\s*\\*["']?(?:(?:basic|bearer|token|apikey)\s+)?)"""
    r"""(?:(?:digest|aws4)[^'\n]*|(?<=\s)(?<!:\s)[^\s'"]+|[^\s'"]+(?:\s+[^\s'"-][^\s'"]*)?)"""
)
BEARER = re.compile(r"(?i)\b(bearer)\s+[^\s'\"]+")
COOKIE = re.compile(r"""(?i)\b(cookie\\*["']?:\s*\\*["']?)[^'"\n]+""")
# Programs that take a password by a flag of one letter.
LETTER = re.compile(
    r"(\bsshpass\s+(?:-v\s+|-P\s*\S+\s+)*-p|\bredis-cli\b[^|;&]*?\s-a"
    rf"|\b(?:mysql\w*|mariadb\w*|(?:docker|podman|nerdctl)\s+login)\b[^|;&]*?\s-p)(\s*){VALUE}"
)
# curl's user and password; not docker's uid:gid.
LOGIN = re.compile(
    r"""(?<!\S)((?:-u|-U|--(?:proxy-)?user)[= ]?["']?[^\s:="']+):(?!\d+(?!\S))[^\s"']+"""
)
URL = re.compile(r"://[^/\s]+@")
# Tokens that show what they are: of OpenAI's kind, Hugging Face, NGC, GitHub, GitLab, Slack,
# Docker, AWS, JWT.
TOKEN = re.compile(
    r"\b(?:sk-|hf_|nvapi-|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|dckr_pat_)(?=[\w-]*\d)[\w-]{6,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\beyJ[\w-]{8,}(?:\.[\w-]+)+"
)

LOOKED_AT = 2048  # characters of a command line, of which fewer are told

HOME = re.compile(r"/(home|Users)/[^/\s:'\"]+")
ACCOUNT = re.compile(r"(?<!\S)(-u|--user)[= ](?!root\b)[A-Za-z_][\w-]*(:\S+)?(?!\S)")
OWNER = re.compile(rf"""(\b(?:USER|LOGNAME|USERNAME|SUDO_USER)(?:{EQUALS}))(?!root\b){VALUE}""")
AT_HOST = re.compile(r"(?<![\w.@/*-])(?!root@)[A-Za-z_][\w.-]*@(?=[\w\[])")


def secretless(text: str) -> str:
    """The text, most often somebody's command line, without passwords, keys and tokens."""
    text = API_KEYS.sub(rf"\1 {MASK}", text)
    for pattern in (AUTHORIZATION, COOKIE):
        text = pattern.sub(rf"\1{MASK}", text)
    text = BEARER.sub(rf"\1 {MASK}", text)
    for pattern in (*ASSIGNMENTS, LETTER):
        text = pattern.sub(rf"\1\2{MASK}", text)
    text = LOGIN.sub(rf"\1:{MASK}", text)
    text = URL.sub(f"://{MASK}@", text)
    return TOKEN.sub(MASK, text)


def command_line(text: str, limit: int = 160) -> str:
    """Somebody's command line as it may be told: on one line, printable, without secrets."""
    line = " ".join(secretless(text[:LOOKED_AT]).split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]


def _anonymous(text: str) -> str:
    """The text without the users that its form alone shows: homes, `-u bob`, bob@host."""
    text = OWNER.sub(r"\1user", text)
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
        return without_public_addresses(text)


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
