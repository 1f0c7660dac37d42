"""The images that nodes have, and what was copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.imagestream import gigabytes
from sparkctl.output.failure import show_log
from sparkctl.output.spans import duration
from sparkctl.output.stdio import print_err, print_json, print_names, print_wrapped
from sparkctl.plan.images import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.errors import SparkctlError
    from sparkctl.operations.imagesync import Synced
    from sparkctl.output.stdio import Fields, Form
    from sparkctl.plan.images import Holding, Wanted


def print_synced(found: Sequence[Synced], *, as_json: bool) -> bool:
    """Print what was copied, and on stderr what failed; gives whether nothing did."""
    if as_json:
        images = [_synced(one) for one in found]
        print_json({"changed": any(one.copied for one in found), "images": images})
    else:
        for one in found:
            _print_synced(one)
    return _print_errors(error for one in found for error in one.failed.values())


def _print_synced(one: Synced) -> None:
    for node, copied in one.copied.items():
        size, took = gigabytes(copied.bytes), duration(copied.seconds)
        where = one.source.node if one.source else "-"
        print_wrapped(f"{node}: copied {one.image.name} from {where} ({size} in {took})")
    if one.source and not one.copied and not one.failed:
        nodes = ", ".join(one.same)
        verb = "has" if len(one.same) == 1 else "have"
        print_wrapped(f"nothing to do: {nodes} {verb} {one.image.name} ({short(one.source)})")


def _synced(one: Synced) -> Fields:
    source = one.source
    return {
        "image": one.image.name,
        "services": list(one.image.services),
        "source": source.node if source else None,
        "id": source.image.id if source and source.image else None,
        "same": list(one.same),
        "copied": {n: {"bytes": c.bytes, "seconds": c.seconds} for n, c in one.copied.items()},
        "failed": {n: e.message for n, e in one.failed.items()},
        "codes": {n: e.code for n, e in one.failed.items()},
    }


def print_listed(found: Sequence[Wanted], form: Form) -> bool:
    """Print each image above its nodes and what they have, and on stderr where that is not known;
    gives whether it is known of all. The names are the images'.
    """
    if form == "json":
        print_json({"images": [_listed(image) for image in found]})
    elif form == "name":
        print_names(image.name for image in found)
    else:
        _print_table(found, wide=form == "wide")
    return _print_errors(error for image in found for error in image.errors.values())


def _print_table(found: Sequence[Wanted], *, wide: bool) -> None:
    from sparkctl.output.console import console, print_prose
    from sparkctl.output.table import Column, print_table

    titles = ("NODE", "ENGINE", "ID", "SIZE", "FULL ID")
    ranks = (3, 1, 2, 0, 0)
    screen = console()
    for image in found:
        print_prose(screen, f"{image.name} of {', '.join(image.services)}", 4)
        rows = [_row(n, image.used(n)) for n in image.nodes]
        columns = [
            Column(title, [row[i] for row in rows], rank, hidden=title == "FULL ID")
            for i, (title, rank) in enumerate(zip(titles, ranks, strict=True))
        ]
        print_table(screen, columns, wide=wide)


def _row(node: str, holding: Holding | None) -> tuple[str, str, str, str, str]:
    if holding is None:
        return node, "-", "unknown", "-", "-"
    if holding.image is None:
        return node, holding.tool.name, "missing", "-", "-"
    size = gigabytes(holding.image.size)
    return node, holding.tool.name, short(holding), size, holding.image.id


def _listed(image: Wanted) -> Fields:
    used = {n: h for n in image.nodes if (h := image.used(n))}
    return {
        "image": image.name,
        "services": list(image.services),
        "nodes": {
            n: {
                "engine": h.tool.name,
                "id": h.image.id if h.image else None,
                "bytes": h.image.size if h.image else None,
            }
            for n, h in used.items()
        },
        "failed": {n: e.message for n, e in image.errors.items()},
        "codes": {n: e.code for n, e in image.errors.items()},
    }


def _print_errors(errors: Iterable[SparkctlError]) -> bool:
    """Print each error once, with its hint; gives whether there was none."""
    each = list({id(error): error for error in errors}.values())
    for error in each:
        print_err(f"error: {error}")
        if error.hint:
            print_err(f"hint: {error.hint}")
    if each:
        show_log()
    return not each
