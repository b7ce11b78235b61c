"""Injection and recovery: what exoplanet-core puts in, the fit gets out, with errors that mean what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from astropy import units as u
from linear_systems import columns_of
from transit_scenes import Scene

from modeling_ariel.columns import STAR_COLUMNS, STAR_IN_FIT
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.least_squares import Bound, LinearSystem, SeriesColumns, solve
from modeling_ariel.retrieval import UNKNOWN_SIGMA, fit
from modeling_ariel.visit_data import RetrievalError


def z_values(scene: Scene, n: int, table: bool = True, **settings: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors whitened by their covariance (n, C), and z of the mean AIRS depth (n,) and of FGS1 (n,)."""
    with torch.no_grad():
        result = fit(scene.batch(n, table), scene.wavelength, FitSettings(**settings))  # type: ignore[arg-type]
    assert set(result.status) == {"ok"}, result.notes
    error = result.depth.numpy() - scene.depth
    covariance = result.covariance.numpy()
    white = np.linalg.solve(np.linalg.cholesky(covariance), error[..., None])[..., 0]
    mean_sigma = np.sqrt(covariance[:, 1:, 1:].mean((1, 2)))
    return white, error[:, 1:].mean(1) / mean_sigma, error[:, 0] / result.depth_err[:, 0].numpy()


@pytest.mark.parametrize("table", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "scene",
    [
        Scene(),
        Scene(depth=np.full(41, 8e-4), noise=5e-5, seed=1),
        Scene(depth=np.full(41, 2.5e-3), noise=1.5e-4, a=6.0, b=0.5, seed=2),
        Scene(t0=4.6, a=16.0, noise=6e-4, seed=3),
        Scene(jitter=1.5e-4, seed=4),
    ],
    ids=["deep", "shallow", "long", "short, late, noisy", "jitter"],
)
def test_depths_are_recovered_within_their_errors_across_depth_duration_and_noise(scene: Scene, table: bool) -> None:
    n = 12
    white, mean, fgs1 = z_values(scene, n, table)
    assert abs(white.std() - 1) < 0.1
    assert abs(mean.mean()) < 3.5 / np.sqrt(n)
    assert mean.std() < 1.6
    assert np.sqrt((fgs1**2).mean()) < 1.9


def test_noiseless_curves_are_recovered_to_a_few_ppm_without_a_star_table() -> None:
    scene = Scene()
    batch = scene.batch(1, table=False)
    batch["flux"] = torch.as_tensor(scene.clean())[None]
    result = fit(batch, scene.wavelength)
    assert float(np.abs(result.depth[0].numpy() - scene.depth).max()) < 1.2e-5
    assert float(result.shape[0, 0]) == pytest.approx(scene.t0, abs=1e-3)
    assert float(result.shape[0, 1]) == pytest.approx(scene.b**2, abs=0.02)


def test_jitter_that_channels_share_widens_the_error_of_the_mean_depth_only_where_it_is_there() -> None:
    def mean_error(scene: Scene) -> float:
        result = fit(scene.batch(2), scene.wavelength)
        return float(result.covariance[:, 1:, 1:].mean((1, 2)).sqrt().mean())

    quiet, loud = mean_error(Scene(seed=5)), mean_error(Scene(seed=5, jitter=3e-4))
    assert loud > 2 * quiet


def test_hits_and_invalid_bins_do_not_move_the_depths() -> None:
    scene = Scene(seed=6)
    batch = scene.batch(1)
    plain = fit(batch, scene.wavelength)
    rng = np.random.default_rng(0)
    hit = torch.as_tensor(rng.random(batch["flux"].shape) < 0.01)
    dirty = dict(batch, flux=torch.where(hit, batch["flux"] * 1.02, batch["flux"]))
    with_hits = fit(dirty, scene.wavelength)
    masked = dict(batch, flux=torch.where(hit, torch.nan, batch["flux"]), valid=~hit)
    without = fit(masked, scene.wavelength)
    for other in (with_hits, without):
        moved = (other.depth - plain.depth).abs() / plain.depth_err
        assert float(moved.max()) < 1.0


