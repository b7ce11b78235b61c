"""Transits in what Spectre rebuilds, and that rules on their shape reach its networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import small_model
from spectrum_scenes import CHANNELS, features, prepared

from modeling_ariel.denoising_network import bin_channels, bin_times
from modeling_ariel.objective import OF_TRANSIT
from modeling_ariel.penalties import fgs1_shape, in_units, transit_asymmetry
from modeling_ariel.rebuilt_transit import PHASES, rebuilt_transit
from modeling_ariel.visit_batch import DEPTH, VisitBatch

TIMES, WAVES = 240, 9
NOISE = 1e-3


def visits(lost: torch.Tensor, drift: float = 0.0, residual: torch.Tensor | None = None) -> VisitBatch:
    """Noiseless visits that lose light (B, T, C) and drift."""
    count = len(lost)
    at = torch.linspace(-1.0, 1.0, TIMES)
    curve = -lost + drift * (at + 0.5 * at.square())[:, None]
    curve = (curve - curve.median(1, keepdim=True).values) / NOISE
    valid = torch.ones_like(curve, dtype=torch.bool)
    time, noise = (7.0 * at).expand(count, -1), torch.full((count, WAVES), NOISE)
    nothing = torch.zeros(count, TIMES, 4), torch.zeros(count, 16)
    return VisitBatch(curve, valid, time, *nothing, noise, residual, None, count)


def dip(middle: float, skewed: float = 0.0, reddest: float = 6e-3) -> torch.Tensor:
    """Light lost (1, T, C): a trapezoid whose floor is inclined, alike in all channels but for its depth from 4e-3."""
    at = torch.linspace(-1.0, 1.0, TIMES) - middle
    shape = ((0.32 - at.abs()) / 0.08).clamp(0.0, 1.0) * (1.0 + skewed * at)
    return (shape[:, None] * torch.linspace(4e-3, reddest, WAVES))[None]


def rebuilt(seen: VisitBatch, light: torch.Tensor | None = None) -> torch.Tensor:
    """The transit where a network gives back what it reads, in bins of 4 by 2."""
    image = seen.light if light is None else light
    clean, _ = bin_channels(*bin_times(image, torch.ones_like(image), 4), 2)
    found = rebuilt_transit(seen, clean, 4, 2)
    assert found is not None
    return found


@pytest.mark.parametrize("middle", [0.0, -0.23])
@pytest.mark.parametrize("drift", [0.0, 5e-3])
def test_a_symmetric_transit_is_found_wherever_it_lies_and_whatever_drifts(middle: float, drift: float) -> None:
    found = rebuilt(visits(dip(middle), drift))
    assert found.shape == (1, PHASES, WAVES)
    inside = found[0, PHASES // 2 - 5 : PHASES // 2 + 5]
    np.testing.assert_allclose(inside[:, 0].numpy(), 4e-3, rtol=0.05)
    assert float(transit_asymmetry(found)) < 3e-3  # the middle is known to a few bins
    assert float(fgs1_shape(in_units(found), torch.ones(WAVES - 1))) < 0.1
    assert float(transit_asymmetry(rebuilt(visits(dip(middle, 2.0), drift)))) > 0.02


@pytest.mark.parametrize("gap", [slice(100, 116), slice(140, 152)])
def test_a_gap_is_bridged(gap: slice) -> None:
    seen = visits(dip(0.05))
    whole = rebuilt(seen)
    seen.valid = seen.valid.clone()
    seen.valid[:, gap] = False
    torch.testing.assert_close(rebuilt(seen), whole, atol=4e-4, rtol=0)  # a tenth of the depth


def test_a_visit_of_one_bin_shows_no_transit() -> None:
    seen = visits(dip(0.0))
    for name in ("light_curve", "valid", "time", "centroid"):
        setattr(seen, name, getattr(seen, name)[:, :3])
    assert torch.isfinite(rebuilt(seen)).all()


def test_of_residuals_the_fits_own_curve_is_added() -> None:
    lost = dip(0.1, 1.0, reddest=4e-3)  # bins of channels lose nothing
    whole = visits(lost)
    residual = 0.3 * whole.light_curve + 0.5
    fitted = visits(lost, residual=residual)
    torch.testing.assert_close(rebuilt(fitted), rebuilt(whole), atol=2e-6, rtol=1e-3)
    quiet = rebuilt(fitted, torch.zeros_like(residual))
    torch.testing.assert_close(quiet, 0.7 * rebuilt(whole), atol=2e-6, rtol=1e-3)


def test_visits_of_a_planet_are_folded_together_and_unknown_noise_tells_nothing() -> None:
    seen = visits(torch.cat([dip(0.0), dip(-0.3)]))
    apart = rebuilt(seen)
    seen.planet, seen.rows = torch.tensor([0, 0]), 2  # two draws of one planet
    both = rebuilt(seen)
    torch.testing.assert_close(both, apart.mean(0, keepdim=True).expand(2, -1, -1))
    seen.noise = None
    assert rebuilt_transit(seen, torch.zeros(2, TIMES // 4, 5), 4, 2) is None
    assert DEPTH == 1e-3


@pytest.mark.parametrize("physics", ["residual", "none"])
@pytest.mark.parametrize("rule", OF_TRANSIT)
def test_each_rule_on_transits_moves_the_network_that_rebuilds_them(rule: str, physics: str) -> None:
    given = features() | prepared() if physics == "none" else prepared()
    batch: dict[str, Any] = given | {"noise": torch.full((len(given["time"]), CHANNELS), 1e-3)}
    slopes = []
    for weight in (0.0, 1.0):
        model = small_model("spectre", 0.1, physics=physics, penalties={"rules": {rule: {"weight": weight}}})
        model(**batch).loss.backward()
        denoising = model.encoder.denoising
        slopes.append(torch.cat([p.grad.flatten() for p in (denoising.head.weight, denoising.stem.weight)]))
    assert bool(torch.isfinite(slopes[1]).all())
    assert float((slopes[1] - slopes[0]).abs().max()) > 1e-4 * float(slopes[0].abs().max() + 1e-6)


def test_a_rule_alone_makes_the_rebuilt_transit_symmetric() -> None:
    lost = dip(0.05, 1.5)
    seen = visits(lost)
    image, weight = bin_channels(*bin_times(seen.light, torch.ones_like(seen.light), 4), 2)
    torch.manual_seed(0)
    correction = torch.nn.Parameter(torch.zeros_like(image))
    optimizer = torch.optim.Adam([correction], lr=0.05)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        transit = rebuilt_transit(seen, image + correction, 4, 2)
        assert transit is not None
        cost = transit_asymmetry(in_units(transit)).sum()
        cost.backward()
        optimizer.step()
        found.append(float(cost.detach()))
    assert weight.min() > 0.0
    assert found[-1] < 0.05 * found[0]
