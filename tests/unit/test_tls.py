"""vLLM's API over https and with a key: which arguments work, and that the probes do."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor import looks
from sparkctl.doctor.health import health
from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.tls import api_base, local_base
from sparkctl.node import completion
from tests.unit.test_inventory import GOOD, details

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "of-theirs"
CERTIFIED = "ssl-keyfile: /k.pem, ssl-certfile: /c.pem"


class Api(BaseHTTPRequestHandler):
    """What vLLM answers with --api-key: /v1 needs the key, /version and /health do not."""

    def do_GET(self) -> None:
        answers: dict[str, Any] = {
            "/version": {"version": "0.32.0"},
            "/v1/models": {"data": [{"id": "m"}]},
        }
        self._answer(answers.get(self.path, {}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"choices": [{"text": "x"}], "usage": {"completion_tokens": 4}})

    def _answer(self, answer: dict[str, Any]) -> None:
        known = self.headers.get("Authorization") == f"Bearer {KEY}"
        self.send_response(200 if known or not self.path.startswith("/v1") else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    request += ["-subj", "/CN=elsewhere.example", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(request, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture(params=["http", "https"])
def base(request: pytest.FixtureRequest, certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{request.param}://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    (tmp_path / ".sparkctl" / "sparks").mkdir(parents=True)
    return tmp_path / ".sparkctl" / "sparks" / "environment.json"


def ask(base: str) -> dict[str, Any]:
    return {**completion.ask({"cluster": "sparks", "base": base, "tokens": 4, "timeout": 10})}


def test_a_completion_comes_back_over_tls_and_with_the_key(base: str, home: Path) -> None:
    home.write_text(json.dumps({"VLLM_API_KEY": KEY}))
    answer = ask(base)
    assert "error" not in answer
    assert (answer["version"], answer["models"], answer["tokens"]) == ("0.32.0", ["m"], 4)


def test_without_the_key_the_error_is_http_401(base: str, home: Path) -> None:
    home.write_text("{}")
    assert "HTTP 401" in ask(base)["error"]


def test_a_key_in_the_logins_environment_is_used(
    base: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    home.write_text("{}")
    assert ask(base)["tokens"] == 4


def test_health_needs_no_key_and_no_known_certificate(base: str) -> None:
    assert health(base) == looks.Api(f"{base}/health", None)


@pytest.mark.parametrize(
    ("arguments", "scheme"),
    [
        (CERTIFIED, "https"),
        ("ssl-certfile: /both.pem", "https"),
        ("ssl-certfile: null", "http"),
        ("ssl-ca-certs: /ca.pem", "http"),
        ("", "http"),
    ],
)
def test_the_scheme_follows_from_key_and_certificate(arguments: str, scheme: str) -> None:
    inventory = parse((GOOD + f"  arguments: {{{arguments}}}\n").encode(), "x")
    assert local_base(inventory.vllm) == f"{scheme}://127.0.0.1:30000"
    assert api_base(inventory.vllm, "a") == f"{scheme}://a:30000"


def test_an_ipv6_host_is_bracketed() -> None:
    inventory = parse((GOOD.replace("host: a", "host: 'fd00::1'")).encode(), "x")
    assert api_base(inventory.vllm, inventory.head.host) == "http://[fd00::1]:30000"


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        ("ssl-keyfile: /k.pem", "ssl-keyfile", "missing-certificate"),
        (f"{CERTIFIED}, ssl-cert-reqs: 2", "ssl-cert-reqs", "client-certificate"),
        (f"{CERTIFIED}, ssl-cert-reqs: '2'", "ssl-cert-reqs", "client-certificate"),
        ("ssl-certfile: c.pem", "ssl-certfile", "bad-path"),
        ("ssl-certfile: ~/c.pem", "ssl-certfile", "bad-path"),
        (f"{CERTIFIED}, ssl-ca-certs: ./c.pem", "ssl-ca-certs", "bad-path"),
        ("ssl-certfile: true", "ssl-certfile", "bad-path"),
    ],
)
def test_tls_that_cannot_work_is_refused(arguments: str, name: str, code: str) -> None:
    (found,) = details(GOOD + f"  arguments: {{{arguments}}}\n")
    assert (found.path, found.code) == (f"vllm.arguments.{name}", code)


def test_tls_that_works_is_accepted() -> None:
    parse((GOOD + f"  arguments: {{{CERTIFIED}, ssl-cert-reqs: 1}}\n").encode(), "x")
