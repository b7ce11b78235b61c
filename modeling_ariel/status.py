"""How the fit of a visit, or of a planet's visits together, ended."""

from collections.abc import Sequence

OK = "ok"  # the error bars can be believed
DOUBTFUL = "doubtful"  # there is an answer, but the curve is not as the fit assumes
PARTIAL = "partial"  # a contact lies outside the window
NO_TRANSIT = "no_transit"
FAILED = "failed"

FITTED = (OK, DOUBTFUL, PARTIAL)  # those with depths of their own; the others have the prior's answer
TRUSTED = (OK, PARTIAL)  # those that training, priors and calibration learn from
_BEST_FIRST = (OK, PARTIAL, DOUBTFUL)


def best_status(found: Sequence[str]) -> str:
    """Status of a planet by those of its visits' fits: the best one, as the others count little or not at all."""
    return min(found, key=lambda status: _BEST_FIRST.index(status) if status in _BEST_FIRST else len(_BEST_FIRST))
