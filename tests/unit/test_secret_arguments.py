"""vLLM's secret arguments go by environment; a secret in its command line is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.choice import Choice
from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.recipe import BACKEND
from sparkctl.engines.vllm.rules import warnings
from sparkctl.errors import InventoryError
from sparkctl.inventory.layers import parse_layer
from sparkctl.operations.up import UpReport, endpoints
from sparkctl.output.up import print_report
from sparkctl.plan.record import make
from sparkctl.secret.value import Secret, revealed
from tests.unit import clusterpair
from tests.unit.clusterpair import SERVE, applied, entry
from tests.unit.test_inventory import GOOD, details, problems

if TYPE_CHECKING:
    from sparkctl.inventory.layers import Layer
    from sparkctl.plan.desired import Desired

PW = "Pw-Of-Theirs"
NO_RECIPE = Choice(None, "none", base={BACKEND: "ray"})


def desired(extra: str, *layers: Layer) -> Desired:
    return clusterpair.desired(parse((GOOD + extra).encode(), "x"), layers=layers)


def head(made: Desired) -> dict[str, str]:
    """The head's environment, as it may be shown."""
    return made.values("spark-1")


def serve(made: Desired) -> tuple[str, ...]:
    """The command line of `vllm serve`."""
    return made.argv("spark-1", "vllm")


def test_the_api_key_is_in_the_heads_environment_and_in_no_argv() -> None:
    made = desired(f"  arguments: {{api-key: {PW}, hf-token: {PW}2}}\n")
    assert "--api-key" not in serve(made)
    assert "--hf-token" not in serve(made)
    assert revealed(head(made))["VLLM_API_KEY"] == PW
    assert "VLLM_API_KEY" not in made.values("spark-2")  # only the head has a server
    assert all(revealed(made.values(n))["HF_TOKEN"] == f"{PW}2" for n in made.parts)
    assert PW in json.dumps(revealed(head(made)))
    assert PW not in json.dumps(head(made))
    assert PW not in repr(made)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("12345", "12345"),
        ("[12345]", "12345"),
        ("'1e5'", "1e5"),
        ("[one]", "one"),
        ("'${NODE}'", "${NODE}"),
        ("'${X}'", "${X}"),
    ],
)
def test_a_key_is_its_text(written: str, key: str) -> None:
    made = desired(f"  arguments: {{api-key: {written}}}\n")
    assert revealed(head(made))["VLLM_API_KEY"] == key


def test_an_argument_wins_over_its_variable_as_in_vllm() -> None:
    layer = parse_layer("x.env", "VLLM_API_KEY=of-layer\nHF_TOKEN=of-layer")
    made = desired(
        f"  arguments: {{api-key: {PW}}}\nenv: {{set: {{VLLM_API_KEY: of-set}}}}\n", layer
    )
    assert made.head.environment["VLLM_API_KEY"].layer == "vllm.arguments"
    assert revealed(head(made))["VLLM_API_KEY"] == PW
    assert revealed(head(made))["HF_TOKEN"] == "of-layer"


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        (f"  arguments: {{api-key: {PW}}}\n", "vllm.arguments.api-key of my.yaml"),
        (f"env: {{set: {{VLLM_API_KEY: {PW}}}}}\n", "env.set of my.yaml"),
        ("", "the env layer x.env"),
    ],
)
def test_up_says_where_the_key_of_the_curl_command_is(
    extra: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = desired(extra, parse_layer("x.env", f"VLLM_API_KEY={PW}"))
    done = UpReport("lab", endpoints([made]), ("start vLLM",), {})
    print_report(done, Path("my.yaml"), as_json=False)
    shown = capsys.readouterr().out
    assert f"$VLLM_API_KEY is the key in {place}; export it in your shell first.\n" in shown
    assert '"Authorization: Bearer $VLLM_API_KEY"' in shown
    assert PW not in shown
    print_report(replace(done, services=endpoints([desired("")])), Path("x"), as_json=False)
    assert "KEY" not in capsys.readouterr().out


def test_without_the_argument_the_variable_stays_and_a_bare_flag_is_a_flag() -> None:
    layer = parse_layer("x.env", "VLLM_API_KEY=of-layer")
    made = desired("  arguments: {api-key: null, hf-token: true}\n", layer)
    assert revealed(head(made))["VLLM_API_KEY"] == "of-layer"
    assert serve(made)[-1] == "--hf-token"
    assert "HF_TOKEN" not in head(made)


def test_another_secret_is_another_start_and_the_record_holds_none() -> None:
    header = "  arguments: {{api-key: {0}1, otlp-traces-endpoint: 'http://bob:{0}2@h'}}\n"
    one, two = (desired(header.format(k)) for k in (PW, "other"))
    record = make("r", serve(one), head(one))
    assert record.changes(record.again(serve(one), head(one))) == []
    changed = record.changes(record.again(serve(two), head(two)))
    assert changed == ["--otlp-traces-endpoint changed", "VLLM_API_KEY changed"]
    assert PW not in applied({SERVE: entry(one, SERVE)})
    salted = [make("r", serve(made), head(made), salt="s").digest for made in (one, two)]
    assert salted[0] != salted[1]


def test_a_reference_in_a_secret_is_resolved() -> None:
    made = desired("env: {set: {HTTP_PROXY: 'http://bob:PW@${NODE}', MY_TOKEN: 'a-${HCAS}'}}\n")
    assert revealed(head(made))["HTTP_PROXY"] == "http://bob:PW@spark-1"
    assert head(made)["HTTP_PROXY"].encode() == b"http://****@spark-1"
    assert revealed(head(made))["MY_TOKEN"] == "a-rocep1s0f0,roceP2p1s0f0"


LOADER = "model-loader-extra-config"


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        (f"api-key: [{PW}, b]", "api-key", "several-values"),
        ("api-key: 1.5", "api-key", "wrong-type"),
        ("api-key: true", "api-key", "wrong-type"),
        (f"hf-token: {{a: {PW}}}", "hf-token", "wrong-type"),
        (f'api-key: "{PW}\\n"', "api-key", "unsendable-key"),
        (f'api-key: "{PW}é"', "api-key", "unsendable-key"),
        (f"api-ke: {PW}", "api-ke", "short-flag"),
        (f"hf-tok: {PW}", "hf-tok", "short-flag"),
        (f"ssl-keyfile-password: {PW}", "ssl-keyfile-password", "unknown-flag"),
        (f"{LOADER}: {{s3_access_key_id: {PW}}}", LOADER, "readable-secret"),
        (f'{LOADER}: \'{{"a": {{"s3_secret_access_key": "{PW}"}}}}\'', LOADER, "readable-secret"),
    ],
)
def test_an_argument_that_would_show_a_secret_is_refused(
    arguments: str, name: str, code: str
) -> None:
    (found,) = details(GOOD + f"  arguments: {{{arguments}}}\n")
    assert (found.path, found.code) == (f"vllm.arguments.{name}", code)
    assert PW not in str(found)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (f"api-ke: {PW}", "api-key"),
        (f"hf-tok: {PW}", "hf-token"),
        (f"{LOADER}: {{s3_access_key_id: {PW}}}", "S3_ACCESS_KEY_ID"),
        (f"{LOADER}: {{s3_secret_access_key: {PW}}}", "S3_SECRET_ACCESS_KEY"),
    ],
)
def test_the_message_names_what_to_write_instead(argument: str, named: str) -> None:
    (found,) = problems(GOOD + f"  arguments: {{{argument}}}\n")
    assert named in re.findall(r"[\w-]+", found)  # the text is the subject: it is the remedy


