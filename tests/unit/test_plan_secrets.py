"""Whatever secret is planted, plan and env hide it, and the nodes get all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.engines.inventory import parse
from sparkctl.engines.setting import Setting
from sparkctl.inventory.layers import parse_layer
from sparkctl.output.plan import env_document, env_lines, plan_document, plan_lines
from sparkctl.secret.value import revealed
from tests.unit import clusterpair

if TYPE_CHECKING:
    from sparkctl.plan.desired import Desired

MARK = "Zq7"  # at both ends of a secret, so that a remaining part shows
ENDS = st.text("abcXYZ0189-_.+/=:!%#~'\"\\{}[]$,;* é", max_size=40)
ANY = ENDS.map(lambda text: f"{MARK}{text}{MARK}".replace("${", "$"))
URL = st.text("abcXYZ0189-_.+/=:!%~", max_size=40).map(lambda text: MARK + text + MARK)
KEY = st.text("abcXYZ0189-_.+/=:!%#~'\"\\{}[]$,;*", max_size=40).map(lambda t: MARK + t + MARK)


def desired(text: str, url: str, key: str) -> Desired:
    variables = {
        "MY_PWD": text,
        "AWS_ACCESS_KEY_ID": text,
        "HTTP_PROXY": f"http://bob:{url}@p",
        "J": json.dumps({"password": text}),
        "HF_TOKEN_2": text,
        "ALL_PROXY": f"b:{url}@p",
    }
    arguments = {
        "api-key": key,
        "hf-token": key,
        "new-password": text,
        "old-tokens": [text, text],
        "hf-overrides": {"a": [{"auth_token": text}], "b": f"http://bob:{url}@h"},
        "kv-transfer-config": json.dumps({"a": {"secret": {"b": [text]}}}),
        "otlp-traces-endpoint": f"http://bob:{url}@h",
    }
    inventory = {
        "cluster": "sparks",
        "nodes": [
            {"name": "spark-1", "host": "a", "role": "head", "env": {"MY_JWT": text}},
            {"name": "spark-2", "host": "b", "role": "worker", "env": {"GITHUB_PAT": text}},
        ],
        "env": {"set": variables},
        "vllm": {"model": f"s3://bob:{url}@bucket/m", "arguments": arguments},
    }
    layer = parse_layer("x.env", f"DB_PASS={url}\nhttps_proxy=http://bob:{url}@proxy\nA=1")
    return clusterpair.desired(parse(json.dumps(inventory).encode(), "x"), layers=[layer])


@given(ANY, URL, KEY)
@example(f"{MARK}{MARK}", f"{MARK}://{MARK}", f"{MARK}{MARK}")
@example(f"{MARK} a {MARK}", f"{MARK}/b:{MARK}", f"{MARK}${{NODE}}{MARK}")
def test_no_secret_is_shown(text: str, url: str, key: str) -> None:
    made = desired(text, url, key)
    names = list(made.parts)
    shown = [
        *plan_lines([made]),
        *env_lines([made], names),
        json.dumps([plan_document([made]), env_document([made], names)]),
        repr([made.parts, made.units, made.records]),
        repr([made.inventory.env, made.inventory.vllm.arguments]),
        str(made.head.environment),
    ]
    assert not [line for line in shown if MARK in line]


@given(ANY, URL, KEY)
def test_the_nodes_get_every_secret_whole(text: str, url: str, key: str) -> None:
    made = desired(text, url, key)
    values = revealed(made.values("spark-1"))
    argv = revealed(made.argv("spark-1", "vllm"))
    assert (values["VLLM_API_KEY"], values["HF_TOKEN"]) == (key, key)
    assert (values["MY_PWD"], values["MY_JWT"], values["HF_TOKEN_2"]) == (text, text, text)
    assert (values["DB_PASS"], values["HTTP_PROXY"]) == (url, f"http://bob:{url}@p")
    assert argv[argv.index("--new-password") + 1] == text
    assert argv[argv.index("--old-tokens") + 1 :][:2] == (text, text)
    overrides = json.loads(argv[argv.index("--hf-overrides") + 1])
    assert overrides == {"a": [{"auth_token": text}], "b": f"http://bob:{url}@h"}
    assert all(type(part) is str for part in (*argv, *values.values()))


def test_env_shows_where_a_value_ends() -> None:
    settings = {"A": Setting("a, b", "set"), "B": Setting("b", "set"), "C": Setting("", "set")}
    made = desired(MARK, MARK, MARK)
    made = replace(made, parts={"spark-1": replace(made.head, environment=settings)})
    assert [line.partition("  #")[0].rstrip() for line in env_lines([made], ["spark-1"])] == [
        "# spark-1",
        "A='a, b'",
        "B=b",
        "C=''",
    ]


def test_values_without_a_secret_are_shown() -> None:
    made = desired(MARK, MARK, MARK)
    lines = list(plan_lines([made]))
    assert "export NCCL_IB_HCA=rocep1s0f0,roceP2p1s0f0" in lines
    assert "export HTTP_PROXY='http://****@p'" in lines
    assert "export VLLM_API_KEY='****'" in lines
    assert plan_document([made])["spark-2"]["vllm"] == ()
    keys = [line for line in env_lines([made], ["spark-1"]) if line.startswith("VLLM_API_KEY=****")]
    assert [line.rpartition("# ")[2] for line in keys] == ["vllm.arguments"]
