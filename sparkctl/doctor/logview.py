"""NCCL's lines in vLLM's log, fetched from the head and read by the log reader."""

from __future__ import annotations

from typing import Any

from sparkctl.cluster.session import Session
from sparkctl.inventory.models import Node


def read(session: Session, node: Node) -> dict[str, Any]:
    raise NotImplementedError