@pytest.mark.parametrize("name", ["api-server-count", "allow-credentials", "hf-overrides"])
def test_flags_with_the_same_beginning_are_no_short_forms(name: str) -> None:
    assert f"--{name}" in serve(desired(f"  arguments: {{{name}: true}}\n"))


def test_a_key_that_no_client_can_send_is_refused_in_the_environment_too() -> None:
    (found,) = details(GOOD + f'env: {{set: {{VLLM_API_KEY: "{PW}\\n"}}}}\n')
    assert (found.path, found.code) == ("env.set.VLLM_API_KEY", "unsendable-key")
    assert PW not in str(found)


@pytest.mark.parametrize(
    "arguments",
    [
        f"otlp-traces-endpoint: 'http://bob:{PW}@h'",
        f"hf-overrides: {{auth_token: {PW}}}",
        f"new-flag-password: {PW}",
        f"new-flag-key: 0{PW}",
        f"middleware: [a, 'https://x:{PW}@h']",
    ],
)
def test_a_secret_without_a_variable_is_doubtful(arguments: str) -> None:
    inventory = parse((GOOD + f"  arguments: {{{arguments}}}\n").encode(), "x")
    (doubt,) = warnings(inventory, {}, NO_RECIPE)
    setting = f"vllm.arguments.{arguments.partition(':')[0]}"
    assert (doubt.code, doubt.data) == ("readable-secret", {"setting": setting})
    assert PW not in doubt.text
    argv = serve(desired(f"  arguments: {{{arguments}}}\n"))
    assert any(isinstance(part, Secret) and PW in part.reveal() for part in argv)


def test_arguments_without_a_secret_are_not_doubtful() -> None:
    given = (
        "  arguments: {max-num-batched-tokens: 8, api-key: a, hf-overrides: {eos_token_id: 2}}\n"
    )
    assert warnings(parse((GOOD + given).encode(), "x"), {}, NO_RECIPE) == []


@pytest.mark.parametrize(
    "planted",
    [
        f"env: {{set: {{MY_KEY: 0123{'4' * 9}}}}}\n",
        f"env: {{set: {{MY_KEY: {'4' * 12}}}}}\n",
        f"env: {{set: {{MY_KEY: *{PW}}}}}\n",
        f"env: {{set: {{MY_KEY: !{PW}}}}}\n",
        f"env: {{set: {{MY_KEY: !{PW}!x y}}}}\n",
        f'env: {{set: {{MY_KEY: "{PW}\\0"}}}}\n',
        f"env: {{set: {{MY_KEY: '${{{PW}}}'}}}}\n",
        f"env: {{set: ['http://bob:{PW}@h']}}\n",
        f"env: 'http://bob:{PW}@h{'x' * 99}'\n",
        f"env: 'http://bob:{PW + 'x' * 99}@h'\n",
        f"api_key: {PW}\n",
        f"ray: {{port: 'sk-{PW}1'}}\n",
        f"  arguments: {{api-key: [{{a: {PW}}}]}}\n",
        f"  arguments: {{api-key: 0123{'4' * 9}}}\n",
    ],
)
def test_messages_of_an_inventory_show_no_secret(planted: str) -> None:
    found = problems(GOOD + planted)
    assert found
    assert not any(PW in line or "444" in line for line in found), found


@pytest.mark.parametrize(
    "line", [f"MY_TOKEN=${{{PW}}}", f"MY_TOKEN='{PW}", f"{PW}+/more", f"MY_TOKEN={PW} # x"]
)
def test_messages_of_a_layer_show_no_secret(line: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse_layer("x.env", line)
    assert PW not in str(caught.value)


def test_a_secret_number_is_text_in_argv() -> None:
    argv = serve(desired("  arguments: {new-flag-key: 1234}\n"))
    assert revealed(argv)[-2:] == ("--new-flag-key", "1234")
    assert str(argv[-1]) == "****"
