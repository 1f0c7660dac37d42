"""A text, most often a command line, without the secrets in it; pure."""

from __future__ import annotations

import re

from sparkctl.secret.names import COUNT, COUNTED, MASK, NAME, OTHER, PRIVATE_KEY, TOKEN, URL

# What follows a name: quoted, with a shell's or JSON's escapes; a list; else up to the next space.
VALUE = (
    r"""(?:\\+"[^"]*"?|"(?:\\.|[^"\\])*"?[^\s,;:&|)}\]"']*|'[^']*'?[^\s,;:&|)}\]"']*"""
    r"""|\[[^\]]*\]?|[^\s\["']\S*)"""
)
START = rf"(?i)(?<![\w.-]){OTHER}"
NO_COUNT = rf"""(?!["']?{COUNT}(?![\w.-]))"""
EQUALS = r"""=(?=\S)|\s+=\s+|\\*["']\]?\s*(?:=>|[:=])\s*"""
ASSIGNMENTS = (
    re.compile(rf"{START}({NAME})({EQUALS}){VALUE}"),
    re.compile(rf"{START}({COUNTED})({EQUALS}){NO_COUNT}{VALUE}"),
    # A header or a line of YAML; but a bare `key:` also occurs in sparkctl's own messages.
    re.compile(rf"{START}(?!keys?\s?:)({NAME})(\s?:\s*)(?!//|:){VALUE}"),
    re.compile(rf"(?i)(<{OTHER}{NAME})(>)[^<]+"),
    # ~/.docker/config.json
    re.compile(r"""(?i)(["']auth["'])(\s*:\s*)["'][^"']{6,}["']?"""),
    # A flag whose last word is a secret's: --hf-token X, -token X; not --max-batched-tokens 8.
    re.compile(rf"{START}(?=-)({NAME})(\s+)(?!-){VALUE}"),
    re.compile(rf"{START}(?=-)([\w.-]*tokens)(\s+)(?!-){NO_COUNT}{VALUE}"),
    # csh's and fish's assignment.
    re.compile(rf"{START}((?:setenv|set\s+(?:-\S+\s+)+)\s*{NAME})(\s+){VALUE}"),
)
# vLLM's takes several, up to the next flag (vLLM 0.32, vllm/entrypoints/launchers/cli_args.py).
API_KEYS = re.compile(r"(?i)(?<![\w-])(--api[-_]keys?)[= ]\s*(?!-)\S+(?:\s+(?!-)\S+)*")
# As Python and JSON show an argv; what follows the first value may be more of vLLM's keys.
LISTED = re.compile(
    rf"""{START}(?=-)((?:{NAME}|[\w.-]*tokens(?!\\*["']\s*,\s*\\*["']{COUNT}["'\\]))\\*["'])"""
    r"""(?:\s*,\s*\\*["'](?!-)(?:\\.|[^"'\\])*\\*["']?)+"""
)
# With a scheme of one word, or two words: the form of other schemes is unknown.
AUTHORIZATION = re.compile(
    r"""(?i)\b(authorization\\*["']?\s*[:=]\s*\\*["']?(?:(?:basic|bearer|token|apikey)\s+)?)"""
    r"""(?:(?:digest|aws4)[^'\n]*|(?<=\s)(?<!:\s)[^\s'"]+|[^\s'"]+(?:\s+[^\s'"-][^\s'"]*)?)"""
)
BEARER = re.compile(r"(?i)\b(bearer)\s+[^\s'\"]+")
COOKIE = re.compile(r"""(?i)\b(cookie\\*["']?:\s*\\*["']?)[^'"\n]+""")
# Programs with a one-letter flag for a password.
LETTER = re.compile(
    r"(\bsshpass\s+(?:-v\s+|-P\s*\S+\s+)*-p|\bredis-cli\b[^|;&]*?\s-a"
    rf"|\b(?:mysql\w*|mariadb\w*|(?:docker|podman|nerdctl)\s+login)\b[^|;&]*?\s-p)(\s*){VALUE}"
)
# curl's user and password; not docker's uid:gid.
LOGIN = re.compile(
    r"""(?<!\S)((?:-u|-U|--(?:proxy-)?user)[= ]?["']?[^\s:="']+):(?!\d+(?!\S))[^\s"']+"""
)
# netrc(5): after the other words of its machine, or on a line of its own.
NETRC = re.compile(
    r"(?m)(\b(?:machine|login|account)\s+\S+\s+password\s+|^[ \t]*password[ \t]+(?=\S+[ \t]*$))\S+"
)

# What every form above and in names.py has somewhere: a line without it has no secret. A log has
# thousands of lines, and looking for all forms takes 0.2 ms each.
SUSPECT = re.compile(
    r"(?i)secret|pass|credential|connection|key|token|pwd|cookie|jwt|sig|bearer|auth|hmac|cred"
    r"|private|pat(?!h)|pw|redis-cli|mysql|mariadb|login|machine|account|-u|--(?:proxy-)?user|://"
    r"|sk-|hf_|nvapi-|gh[oprsu]_|glpat-|xox|dckr_|akia|asia|eyj|hooks\.slack"
)
# A line that ends in a secret's name: its value is on the next ones.
TO_BE_CONTINUED = re.compile(
    rf"""(?i)(?<![\w.-]){OTHER}(?:-+{NAME}["']?,?|{NAME}\\*["']?\]?\s*[:=]\s*"""
    r"""(?P<value>[\[{(](?=[^\]})]*$)|[|>][-+0-9]*|"{3}|'{3}|)"""
    rf"""|{COUNTED}\\*["']?\]?\s*[:=]\s*(?P<values>[\[{{(](?=[^\]}})]*$)))"""
    r"""(?:(?<=[\[{(])[^\]})]*)?\s*\\?$"""
)

LOOKED_AT = 2048  # characters of a command line that are read; fewer are shown


def secretless(text: str) -> str:
    """The text, usually a command line, without passwords, keys and tokens."""
    text = PRIVATE_KEY.sub(MASK, text)
    text = API_KEYS.sub(rf"\1 {MASK}", text)
    text = LISTED.sub(rf"\1, '{MASK}'", text)
    for pattern in (AUTHORIZATION, COOKIE):
        text = pattern.sub(rf"\1{MASK}", text)
    text = BEARER.sub(rf"\1 {MASK}", text)
    for pattern in (*ASSIGNMENTS, LETTER):
        text = pattern.sub(rf"\1\2{MASK}", text)
    text = NETRC.sub(rf"\1{MASK}", text)
    text = LOGIN.sub(rf"\1:{MASK}", text)
    text = URL.sub(f"://{MASK}@", text)
    return TOKEN.sub(MASK, text)


def command_line(text: str, limit: int = 160) -> str:
    """A command line fit to be shown: on one line, printable, without secrets."""
    line = " ".join(secretless(text[:LOOKED_AT]).split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]