def test_errors_that_understate_the_noise_of_a_channel_are_noticed() -> None:
    scene = Scene(seed=7)
    batch = scene.batch(1)
    batch["flux_err"][:, :, 5] /= 3
    result = fit(batch, scene.wavelength)
    assert float(result.noise_scale[0, 5]) == pytest.approx(3.0, rel=0.25)
    assert int((result.noise_scale != 1).sum()) == 1


def test_a_curve_without_a_transit_is_flagged_and_has_a_huge_error() -> None:
    scene = Scene(seed=8, depth=np.full(41, 1e-12), drift=(2e-3, 1e-3, 5e-4))
    result = fit(scene.batch(6, table=False), scene.wavelength)
    assert set(result.status) == {"no_transit"}
    assert "no transit found" in result.notes[0]
    assert float(result.depth_err.min()) == UNKNOWN_SIGMA


def test_a_transit_cut_by_the_window_is_flagged_and_its_errors_cover_the_truth() -> None:
    scene = replace(Scene(seed=9, noise=2e-4), t0=0.4)
    result = fit(scene.batch(4), scene.wavelength)
    assert set(result.status) <= {"partial", "no_transit"}
    z = (result.depth.numpy() - scene.depth)[:, 1:] / result.depth_err.numpy()[:, 1:]
    assert np.sqrt((z**2).mean()) < 2.0


def test_unusable_visits_fail_alone_with_a_reason() -> None:
    scene = Scene(seed=10)
    batch = scene.batch(4)
    batch["flux"][0] = torch.nan
    batch["time"][1] = 0.0
    batch["valid"][2] = False
    result = fit(batch, scene.wavelength)
    assert result.status == ["failed", "failed", "failed", "ok"]
    assert all(result.notes[:3])
    alone = fit({name: value[3:] for name, value in batch.items()}, scene.wavelength)
    torch.testing.assert_close(result.depth[3:], alone.depth, rtol=1e-9, atol=1e-12)


def test_wrong_shapes_and_settings_are_refused() -> None:
    scene = Scene()
    batch = scene.batch(1)
    with pytest.raises(RetrievalError, match="flux_err: expected shape"):
        fit(dict(batch, flux_err=batch["flux_err"][:, :-1]), scene.wavelength)
    with pytest.raises(RetrievalError, match=r"missing \['valid'\]"):
        fit({name: batch[name] for name in ("time", "flux", "flux_err")}, scene.wavelength)
    with pytest.raises(RetrievalError, match="'joint' or 'channel'"):
        FitSettings(drift="wild")


