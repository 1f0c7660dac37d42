"""Which node an image is copied from, and which nodes need it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from rich.console import Console

from sparkctl.engines.inventory import parse
from sparkctl.errors import SparkctlError
from sparkctl.operations.imagestream import Arrival, how_far
from sparkctl.output.image import print_listed
from sparkctl.plan.images import Wanted, same, source, views, wanted
from tests.refused import refused
from tests.unit.answers import all_facts, engine, engines
from tests.unit.test_inventory import GOOD

NAME = "vllm/vllm-openai:v1"
THREE = GOOD.replace("vllm:", "  - {name: spark-3, host: c, role: worker}\nvllm:")
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def there(image: str | None = A, *digests: str, **values: Any) -> dict[str, Any]:
    """An engine with this image."""
    made = {"id": image, "digests": [*digests], "architecture": "arm64", "size": 7}
    return engine(image=image and made, **values)


def planned(*nodes: dict[str, Any], name: str = NAME, tool: str = "auto") -> Wanted:
    """What three nodes with these engines need; one without any could not be read."""
    inventory = parse(f"{THREE}runtime: {{image: '{name}', tool: {tool}}}\n".encode(), "x")
    names = [f"spark-{i}" for i in range(1, 1 + len(nodes))]
    groups = [{"containers": engines(**node)} if node else {} for node in nodes]
    (found,) = wanted(inventory, (), all_facts(dict(zip(names, groups, strict=True))), {})
    return found


def needs(image: Wanted, origin: str | None = None) -> list[str]:
    """The nodes that need it."""
    first = source(image, origin)
    used = [h for n in image.nodes if (h := image.used(n))]
    return [h.node for h in used if not same(first, h)]


def test_the_image_of_most_nodes_is_copied_unless_a_node_is_named() -> None:
    found = planned({"docker": there(A)}, {"docker": there(B)}, {"docker": there(B)})
    assert (source(found).node, needs(found)) == ("spark-2", ["spark-1"])
    assert (source(found, "spark-1").node, needs(found, "spark-1")) == (
        "spark-1",
        ["spark-2", "spark-3"],
    )


def test_a_digest_in_common_is_the_same_image() -> None:
    digest = f"vllm/vllm-openai@{A}"
    found = planned(
        {"docker": there(A, digest)}, {"docker": there(B, digest)}, {"docker": there(None)}
    )
    assert (source(found).node, needs(found)) == ("spark-1", ["spark-3"])


def test_another_engine_may_have_it() -> None:
    missing = there(None)
    nodes = [{"docker": missing, "podman": there(A)}, {"docker": missing}, {"docker": missing}]
    found = planned(*nodes)
    assert (source(found).node, source(found).tool.name) == ("spark-1", "podman")
    assert needs(found) == ["spark-1", "spark-2", "spark-3"]


def test_auto_is_the_first_engine_that_all_nodes_can_use() -> None:
    stopped = engine(problem="stopped", reason="it does not answer", image=None)
    both = {"docker": there(), "podman": there()}
    found = planned(both, {"docker": stopped, "podman": there()}, both)
    assert {h.tool.name for h in found.holdings if h.used} == {"podman"}
    assert not found.errors
    found = planned({"docker": there()}, {"docker": stopped}, {}, tool="docker")
    assert {n: e.code for n, e in found.errors.items()} == {
        "spark-2": "engine-unusable",
        "spark-3": "unread",
    }
    assert needs(found) == []


@pytest.mark.parametrize(
    ("code", "name", "nodes", "origin"),
    [
        ("image-missing", NAME, [there(None), there(None)], None),
        ("image-missing", NAME, [there(None), there(A)], "spark-1"),
        ("image-ambiguous", NAME, [there(A), there(B)], None),
        ("image-by-digest", f"vllm/vllm-openai@{A}", [there(A), there(None)], None),
    ],
)
def test_what_cannot_be_copied_is_refused(
    code: str, name: str, nodes: list[dict[str, Any]], origin: str | None
) -> None:
    found = planned(*({"docker": node} for node in nodes), name=name)
    with refused(code):
        source(found, origin)


def test_the_hint_names_the_command_that_gets_it() -> None:
    found = planned({"podman": there(None)}, {"podman": there(None)}, tool="podman")
    with pytest.raises(SparkctlError) as caught:
        source(found)
    assert f"`ssh spark-1 podman pull docker.io/{NAME}`" in (caught.value.hint or "")


def test_a_venv_has_no_image() -> None:
    with refused("no-image"):
        views(parse(GOOD.encode(), "x"), ())


def test_a_long_name_hides_no_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"registry.example/{'team/' * 12}vllm:v1"
    found = planned({"docker": there(A)}, {"docker": there(None)}, {}, name=name)
    screen = partial(Console, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("sparkctl.output.console.console", screen)
    assert not print_listed([found], "table")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        name,
        "    of vllm",
        "NODE     ENGINE  ID            SIZE",
        "spark-1  docker  aaaaaaaaaaaa  0 MB",
        "spark-2  docker  missing       -",
        "spark-3  -       unknown       -",
    ]


def test_wide_has_whole_ids_and_names_are_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned({"docker": there(A)}, {"docker": there(A)}, {"docker": there(A)})
    assert print_listed([found, found], "name")
    assert capsys.readouterr().out == f"{found.name}\n"
    assert print_listed([found], "wide")
    assert capsys.readouterr().out.count(A) == 3


def test_the_progress_of_a_node_has_its_bytes_and_rate() -> None:
    total = 20_000_000_000
    arrival = Arrival()
    assert how_far(arrival, total, 90.0) == ("waiting for the first bytes", None, "")
    arrival.bytes, arrival.began = 5_000_000_000, 90.0
    assert how_far(arrival, total, 90.5) == ("copying", 25, "5.0 of 20.0 GB")
    assert how_far(arrival, total, 100.0) == (
        "copying",
        25,
        "500 MB/s, 5.0 of 20.0 GB, 30 s left",
    )
    arrival.loading = True
    assert how_far(arrival, total, 100.0) == ("loading", None, "")
