"""Logistic regression by Newton's method, of which every calibration and stacking here is one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def logistic(design: Array, target: NDArray[Any], ridge: Array, centre: Array | None = None) -> Array:
    """(column,) coefficients of greatest likelihood, held by a ridge to a centre, by default 0.

    Args:
        design: (object, column).
        target: (object,) 0 to 1.
        ridge, centre: (column,); the loss grows by ridge / 2 times the square of the distance from the centre.
    """
    centre = np.zeros(design.shape[1]) if centre is None else centre

    def loss(at: Array) -> float:
        odds = design @ at
        return float(np.logaddexp(0, odds).sum() - target @ odds + 0.5 * ridge @ (at - centre) ** 2)

    at = centre
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ at, -700, 700)))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, design.T @ (target - p) - ridge * (at - centre))
        while loss(at + step) > loss(at) and np.abs(step).max() > 1e-9:
            step = step / 2
        at = at + step
        if np.abs(step).max() < 1e-8:
            break
    return at
