"""How the fit of a visit, or of a planet's visits together, ended."""

from collections import Counter
from collections.abc import Iterable, Sequence

OK = "ok"  # the error bars can be believed
DOUBTFUL = "doubtful"  # there is an answer, but the curve is not as the fit assumes
PARTIAL = "partial"  # a contact lies outside the window
NO_TRANSIT = "no_transit"
FAILED = "failed"

FITTED = (OK, PARTIAL, DOUBTFUL)  # those with depths of their own, the best first; the others have the prior's answer
TRUSTED = (OK, PARTIAL)  # those that training and calibration learn from


def best_status(found: Sequence[str]) -> str:
    """Status of a planet by those of its visits' fits: the best one, as the others count little or not at all."""
    return min(found, key=doubt)


def doubt(status: str) -> int:
    """How little it lets an answer be believed: 0 for "ok"."""
    return FITTED.index(status) if status in FITTED else len(FITTED)


def counted(found: Sequence[str]) -> list[int]:
    """Places of the visits that a planet's answer is made of, by the statuses of all of its visits' fits.

    A doubtful visit counts only where none is trusted: it would shift a good answer. A visit without a transit counts,
    but its error is wider than any depth.
    """
    doubts = DOUBTFUL if any(status in TRUSTED for status in found) else None
    return [place for place, status in enumerate(found) if status != doubts]


def planet_note(found: Sequence[str], notes: Sequence[str]) -> str:
    """What is noted on a planet's visits, given their statuses and notes, as one text; empty where nothing is."""
    if len(found) == 1:
        return notes[0]
    kept, said = counted(found), []
    for place, note in enumerate(notes):
        visit = f"visit {place + 1} of {len(found)}"
        if place not in kept:
            visit += " is left out as doubtful"
        if note or place not in kept:
            said.append(": ".join(filter(None, (visit, note))))
    return "; ".join(said)


def count_statuses(found: Iterable[str]) -> dict[str, int]:
    """How many have each status."""
    return dict(sorted(Counter(found).items()))


def counts_text(counts: dict[str, int]) -> str:
    """Counts of statuses in words: "5 ok, 1 partial"."""
    return ", ".join(f"{number} {status}" for status, number in counts.items())
