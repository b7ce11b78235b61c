"""Planets without a prediction get what is known of all planets: a mean, and a spread wide enough to be honest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modeling_ariel.predictions import Predictions
from modeling_ariel.scoring import REFERENCE_2024
from modeling_ariel.status import FITTED

NOT_REACHED, LEFT_OUT, REFUSED = "not_reached", "left_out", "refused"
ENOUGH = 20  # planets from which their own mean and spread are taken


def usual(found: Predictions | None, channels: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Mean and standard deviation (C,) [depth] of a planet not looked at, and where they are from.

    The spread of predicted planets has their errors in it: an unknown planet is one more draw.
    """
    fitted = [] if found is None else [row for row, state in enumerate(found.extra["status"]) if state in FITTED]
    if found is None or len(fitted) < ENOUGH:
        mean, sigma = (np.full(channels, value, np.float32) for value in REFERENCE_2024)
        return mean, sigma, "mean and spread of the 2024 challenge's spectra"
    mu = found.mu[fitted].astype(np.float64)
    variance = mu.var(0, ddof=1) + (found.sigma[fitted].astype(np.float64) ** 2).mean(0)
    source = f"mean and spread of the {len(fitted)} planets with a fit"
    return mu.mean(0).astype(np.float32), np.sqrt(variance).astype(np.float32), source


def filled(
    found: Predictions | None, planets: Sequence[int], why: Mapping[int, tuple[str, str]], channels: int
) -> Predictions:
    """Predictions of ``planets``, in order; those not found have the usual spectrum.

    why: status and reason of planets without a prediction; of others it is that they were not reached.
    """
    mean, sigma, source = usual(found, channels)
    rows = {} if found is None else {int(planet): row for row, planet in enumerate(found.planet_id)}
    place = [rows.get(planet) for planet in planets]
    mu = np.stack([mean if found is None or row is None else found.mu[row] for row in place])
    sigmas = np.stack([sigma if found is None or row is None else found.sigma[row] for row in place])
    status, notes = [], []
    for planet, row in zip(planets, place, strict=True):
        if found is not None and row is not None:
            status.append(str(found.extra["status"][row]))
            notes.append(str(found.extra["notes"][row]))
        else:
            state, reason = why.get(planet, (NOT_REACHED, "the time was over"))
            status.append(state)
            notes.append(f"{reason}; it has the {source}")
    return Predictions(np.array(planets, np.int64), mu, sigmas, {"status": status, "notes": notes})


def joined(parts: Sequence[Predictions]) -> Predictions | None:
    """Predictions of different planets as one; None for none."""
    if not parts:
        return None
    extra = {name: [text for part in parts for text in part.extra[name]] for name in ("status", "notes")}
    return Predictions(
        np.concatenate([part.planet_id for part in parts]),
        np.concatenate([part.mu for part in parts]),
        np.concatenate([part.sigma for part in parts]),
        extra,
    )
