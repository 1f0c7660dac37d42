"""Which names are those of secrets, and which texts are recognizable as secrets; pure.

The one definition, for variables, flags, JSON keys and command lines.
"""

from __future__ import annotations

import re

MASK = "****"

# Not a secret: what names a file, NCCL_IB_PKEY (a fabric's partition), a shell's PWD.
OTHER = r"(?![\w.-]*(?:path|file|dir|stdin|pkey)(?![\w.-])|-*(?:old)?pwd(?![\w.-]))"
# `bypass` and `compass` hold no pass, PATH no personal access token, `sacred` no cred.
PASS = r"(?<!by)(?<!com)(?<!sur)(?<!over)(?<!tres)pass"
NAME = (
    r"(?:[\w.-]*(?:secret|passw|passphrase|credential|connection[_-]?string"
    r"|(?:api|access|auth|private)[_-]?key)[\w.-]*"
    r"|[\w.-]*key[\w.-]*(?:b64|base64|pem|hex)"
    rf"|[\w.-]*(?:token|key|{PASS}|pwd|cookies?|jwt|sig(?:nature)?|bearer|_auth|authorization"
    r"|hmac|(?<!sa)creds?|(?<=[_-])private|(?<![a-z0-9])(?:pat|pw|keys))(?:[_-]?\d+)?)"
)
# Elsewhere in a name `token` may also count things, as in max_tokens=16: a plain number stays.
# TOKENIZERS_PARALLELISM holds none.
COUNTED = r"[\w.-]*token(?!iz)[\w.-]*"
COUNT = r"(?:\d[\d._]*[kmg]?|true|false|none|null)"

# A user and a password, which may contain a slash; http://host:8000/a@b has neither.
URL = re.compile(r"://(?:[^/\s]+|[^/\s:@]*:(?!\d+/)\S+)@")
# Recognizable tokens: of OpenAI's kind, Hugging Face, NGC, GitHub, GitLab, Slack,
# Docker, AWS, JWT; and the path of a Slack webhook.
TOKEN = re.compile(
    r"\b(?:sk-|hf_|nvapi-|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|dckr_pat_)(?=[\w-]*\d)[\w-]{6,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\beyJ[\w-]{8,}(?:\.[\w-]+)+"
    r"|(?<=\bhooks\.slack\.com/services/)[^\s\"'<>]+"
)
# Also if its end is cut off.
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)

_SECRET = re.compile(rf"(?i){OTHER}{NAME}")
_COUNTED = re.compile(rf"(?i){OTHER}{COUNTED}")
_COUNT = re.compile(rf"(?i){COUNT}")


def is_secret(name: str, value: object = None) -> bool:
    """Whether the value of this name is a secret, whatever its text.

    Of a name that may count tokens (max_tokens, HF_TOKEN_2) it is one unless it is a number; true
    and false never are (allow-credentials).
    """
    if isinstance(value, bool):
        return False
    plain = re.sub(r"[^\w.-]", "_", name)
    if _SECRET.fullmatch(plain):
        return True
    counted = value is None or _COUNT.fullmatch(str(value))
    return not counted and bool(_COUNTED.fullmatch(plain))
