"""What leaves the house: no secret in any form, no public address; all else as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.doctor.masking import masking
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

FORMS = [
    "docker run --env=HF_TOKEN={} img",
    "docker run -e=API_KEY={} img",
    "docker run -e API_KEY={} img",
    "docker run -eHF_TOKEN={} img",
    "docker build --build-arg=NGC_KEY={} .",
    "systemd-run --setenv=HF_TOKEN={} vllm",
    "sh -c A=B;HF_TOKEN={}",
    "sh -c OLDPWD=/x;MYSQL_PWD={}",
    "env A=B,HF_TOKEN_2={}",
    "env AWS_ACCESS_KEY_ID={} aws",
    "env AWS_SECRET_ACCESS_KEY={} aws",
    "env REDISCLI_AUTH={} redis-cli",
    "login HF_TOKEN = {} now",
    "sshpass -p {} ssh -p 22 h",
    "sshpass -v -p{} ssh h",
    "mysql -u root -p{} db",
    "redis-cli -h h -a {} ping",
    "docker login -u me -p {} nvcr.io",
    "jupyter lab --NotebookApp.token {} --port 8",
    "jupyter lab --NotebookApp.password={} --port 8",
    "vllm serve m --api-key one {} --port 8000",
    "vllm serve m --api_key={}",
    "raylet --redis-password={} --temp-dir=/tmp/ray",
    "curl -H X-Api-Key: {} http://h",
    "curl -H X-Auth-Token:{} http://h",
    "curl -H Authorization: Bearer {} http://h",
    "curl -H Authorization:{} http://h",
    "curl -H Authorization: Own {} http://h",
    "curl --proxy-user me:{} http://h",
    "curl -u me:{} http://h",
    "curl -H Cookie: session={}; b={}",
    "openssl rsa -passin pass:{}",
    "wrote api_key: {}",
    "serve --tokens {} --port 1",
    "csh -c setenv HF_TOKEN {}",
    "fish -c set -gx HF_TOKEN {}",
    "curl http://h/x?sig={}",
    "api_key : {}",
    "<password>{}</password>",
]
QUOTED = [
    'vllm serve m --hf-overrides={{"token":"{}"}} --port 1',
    'vllm serve m --hf-overrides={{"a": 1, "api_key": ["b", "{}"]}} --port 1',
    'serve {{\\"token\\": \\"{}\\", \\"port\\": 1}}',
    "args: {{'api_key': ['a', '{}'], 'port': 1}}",
    "env HF_TOKEN='{}' vllm",
    'env HF_TOKEN="{}" vllm',
    'python -c os.environ["HF_TOKEN"]="{}"',
    'curl -d \'{{"password": "{}"}}\' http://h',
    "Command '['vllm', 'serve', '--api-key', 'a', '{}', '--port', '1']' returned non-zero",
    'argv=["--hf-token", "{}"]',
    "'password' => '{}'",
    '{{"auths": {{"nvcr.io": {{"auth": "{}"}}}}}}',
]
HEADERS = ["curl -H 'X-Api-Key: {}' http://h", '"Authorization": "Bearer {}", "x": 1']
MARK = "Zq7"  # in no form; at both ends, so that no part of a secret may be left
WORD = st.text("abcXYZ0189-_.+/=:!%#~", max_size=40).map(lambda text: MARK + text + MARK)


@pytest.mark.parametrize("form", FORMS + QUOTED + HEADERS)
@given(secret=WORD)
def test_no_form_tells_a_secret(form: str, secret: str) -> None:
    text = form.format(*[secret] * form.count("{}"))
    assert MARK not in command_line(text, 999)
    assert MARK not in masking([], {}).mask(text)


@pytest.mark.parametrize("form", QUOTED)
def test_what_is_quoted_may_have_spaces(form: str) -> None:
    assert MARK not in command_line(form.format(f"a {MARK} b {MARK}"), 999)


def test_what_stands_beside_a_secret_stays() -> None:
    shown = command_line(f"docker run --env=HF_TOKEN={MARK} -p 8000:8000 img --port 8000")
    assert shown == "docker run --env=HF_TOKEN=**** -p 8000:8000 img --port 8000"
    assert command_line(f"sshpass -p {MARK} ssh -p 22 h") == "sshpass -p **** ssh -p 22 h"


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve m --max-model-len 8192 --tokenizer X --port 30000",
        "vllm serve m --max-num-batched-tokens=8192 --ssl-keyfile /x --tokenizer-mode=auto",
        "vllm serve m --max-num-batched-tokens 8k --return-tokens-as-token-ids --x",
        'bench {"max_tokens":16,"skip_special_tokens":true,"eos_token_id":2}',
        "NCCL_IB_PKEY=0 TOKENIZERS_PARALLELISM=false RAY_AUTH_TOKEN_PATH=/y RAY_AUTH_MODE=token",
        "PWD=/x OLDPWD=/y SSH_AUTH_SOCK=/z",
        "docker run -u 1000:1000 -p 8000:8000 -e HF_TOKEN img",
        "mysqld --port 3306 --datadir=/x",
        "the host key: SHA256:abc is not known",
        "['--max-num-batched-tokens', '8192', '--tokenizer', 'x']",
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert command_line(text, 999) == text
    assert masking([], {}).mask(text) == text


AROUND = ["{}", "np0:{}<0>", "x {}.", "({})", "a={}, b", "[{}]:30000", "tcp://{}/x", "gid {}/64"]


@pytest.mark.parametrize("around", AROUND)
@given(address=st.ip_addresses(v=4))
def test_public_ipv4_addresses_alone_are_masked(around: str, address: IPv4Address) -> None:
    for written in (str(address), f"::ffff:{address}"):
        masked = masking([], {}).mask(around.format(written))
        assert masked == around.format("****" if address.is_global else written)


@pytest.mark.parametrize("around", AROUND)
@given(address=st.ip_addresses(v=6, network="2000::/3").filter(lambda a: a.is_global))
def test_public_ipv6_addresses_are_masked(around: str, address: IPv6Address) -> None:
    for written in (str(address), str(address).upper(), address.exploded):
        assert masking([], {}).mask(around.format(written)) == around.format("****")


def test_a_line_of_nccl_without_its_public_addresses() -> None:
    line = "NET/IB : Using [0]rocep1s0f0:1/RoCE [RO]; OOB enp1s0f0np0:{}<0>"
    for address in ("8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"):
        assert masking([], {}).mask(line.format(address)) == line.format("****")
    for address in ("192.168.100.11", "fe80::1%enp1s0f0np0", "::ffff:192.168.100.11"):
        assert masking([], {}).mask(line.format(address)) == line.format(address)


@pytest.mark.parametrize(
    "text",
    [
        "driver 580.95.05.1, NCCL 2.28.9, cudnn==9.13.0.50, version 9.13.0.50, v8.9.7.29",
        "CUDA 13.0.88.1 from libcudnn.so.9.13.0.50",
        "firmware: 28.45.12.10 and 1.2.3.4.5",
        "0000:0000:0000:0000:0000:ffff:c0a8:640b 100.64.0.1 169.254.1.1 10.77.0.11:8000",
        "b8:3f:d2:03:00:a1:b2:c3 aa:bb:cc:dd:ee:ff 0000:01:00.0 9c63:c003:00a1:b2c3 12:10:48",
        "std::vector c10::Error a::b ::1 :: fd00::1 2001:db8::1",
    ],
)
def test_what_looks_like_a_public_address_and_is_none_stays(text: str) -> None:
    assert masking([], {}).mask(text) == text


def test_names_are_masked_alike_wherever_they_stand_and_nodes_stay() -> None:
    hosts = {"spark-1": ["dgx-a1.corp.example.com", "BOX"], "spark-2": ["spark-2", "localhost"]}
    hidden = masking(["bob", "root", "nvidia"], hosts, ["/srv/people/4711", "/root"])
    for text, shown in [
        ("dgx-a1 DGX-A1.corp.example.com:22", "host-of-spark-1 host-of-spark-1:22"),
        ("nas.corp.example.com", "nas.domain"),
        ("box up; spark-1 spark-2 localhost", "host-of-spark-1 up; spark-1 spark-2 localhost"),
        ("/data/bob_models/x-bob, bobs bob2", "/data/user_models/x-user, bobs bob2"),
        ("nvidia-smi of nvidia in /home/nvidia", "nvidia-smi of nvidia in /home/user"),
        ("/srv/people/4711/x /root/x", "/home/user/x /root/x"),
    ]:
        assert hidden.mask(text) == shown
