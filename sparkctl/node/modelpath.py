"""What vllm.model names: a directory of the node, or a model on the Hugging Face hub."""

from __future__ import annotations


def is_path(model: str) -> bool:
    """Whether it is a directory: absolute, or under ~/. Anything else is a name on the hub, or
    what else vLLM loads by name; `validate` refuses relative paths and ~user.
    """
    return model.startswith(("/", "~/"))


def expanded(model: str, home: str) -> str:
    """The same with ~/ as a directory of `home`: vLLM and exec(3) expand no tilde."""
    return home.rstrip("/") + model[1:] if model.startswith("~/") else model
