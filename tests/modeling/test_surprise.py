"""Room for surprise: it equals the plain mixture, holds where the learned prior fails, and costs little at home."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from spectrum_scenes import CHANNELS, WAVELENGTH, config, features, fits, prepared, prior, spectrum_model
from torch import Tensor

from ariel_scripts.prediction.adaptation import _learn_weights
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.posterior import ScaleMixture, VisitPosterior
from modeling_ariel.spectrum_prior import MIXTURE, SpectrumPrior
from modeling_ariel.surprise import LENGTHS, SHARE, SIZES, Surprise

RELEASED = Path(__file__).resolve().parents[2] / "modeling_ariel/released"
GRID = torch.cat([torch.tensor([0.7]), torch.linspace(1.95, 3.9, 119)]).double()  # um


def surprised(known: SpectrumPrior | None = None, wavelength: Tensor | None = None) -> SpectrumPrior:
    axis = torch.as_tensor(WAVELENGTH) if wavelength is None else wavelength
    return replace(known or prior(), surprise=Surprise.of(axis))


def uneven() -> SpectrumPrior:
    """Residuals of which some lengths and sizes are more usual."""
    weights = torch.arange(1.0, 1.0 + len(LENGTHS) * len(SIZES)).reshape(len(LENGTHS), len(SIZES))
    surprise = Surprise.of(torch.as_tensor(WAVELENGTH), SHARE, (weights / weights.sum()).tolist())
    return replace(prior(), surprise=surprise)


def spelled_out(known: SpectrumPrior) -> SpectrumPrior:
    """The same mixture, a covariance for each component."""
    surprise = known.surprise
    assert surprise is not None
    weights, covariances = [*(known.weights * (1 - SHARE))], [*known.covariances]
    chosen = [k for k in range(len(known.weights)) if k in Surprise.scales(len(known.weights))]
    for k in chosen:
        for root, of_length in zip(surprise.roots, surprise.weights, strict=True):
            for size, of_size in zip(SIZES, of_length, strict=True):
                share = SHARE * known.weights[k] / known.weights[chosen].sum()
                weights.append(share * of_size)
                covariances.append(known.covariances[k] + size**2 * root @ root.T)
    return SpectrumPrior(known.mean, torch.stack(covariances), torch.stack(weights))


def measured() -> tuple[Tensor, Tensor]:
    """Depths (4, C), from like the prior's to far from it, with covariances of fits."""
    draw = torch.Generator().manual_seed(0)
    covariance, wave = fits().covariance[:4], torch.sin(9.0 * torch.as_tensor(WAVELENGTH))
    noise = torch.randn(4, CHANNELS, generator=draw, dtype=torch.float64)
    error = torch.einsum("pij,pj->pi", torch.linalg.cholesky(covariance), noise)
    return prior().mean + error + torch.tensor([0.0, 1e-4, 1e-3, 3e-3])[:, None] * wave, covariance


def smooth(count: int, seed: int) -> Tensor:
    """Spectra (N, C) of a level and slow waves of 50 ppm."""
    draw = torch.Generator().manual_seed(seed)
    shapes = torch.cos(math.pi * torch.arange(1, 4)[:, None] * (GRID - 1.95) / 2.0)
    waves = 5e-5 * torch.randn(count, 3, generator=draw, dtype=torch.float64) @ shapes
    return 5e-3 + 1e-3 * torch.randn(count, 1, generator=draw, dtype=torch.float64) + waves


def answer(known: SpectrumPrior, truth: Tensor) -> tuple[Tensor, Tensor]:
    """z and sigma (N, C) of spectra measured with 60 ppm of white noise and 100 ppm that channels share."""
    draw = torch.Generator().manual_seed(9)
    covariance = (6e-5**2 * torch.eye(len(GRID)).double() + 1e-4**2)[None]
    noise = torch.randn(truth.shape, generator=draw, dtype=torch.float64) @ torch.linalg.cholesky(covariance)[0].T
    found = [known.posterior(one[None], covariance) for one in truth + noise]
    sigma = torch.cat([spread for _, spread in found]).diagonal(dim1=1, dim2=2).sqrt()
    return (torch.cat([mean for mean, _ in found]) - truth) / sigma, sigma


def inside(z: Tensor) -> float:
    return float((z.abs() < 1.6449).double().mean())


