"""Variables of which some values may not be known; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sparkctl.facts.unread import Missing


class Environment(Mapping[str, str]):
    """Variables by name; asking for one whose value is not known, or for all, raises Missing.

    `known`: those that have a value. `why`: the reason for the others, by name.
    """

    def __init__(self, known: Mapping[str, str], why: Mapping[str, str]) -> None:
        self.known = {name: value for name, value in known.items() if name not in why}
        self.why = why

    def __getitem__(self, name: str) -> str:
        if name in self.why:
            raise Missing(self.why[name])
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.known, *self.why])

    def __len__(self) -> int:
        return len(self.known) + len(self.why)

    @property
    def names(self) -> set[str]:
        """Every variable that is set, also those without a known value."""
        return {*self.known, *self.why}

    def over(self, below: Mapping[str, str]) -> Environment:
        """These, and of those below them what these do not set."""
        return Environment({**below, **self.known}, self.why)