def test_the_gradient_by_flux_is_that_of_refitting() -> None:
    """Finite differences of the whole fit: a deeper transit in one channel, and noise, whose size is held."""
    scene, held = Scene(seed=11), FitSettings(jitter=False)
    batch = scene.batch(1)
    batch["flux"].requires_grad_()
    fit(batch, scene.wavelength, held).depth[0, 7].backward()
    gradient = batch["flux"].grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    rng = np.random.default_rng(1)
    for direction in (
        torch.as_tensor(scene.clean() * (np.arange(41) == 7) * (np.abs(scene.time - scene.t0) < 1)[:, None])[None],
        torch.as_tensor(scene.clean() * rng.standard_normal((scene.bins, 41)))[None],
    ):
        depths = []
        for sign in (1, -1):
            moved = dict(batch, flux=batch["flux"].detach() + sign * 1e-5 * direction)
            depths.append(float(fit(moved, scene.wavelength, held).depth[0, 7]))
        numeric = (depths[0] - depths[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(numeric, rel=0.03, abs=0.003)


def test_parameters_may_be_mixtures_of_columns() -> None:
    """The same system twice: a column for each parameter, and two columns of which three parameters are made."""
    torch.manual_seed(2)
    columns, mixing = torch.randn(1, 5, 2, 9).double(), torch.randn(1, 5, 2, 3).double()
    plain = (mixing.transpose(-1, -2) @ columns).transpose(-1, -2)  # (B, C, T, parameters)
    rest = (
        torch.rand(1, 5, 9).double() + 0.5,
        torch.tensor([0.3]).double(),
        torch.tensor([[0.5, 0.2]]).double(),
        torch.zeros(1, 2).double(),
    )
    residual = torch.randn(1, 5, 9).double()
    expected = solve(LinearSystem(*columns_of(plain[..., :1], plain[..., 1:]), *rest), residual, True)
    found = solve(LinearSystem(columns, mixing, *rest), residual, True)
    torch.testing.assert_close(found.own, expected.own)
    torch.testing.assert_close(found.shared, expected.shared)
    torch.testing.assert_close(found.covariance, expected.covariance)


def test_the_elimination_agrees_with_a_dense_generalised_least_squares() -> None:
    torch.manual_seed(0)
    channels, bins, n, shared, count = 4, 9, 2, 3, 2
    own, common = torch.randn(1, channels, bins, n).double(), torch.randn(1, channels, bins, shared).double()
    weight, light = torch.rand(1, channels, bins).double() + 0.5, torch.randn(1, channels, bins).double()
    response = torch.randn(count, channels).double()
    root = torch.randn(count, bins, bins).double()
    kernels = root @ root.transpose(1, 2) + torch.eye(bins).double()
    own_precision, shared_precision = torch.tensor([0.3, 0.1]).double(), torch.tensor([[0.5, 0.2, 1.0]]).double()
    pull, residual = torch.randn(1, shared).double(), torch.randn(1, channels, bins).double()
    basis = torch.randn(bins, 4).double()  # the second series lives on it
    kernels = [kernels[0], kernels[1, :4, :4]]
    noises = [
        SeriesColumns(response[0], None, torch.linalg.inv(kernels[0])),
        SeriesColumns(response[1], basis, torch.linalg.inv(kernels[1])),
    ]
    system = LinearSystem(*columns_of(own, common), weight, own_precision, shared_precision, pull, noises, light)
    found = solve(system, residual, with_covariance=True)
    kernels[1] = basis @ kernels[1] @ basis.T

    # written plainly: one design for everything, jitter in the noise covariance
    design = torch.zeros(channels * bins, channels * n + shared).double()
    noise = torch.diag(1 / weight.flatten())
    for k in range(count):
        h = torch.zeros(channels * bins, bins).double()
        for c in range(channels):
            h[c * bins : (c + 1) * bins] = torch.diag(response[k, c] * light[0, c])
        noise += h @ kernels[k] @ h.T
    for c in range(channels):
        design[c * bins : (c + 1) * bins, c * n : (c + 1) * n] = own[0, c]
    design[:, channels * n :] = common[0].reshape(-1, shared)
    precision = torch.diag(torch.cat([own_precision.repeat(channels), shared_precision[0]]))
    inverse = torch.linalg.inv(noise)
    covariance = torch.linalg.inv(design.T @ inverse @ design + precision)
    right = design.T @ inverse @ residual.flatten()
    right[channels * n :] += pull[0]
    mean = covariance @ right
    torch.testing.assert_close(found.own[0].flatten(), mean[: channels * n])
    torch.testing.assert_close(found.shared[0], mean[channels * n :])
    assert found.covariance is not None
    torch.testing.assert_close(found.covariance[0], covariance[: channels * n : n, : channels * n : n])

    # and were the series known, the noise would be white
    known = torch.linalg.inv(design.T @ torch.diag(weight.flatten()) @ design + precision)
    assert found.certain is not None
    torch.testing.assert_close(found.certain[0], known[: channels * n : n, : channels * n : n])


@pytest.mark.parametrize("root", [False, True])
def test_a_bounded_parameter_gives_the_moments_of_the_truncated_posterior(root: bool) -> None:
    torch.manual_seed(1)
    own, common = torch.randn(1, 3, 8, 1).double(), torch.randn(1, 3, 8, 2).double()
    weight, residual = torch.ones(1, 3, 8).double(), torch.randn(1, 3, 8).double()
    plain = (
        *columns_of(own, common),
        weight,
        torch.tensor([0.1]).double(),
        torch.full((1, 2), 0.1).double(),
        torch.zeros(1, 2).double(),
    )
    free = solve(LinearSystem(*plain), residual, True)
    low = free.shared[:, 1] + 0.1
    bound = solve(LinearSystem(*plain, bound=Bound(1, low, torch.tensor([root]))), residual, True)
    design = torch.zeros(24, 5).double()
    for c in range(3):
        design[c * 8 : (c + 1) * 8, c] = own[0, c, :, 0]
    design[:, 3:] = common[0].reshape(-1, 2)
    covariance = torch.linalg.inv(design.T @ design + 0.1 * torch.eye(5).double())
    mean = covariance @ design.T @ residual.flatten()
    draws = np.random.default_rng(0).multivariate_normal(mean.numpy(), covariance.numpy(), 400_000)
    draws = draws[draws[:, 4] > float(low)]
    weights = (draws[:, 4] - float(low)) ** (-0.5 if root else 0.0)
    np.testing.assert_allclose(bound.own[0, :, 0], np.average(draws[:, :3], 0, weights), atol=0.01)
    assert bound.covariance is not None
    np.testing.assert_allclose(bound.covariance[0], np.cov(draws[:, :3].T, aweights=weights), atol=0.01)


def test_a_star_table_that_the_curve_contradicts_is_dropped() -> None:
    """As for the real planet 1103775, whose transit is 1.9 times shorter than its row says."""
    scene = Scene(seed=12)
    batch = scene.batch(2)
    batch["sma"][:] /= 1.9
    result = fit(batch, scene.wavelength)
    assert result.status == ["ok", "ok"]
    speed = 2 * np.pi * scene.a / (24 * scene.period)
    assert np.exp(result.shape[:, 2].numpy()) == pytest.approx(speed, rel=0.05)
    z = (result.depth.numpy() - scene.depth) / result.depth_err.numpy()
    assert np.sqrt((z**2).mean()) < 1.3


def test_a_long_transit_is_not_mistaken_for_drift() -> None:
    scene = Scene(seed=13, depth=np.full(41, 3e-3), a=6.6, b=0.13, t0=3.9, drift=(7e-4, 4e-4, 2e-4), noise=2e-4)
    for table in (True, False):
        result = fit(scene.batch(2, table), scene.wavelength)
        assert result.status == ["ok", "ok"]
        assert result.shape[:, 0].numpy() == pytest.approx(scene.t0, abs=0.05)


def as_anything(scene: Scene) -> dict[str, dict[str, object]]:
    """The batch of a scene as people have it."""
    arrays = {name: values.numpy() for name, values in scene.batch(1).items()}
    turned = {name: values.astype(values.dtype.newbyteorder(">")) for name, values in arrays.items()}
    return {
        "arrays": dict(arrays),
        "lists": {name: values.tolist() for name, values in arrays.items()},
        "FITS": dict(turned),
        "masked": arrays | {"flux": np.ma.masked_array(arrays["flux"], ~arrays["valid"])},
        "dates": arrays | {"time": np.datetime64("2031-01-01", "ns") + (arrays["time"] * 3.6e12).astype("m8[ns]")},
    }


@pytest.mark.parametrize("kind", ["arrays", "lists", "FITS", "masked", "dates"])
def test_arrays_of_any_library_are_fitted_as_tensors_are(kind: str) -> None:
    scene = Scene(seed=8)
    expected = fit(scene.batch(1), scene.wavelength)
    found = fit(as_anything(scene)[kind], scene.wavelength.tolist())
    torch.testing.assert_close(found.depth, expected.depth, rtol=1e-6, atol=0)
    assert found.status == ["ok"]


def test_the_star_table_of_the_feature_extractor_is_read() -> None:
    scene = Scene(seed=8)
    batch = scene.batch(1)
    star = torch.full((1, 8), torch.nan, dtype=torch.float64)
    for name in STAR_IN_FIT:
        star[:, STAR_COLUMNS.index(name)] = batch.pop(name)
    assert torch.equal(fit(batch | {"star": star}, scene.wavelength).depth, fit(scene.batch(1), scene.wavelength).depth)
    with pytest.raises(RetrievalError, match=r"star: expected shape \(B, 8\), found \(1, 5\)"):
        fit(batch | {"star": star[:, :5]}, scene.wavelength)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda batch: {"flux": batch["flux"].to(torch.complex64)}, "flux: expected numbers, found torch.complex64"),
        (lambda batch: {"flux": batch["flux"] > 0}, "flux: expected numbers, found torch.bool"),
        (lambda batch: {"flux": batch["flux"].numpy().astype(str)}, "flux: expected numbers, found dtype <U"),
        (lambda batch: {"P": 3.4}, r"P: expected shape \('B',\), found \(\)"),
        (lambda batch: {"flux": batch["flux"].numpy() * u.Jy}, "flux_err: expected the unit of flux, Jy, found none"),
        (lambda batch: {"flux": batch["flux"].numpy() * u.mag}, r"flux: expected a flux, found magnitudes \(mag\)"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(changed: Any, message: str) -> None:
    scene = Scene()
    batch = scene.batch(1)
    with pytest.raises(RetrievalError, match=message):
        fit(batch | changed(batch), scene.wavelength)


def test_rows_or_wavelengths_that_are_none_are_refused() -> None:
    batch, wavelength = Scene().batch(1), Scene().wavelength
    with pytest.raises(RetrievalError, match="batch: expected a dictionary of arrays, found list"):
        fit([batch], wavelength)  # type: ignore[arg-type]
    with pytest.raises(RetrievalError, match=r"wavelength: expected positive um, found -0\.7"):
        fit(batch, torch.cat([torch.tensor([-0.7]), wavelength[1:]]))


@pytest.mark.parametrize("fill", [-999.0, 0.0, 1e30])
def test_fill_values_are_invalid_points_and_are_noted(fill: float) -> None:
    scene = Scene(seed=9)
    batch, gaps = scene.batch(1), scene.batch(1)
    batch["flux"][:, 10:14] = fill
    gaps["valid"] = gaps["valid"].clone()
    gaps["valid"][:, 10:14] = False
    found = fit(batch, scene.wavelength)
    assert torch.equal(found.depth, fit(gaps, scene.wavelength).depth)
    assert found.notes[0].startswith(f"{4 * len(scene.wavelength)} points of no starlight")


def test_what_is_no_flux_fails_with_its_likely_meaning() -> None:
    scene = Scene(seed=10)
    batch = scene.batch(1)
    level = batch["flux"].median(1, keepdim=True).values
    magnitudes = batch | {"flux": 10.0 - 2.5 * (batch["flux"] / level).log10(), "flux_err": batch["flux_err"] / level}
    (note,) = fit(magnitudes, scene.wavelength).notes
    assert note.startswith("flux: expected a dip, found a rise of ")
    deviation = batch | {"flux": batch["flux"] / batch["flux"].mean(1, keepdim=True) - 1.0}
    (note,) = fit(deviation, scene.wavelength).notes
    assert note.startswith("flux: expected a star's flux, found ")
    assert note.endswith("not positive in every channel: its deviation, or magnitudes?")
