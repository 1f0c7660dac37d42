"""What `model` names: a directory on the node, or a model on the Hugging Face hub."""

from __future__ import annotations


def is_path(model: str) -> bool:
    """Whether it is a directory: absolute, or under ~/. Anything else is a name on the hub or
    another name that vLLM can load; `validate` refuses relative paths and ~user.
    """
    return model.startswith(("/", "~/"))


def expanded(model: str, home: str) -> str:
    """The model with ~/ replaced by `home`: vLLM and exec(3) do not expand it."""
    return home.rstrip("/") + model[1:] if model.startswith("~/") else model
