"""What a secret is by its name or form, and the values that show a mask wherever they go."""

from __future__ import annotations

import copy
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.secret.names import is_secret
from sparkctl.secret.value import (
    Json,
    Secret,
    hashed,
    masked,
    protected,
    protected_text,
    public,
    replaced,
    revealed,
)

MARK = "Zq7"


SECRETS = """
HF_TOKEN VLLM_API_KEY DB_PASS DB_PASS2 DB_PASSWORD PGPASSWORD MY_PWD MYSQL_PWD MY_JWT GITHUB_PAT
AUTH_BEARER AWS_ACCESS_KEY_ID REDISCLI_AUTH AWS_SECRET_ACCESS_KEY MY_SECRET_ID
AZURE_STORAGE_CONNECTION_STRING api-key hf-token ssl-keyfile-password apiKey Authorization x-api-key
pat MYSQL_ROOT_PW pw GCP_CREDS DB_CRED dbCreds SESSION_COOKIES SSH_KEYS SIGNING_KEY_B64 TLS_KEY_PEM
KEY_2_BASE64 AES_KEY_HEX REQUEST_HMAC SSH_PRIVATE
"""
NO_SECRETS = """
TOKENIZERS_PARALLELISM max_tokens RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE PWD OLDPWD NCCL_IB_PKEY
HF_TOKEN_FILE KEY_PATH max-num-batched-tokens PATH chat-template-content-format tool-call-parser
tokenizer-mode bypass passthrough compass COMPAT LD_LIBRARY_PATH NCCL_DEBUG SSH_AUTH_SOCK
ssl-keyfile monkeys sacred private KEY_PEM_FILE tls-cert-pem POWER_W HTTPW_MODE
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)
    assert masked(name, "value") == "****"
    assert masked(name, "") == ""


@pytest.mark.parametrize("name", NO_SECRETS.split())
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("max-num-batched-tokens", 8192, False),
        ("max-num-batched-tokens", "8k", False),
        ("return-tokens-as-token-ids", True, False),
        ("allow-credentials", True, False),
        ("API_TOKENS", "a,b", True),
        ("HF_TOKEN_2", "abc", True),
        ("HF_TOKEN", "1", True),
    ],
)
def test_where_a_name_counts_tokens_its_value_decides(
    name: str, value: object, secret: bool
) -> None:
    assert is_secret(name, value) is secret


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("X", "http://bob:PW@proxy:3128", "http://****@proxy:3128"),
        ("X", "http://bob:P/W@proxy:3128", "http://****@proxy:3128"),
        ("https_proxy", "bob:PW@proxy:3128", "****@proxy:3128"),
        ("X", "hf_abcdefgh1", "****"),
        ("X", "a sk-proj-abcdefg1", "a ****"),
        ("X", "AKIA0123456789ABCDEF", "****"),
        ("X", "eyJhbGciOiJI.eyJzdWIi.abc", "****"),
        ("X", "--hf-token abc --port 1", "--hf-token **** --port 1"),
        ("X", '{"token": {"a": "PW"}, "x": 1}', '{"token":{"a":"****"},"x":1}'),
        ("X", '{"token": "PW", "token": 1, "x": 1}', '{"token":"****","x":1}'),
        ("X", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", "****\n"),
        ("X", "a -----BEGIN RSA PRIVATE KEY-----\\nMIIE key=1 b", "a ****"),
        ("X", "-----BEGIN PUBLIC KEY-----\nMIIE", "-----BEGIN PUBLIC KEY-----\nMIIE"),
        (
            "X",
            "https://hooks.slack.com/services/T0/B0/abc",
            "https://hooks.slack.com/services/****",
        ),
        ("X", "machine h login u password PW", "machine h login u password ****"),
        ("X", "machine h\n login u\n password PW\n", "machine h\n login u\n password ****\n"),
        ("X", "password PW", "password ****"),
        ("X", "the password is not the key", "the password is not the key"),
        ("X", "[" * 2000, "[" * 2000),
        ("X", "a" * 3000, "(3000 characters)"),
        ("NCCL_IB_HCA", "=rocep1s0f0:1,roceP2p1s0f0:1", "=rocep1s0f0:1,roceP2p1s0f0:1"),
        ("X", "http://10.0.0.1:8000/a@b", "http://10.0.0.1:8000/a@b"),
        ("X", '{"max_tokens": 8}', '{"max_tokens": 8}'),
    ],
)
def test_values_show_it_by_themselves(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown
    assert revealed(protected(name, value)) == value


@given(st.text(min_size=1), st.text())
def test_whatever_is_done_with_a_secret_shows_the_mask(text: str, other: str) -> None:
    secret = Secret(MARK + text)
    assert secret.reveal() == MARK + text
    printed = (str(secret), repr(secret), f"{secret}", f"{secret:>50}", f"{secret!r}")
    old = "%s" % secret  # noqa: UP031  (how a log record is formatted)
    joined = (" ".join([secret]), shlex.join([secret, "a"]), secret + other, other + secret)
    changed = (secret.encode().decode(), secret.upper(), secret[:9], secret.replace("*", "x"))
    inside = (json.dumps({"a": secret}), str([secret]), str(copy.deepcopy({"a": secret})))
    for shown in (*printed, old, *joined, *changed, *inside):
        assert MARK not in shown


def test_a_secret_is_equal_by_its_text_and_survives_a_copy() -> None:
    secret = Secret("abc", "a**")
    assert secret == Secret("abc") == "abc"
    assert secret != Secret("abd")
    assert secret != "a**"
    assert secret in {"abc"}
    copied = copy.deepcopy(secret)
    assert (copied.reveal(), str(copied)) == ("abc", "a**")


def test_a_mapping_keeps_its_types() -> None:
    value: Json = {
        "watermark": {"key": 12, "on": True},
        "token": [{"a": "x"}],
        "n": 1,
        "password": None,
    }
    kept = protected("config", value)
    hidden = {"watermark": {"key": "****", "on": True}, "token": [{"a": "****"}]}
    assert json.dumps(kept) == json.dumps({**hidden, "n": 1, "password": None})
    assert json.dumps(revealed(kept)) == json.dumps(value)


def test_what_may_be_read_on_a_node_is_no_secret() -> None:
    values = {"A": "1", "HF_TOKEN": "", "P": protected_text("http://a:b@c")}
    assert public(values) == {"A": "1"}


def test_records_hold_salted_hashes() -> None:
    one = hashed("HF_TOKEN", "abc", "salt")
    assert one.startswith("sha256:")
    assert one == hashed("HF_TOKEN", Secret("abc"), "salt")
    others = [("HF_TOKEN", "abd", "salt"), ("HF_TOKEN", "abc", "tlas"), ("X_TOKEN", "abc", "salt")]
    assert len({one, *(hashed(*other) for other in others)}) == 4
    assert hashed("NCCL_DEBUG", "INFO", "salt") == "INFO"
    argv, last = ("serve", "m", Secret("abc")), hashed("argv", Secret("abc"), "salt")
    assert replaced(argv, lambda s: hashed("argv", s, "salt")) == ("serve", "m", last)
    assert revealed(argv) == ("serve", "m", "abc")