@pytest.mark.parametrize("known", [surprised(), uneven()], ids=["all alike", "some more usual"])
def test_all_posteriors_are_those_of_the_mixture_spelled_out(known: SpectrumPrior) -> None:
    depth, covariance = measured()
    expected, spread = spelled_out(known).posterior(depth, covariance)
    sigma = spread.diagonal(dim1=1, dim2=2).sqrt()
    mean, found = known.posterior(depth, covariance)
    torch.testing.assert_close(mean, expected, rtol=1e-7, atol=0)
    assert float(((found - spread) / (sigma[:, :, None] * sigma[:, None])).abs().max()) < 1e-6
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-3)):
        quick = VisitPosterior.prepare(ScaleMixture.of(known, MIXTURE), covariance).to(dtype)
        mean, found, share = quick(depth)
        own, others = quick.shares(depth)
        torch.testing.assert_close(own, share)
        assert others.shape == (4, len(LENGTHS), len(SIZES))
        torch.testing.assert_close(own.sum(1) + others.sum((1, 2)), torch.ones(4).double())
        assert float(((mean - expected) / sigma).abs().max()) < tolerance
        torch.testing.assert_close(found, sigma, rtol=tolerance, atol=0)
        assert share.shape == (4, len(MIXTURE))
        assert bool((share.sum(-1) < 1.0).all())  # the rest is surprise


def test_planets_keep_their_answers_when_they_are_joined_selected_and_measured_often() -> None:
    depth, covariance = measured()
    mixture = ScaleMixture.of(surprised(), MIXTURE)
    whole = VisitPosterior.prepare(mixture, covariance)
    joined = VisitPosterior.join([VisitPosterior.prepare(mixture, covariance[rows]) for rows in ([2, 3], [0, 1])])
    often = whole(torch.stack([depth, depth.flip(1)], 1))
    order = torch.tensor([2, 3, 0, 1])
    for one, two, three, four in zip(
        joined.select(order)(depth), whole(depth), often, whole(depth.flip(1)), strict=True
    ):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(three, torch.stack([two, four], 1))


def test_a_band_never_seen_fits_in_the_intervals_with_surprise_and_not_without() -> None:
    known = SpectrumPrior.fit(smooth(300, 0), MIXTURE)
    band = 6e-4 * torch.exp(-0.5 * ((GRID - 3.3) / 0.1) ** 2)
    there = (GRID - 3.3).abs() < 0.25
    without, with_it = (answer(one, smooth(40, 1) + band)[0] for one in (known, surprised(known, GRID)))
    assert inside(without[:, there]) < 0.65
    assert 0.85 < inside(with_it[:, there]) < 0.95
    assert 0.85 < inside(with_it) < 0.95


def test_at_home_it_costs_less_than_half_a_percent_of_sigma() -> None:
    known = SpectrumPrior.fit(smooth(300, 0), MIXTURE)
    (z, sigma), (_, before) = (answer(one, smooth(40, 1)) for one in (surprised(known, GRID), known))
    assert float((sigma / before).median()) < 1.005
    assert 0.87 < inside(z) < 0.93


def test_residuals_correlate_as_matern_says_and_the_photometers_is_its_own_over_short_lengths() -> None:
    roots = Surprise.of(GRID).roots
    for length, root in zip(LENGTHS, roots, strict=True):
        apart = math.sqrt(3.0) * (GRID[:, None] - GRID).abs() / length
        away = (root @ root.T - (1 + apart) * torch.exp(-apart)).abs()
        assert float(away.diagonal().mean()) < 0.04
        assert float(away.mean()) < 0.01
    together = (roots[:, 0] * roots[:, 1]).sum(-1)
    assert together[:2].abs().max() < 1e-3
    assert together[2] > 0.3


def test_it_is_saved_with_a_prior_and_older_files_know_of_none(tmp_path: Path) -> None:
    depth, covariance = measured()
    uneven().save(tmp_path / "prior.safetensors")
    loaded = SpectrumPrior.load(tmp_path / "prior.safetensors")
    for found, expected in zip(loaded.posterior(depth, covariance), uneven().posterior(depth, covariance), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)  # sums depend on where tensors lie in memory
    tensors = load_file(tmp_path / "prior.safetensors")
    older = {name: tensor for name, tensor in tensors.items() if name != "surprise_weights"}
    save_file(older, tmp_path / "alike.safetensors")
    found = SpectrumPrior.load(tmp_path / "alike.safetensors").posterior(depth, covariance)[0]
    torch.testing.assert_close(found, surprised().posterior(depth, covariance)[0], rtol=1e-9, atol=0)
    older = {name: tensor for name, tensor in tensors.items() if not name.startswith("surprise")}
    save_file(older, tmp_path / "older.safetensors")
    assert SpectrumPrior.load(tmp_path / "older.safetensors").surprise is None


