"""What a fit's page says of the spectrum: flat, or by how much not, whatever its channels share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ariel_scripts.telescope_fit.summary import Flatness, flatness, verdict
from modeling_ariel.any_telescope.together import Spectrum, TelescopeFit
from modeling_ariel.status import NO_TRANSIT, OK

SIGMA, SHARED, CHANNELS = 1e-4, 3e-3, 12


def fit_of(depth: np.ndarray, status: str = OK) -> TelescopeFit:
    """A fit whose channels have errors of their own and a far larger one in common."""
    size = len(depth)
    covariance = SIGMA**2 * np.eye(size) + SHARED**2
    wavelength = np.linspace(1, 2, size)
    spectrum = Spectrum(("it",) * size, wavelength, np.full(size, 0.05), depth, covariance, (1,) * size)
    return TelescopeFit((), spectrum, np.zeros(2), np.eye(2), (), status, "")


def test_an_error_in_common_takes_no_part_in_flatness() -> None:
    depth = 0.01 + SIGMA * np.random.default_rng(0).standard_normal(CHANNELS)
    [found] = flatness(fit_of(depth))
    assert found.freedom == CHANNELS - 1
    assert found.chi2 == pytest.approx(((depth - depth.mean()) ** 2).sum() / SIGMA**2, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 6.0])
def test_of_one_degree_of_freedom_sigma_is_a_gaussians(sigma: float) -> None:
    found = Flatness("", sigma**2, 1).sigma
    assert norm.sf(found) == pytest.approx(2 * norm.sf(sigma), rel=1e-6)


@pytest.mark.parametrize(
    ("height", "said"), [(0.0, "is flat within its errors"), (1e-3, "changes along wavelength,")], ids=["flat", "line"]
)
def test_a_line_is_told_from_a_flat_spectrum(height: float, said: str) -> None:
    depth = 0.01 + SIGMA * np.random.default_rng(1).standard_normal(CHANNELS)
    depth[4:6] += height
    assert f"The spectrum of it {said}" in verdict(fit_of(depth))


def test_two_channels_or_no_fit_have_no_shape_to_tell() -> None:
    assert flatness(fit_of(np.array([0.01, 0.02]))) == []
    assert "flat" not in verdict(fit_of(np.full(CHANNELS, 0.01), NO_TRANSIT))
