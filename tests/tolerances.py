"""One place for numerical tolerances, by dtype."""

from __future__ import annotations

import numpy as np

# relative: a few hundred roundings, as chains of calibration steps and sums of frames make them
RELATIVE = {"float32": 3e-5, "float64": 1e-10}


def rtol(dtype: object) -> float:
    """Relative tolerance for results computed in `dtype`."""
    return RELATIVE[np.dtype(dtype).name]  # type: ignore[call-overload]


def assert_close(actual: object, expected: object, *, scale: float | None = None) -> None:
    """Equal within `rtol` of the coarser dtype, relative also to `scale` (default: the largest |expected|)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    coarser = max((actual.dtype, expected.dtype), key=lambda dtype: RELATIVE.get(dtype.name, 0.0))
    size = float(np.nanmax(np.abs(expected))) if scale is None else scale
    np.testing.assert_allclose(actual, expected, rtol=rtol(coarser), atol=rtol(coarser) * size)
