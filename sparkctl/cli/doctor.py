"""sparkctl doctor."""

from __future__ import annotations

import click

from sparkctl.cli.options import json_option
from sparkctl.errors import UsageError


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="Read NCCL's output in this log (- is stdin); may be given for every rank.",
)
@json_option
def doctor(logs: tuple[str, ...], as_json: bool) -> None:
    """Find why the fabric is slow or the start fails: cause, evidence, cure.

    With --log neither a cluster nor an inventory is needed: the transport of every rank, why it
    is that one, and what mends it, from NCCL 2.8 or newer under NCCL_DEBUG=INFO. Exit 3 when a
    failure is found.
    """
    if not logs:
        raise UsageError(
            "wanted --log FILE, found none",
            hint="`sparkctl doctor --log vllm.log`, with NCCL_DEBUG=INFO on the nodes",
        )
    if _diagnose_logs(logs, as_json):
        raise click.exceptions.Exit(3)


def _diagnose_logs(logs: tuple[str, ...], as_json: bool) -> bool:
    """Print the verdict on these logs; whether it holds a failure."""
    from sparkctl.cli.context import emit_json
    from sparkctl.doctor.logs import read_logs

    verdict = read_logs(logs)
    if as_json:
        emit_json(verdict.document())
    else:
        from sparkctl.report.nccllog import print_verdict

        print_verdict(verdict)
    return verdict.failed