def test_a_model_has_as_much_as_its_config_says_and_keeps_it(tmp_path: Path) -> None:
    plain, model = spectrum_model(stirred=0.0), spectrum_model(stirred=0.0, prior_surprise=SHARE)
    model.save_pretrained(tmp_path)
    loaded = ArielForSpectrumPrediction.from_pretrained(tmp_path)
    planet = features()["planet"]
    one, same, other = (m.physics.summarise(fits(), planet) for m in (model, loaded, plain))
    torch.testing.assert_close(same.sigma, one.sigma)
    assert one.share.shape == other.share.shape
    assert not torch.allclose(one.sigma, other.sigma, rtol=1e-4)
    expected, _ = model.physics.spectrum_prior().prior().posterior(one.depth, one.covariance)
    torch.testing.assert_close(one.mean, expected)


def test_the_released_checkpoint_has_it_and_a_config_of_before_has_none() -> None:
    model = ArielForSpectrumPrediction.from_pretrained(RELEASED)
    assert model.config.prior_surprise == 0.5  # it is made for elsewhere
    older = {name: value for name, value in model.config.to_dict().items() if name != "prior_surprise"}
    assert type(model.config).from_dict(older).prior_surprise == 0.0


def test_a_network_corrects_as_much_as_the_prior_is_not_surprised() -> None:
    model, batch = spectrum_model(stirred=0.5), prepared()

    def shift(share: float) -> float:
        with torch.no_grad():
            found = model(**batch | {"classical_share": share * batch["classical_share"]})
        moved = (found.mean - batch["classical_mean"]) / batch["classical_sigma"]
        return float(moved.abs().max() + (found.sigma / batch["classical_sigma"]).log().abs().max())

    assert shift(1.0) > 0.01
    assert shift(1e-6) < 1e-4
    half = shift(0.5)
    model.config.prior_surprise = 0.5
    assert shift(0.5) > 1.5 * half  # as much surprise as there was before any evidence
    assert shift(1e-6) < 1e-4


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected between 0 and 1"):
        Surprise.of(GRID, share)
    with pytest.raises(Exception, match="prior_surprise: expected 0 to 1"):
        config(prior_surprise=share)


@pytest.mark.parametrize(("size", "low", "high"), [(0.0, 0.0, 0.1), (6e-4, 0.5, 1.0)], ids=["home", "elsewhere"])
def test_how_often_spectra_surprise_is_learned_without_their_truth(size: float, low: float, high: float) -> None:
    draw = torch.Generator().manual_seed(4)
    model = spectrum_model(stirred=0.0, prior_surprise=SHARE)
    surprise, covariance = model.physics.spectrum_prior().surprise, fits().covariance[0]
    assert surprise is not None
    known, planets = model.physics.spectrum_prior().prior(), []
    for _ in range(60):
        normal = torch.randn(CHANNELS, generator=draw, dtype=torch.float64)
        spectrum = known.mean + torch.linalg.cholesky(known.covariances[2]) @ normal
        normal = torch.randn(surprise.roots.shape[-1], generator=draw, dtype=torch.float64)
        spectrum = spectrum + size * surprise.roots[1] @ normal
        error = torch.linalg.cholesky(covariance) @ torch.randn(CHANNELS, generator=draw, dtype=torch.float64)
        planets.append(replace(fits().select(torch.tensor([0])), depth=(spectrum + error)[None]))
    found = _learn_weights(model.physics, planets)
    assert low < model.config.prior_surprise < high
    assert found["surprise"] == model.config.prior_surprise
    weights = torch.tensor(found["surprise_weights"])
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
    if size:
        assert divmod(int(weights.argmax()), len(SIZES)) == (1, SIZES.index(size))
    assert float(model.physics.prior_weights.sum()) == pytest.approx(1.0, abs=1e-6)


def test_weights_of_other_lengths_or_sizes_are_refused() -> None:
    for rows in ([[0.5, 0.5]], [[0.0] * len(SIZES)] * len(LENGTHS)):
        with pytest.raises(Exception, match="prior_surprise_weights: expected 3 x 4 numbers above 0"):
            config(prior_surprise_weights=rows)
