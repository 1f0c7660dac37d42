"""Environment variables, some with unknown values; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sparkctl.facts.unread import Missing


class Environment(Mapping[str, str]):
    """Variables by name; reading one with an unknown value, or all of them, raises Missing.

    `known`: the variables with a value. `why`: for each other variable, the reason.
    """

    def __init__(self, known: Mapping[str, str], why: Mapping[str, str]) -> None:
        self.known = {name: value for name, value in known.items() if name not in why}
        self.why = why

    def __getitem__(self, name: str) -> str:
        if name in self.why:
            raise Missing(self.why[name], what=name)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.known, *self.why])

    def __len__(self) -> int:
        return len(self.known) + len(self.why)

    @property
    def names(self) -> set[str]:
        """Every variable that is set, also those with an unknown value."""
        return {*self.known, *self.why}

    def over(self, below: Mapping[str, str]) -> Environment:
        """These variables, and those of `below` that they do not set."""
        return Environment({**below, **self.known}, self.why)
