"""How messages about submissions list what they found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SHOWN = 5  # lines or planets in a message


def repeated(values: Sequence[object]) -> list[object]:
    """Those that are there more than once, in order."""
    seen: set[object] = set()
    twice: dict[object, None] = {}
    for value in values:
        if value in seen:
            twice[value] = None
        seen.add(value)
    return list(twice)


def few(values: Iterable[object]) -> str:
    """The first of them, and how many more."""
    every = [str(value) for value in values]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def lines_text(numbers: Iterable[int]) -> str:
    """`in lines 3, 4`."""
    every = list(numbers)
    return f"in line{'s' * (len(every) > 1)} {few(every)}"
