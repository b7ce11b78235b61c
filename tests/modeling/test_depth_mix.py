"""The mix of Gaussian process, autoencoder and NMF, each against another way to compute it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import small_model
from huggingface_hub.errors import StrictDataclassError
from scipy.optimize import nnls
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from spectrum_scenes import CHANNELS, WAVELENGTH, features, prepared
from torch import Tensor

from modeling_ariel import DepthMix, DepthMixConfig
from modeling_ariel.depth_estimates import DepthAutoencoder, DepthFactors, WavelengthProcess
from modeling_ariel.light_curve_depths import depths

NAME = "gp_autoencoder_nmf"


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spectra(n: int, seed: int = 0) -> Tensor:
    """Positive spectra (n, CHANNELS) of three features about a level [100 ppm]."""
    features = random(3, CHANNELS, seed=7).cumsum(-1)
    return 30.0 + random(n, 1, seed=seed) + random(n, 3, seed=seed + 1) @ features


def predict(model: Any, batch: dict[str, Tensor]) -> Any:
    with torch.no_grad():
        return model(**batch)


# --- Gaussian process ----------------------------------------------------------------------------------------------


def test_the_gaussian_process_is_scikit_learns() -> None:
    wavelength, depth, error = (
        torch.as_tensor(WAVELENGTH).double(),
        3.0 * random(4, CHANNELS),
        random(4, CHANNELS).exp(),
    )
    process = WavelengthProcess(level=17.0)
    with torch.no_grad():
        process.log_amplitude.fill_(0.3)
        mean, sigma = process(depth, error, wavelength)
        level, amplitude, length = (
            x.double().exp() for x in (process.log_level, process.log_amplitude, process.log_length)
        )
    kernel = ConstantKernel(float(level**2)) + ConstantKernel(float(amplitude**2)) * Matern(float(length), nu=1.5)
    for row in range(4):
        other = GaussianProcessRegressor(kernel, alpha=error[row].numpy() ** 2, optimizer=None)
        other.fit(WAVELENGTH[:, None].astype(float), depth[row].numpy())
        expected = other.predict(WAVELENGTH[:, None].astype(float), return_std=True)
        np.testing.assert_allclose(mean[row], expected[0], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(sigma[row], expected[1], rtol=1e-6)


@pytest.mark.parametrize("same", [True, False])
def test_draws_of_a_planet_are_as_each_by_itself(same: bool) -> None:
    wavelength, depth, error = torch.as_tensor(WAVELENGTH).double(), random(6, CHANNELS), random(2, CHANNELS).exp()
    error = error.repeat_interleave(3, 0)
    if not same:
        error[4] *= 2.0
    process = WavelengthProcess(level=17.0)
    with torch.no_grad():
        mean, sigma = process(depth, error, wavelength, draws=3)
        alone = process(depth, error, wavelength)
    torch.testing.assert_close(mean, alone[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sigma, alone[1], rtol=1e-9, atol=0)


def test_the_hyperparameters_have_the_gradient_of_finite_differences() -> None:
    process = WavelengthProcess(level=5.0).double()
    wavelength, depth, error = torch.linspace(2.0, 4.0, 7).double(), random(2, 7), random(2, 7).exp()

    def moments(*values: Tensor) -> Any:
        given = dict(zip(("log_amplitude", "log_length", "log_level"), values, strict=True))
        return torch.func.functional_call(process, given, (depth, error, wavelength))

    start = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.2, -1.0, 1.0)]
    assert torch.autograd.gradcheck(moments, start)


# --- non-negative factors ------------------------------------------------------------------------------------------


def test_coefficients_are_those_of_non_negative_least_squares() -> None:
    factors = DepthFactors(3, 20, updates=4000)
    with torch.no_grad():
        factors.raw.copy_(2.0 * random(3, 20))
    depth, error = random(5, 20).abs() * 3.0, random(5, 20, seed=1).exp()
    depth[0] = 2.0 * factors.components[1].detach()  # two coefficients are 0
    with torch.no_grad():
        found, coefficients = factors(depth, error)
        components = factors.components.numpy()
    for row in range(5):
        scaled = (components / error[row].numpy()).T
        expected, _ = nnls(scaled, (depth[row] / error[row]).numpy())
        np.testing.assert_allclose(coefficients[row], expected, atol=2e-3 * expected.max())
        np.testing.assert_allclose(found[row], expected @ components, rtol=1e-2)
    assert (coefficients >= 0).all()


def test_each_update_lowers_the_misfit_in_units_of_the_errors() -> None:
    depth, error = spectra(4), random(4, CHANNELS, seed=3).exp()
    misfit = []
    for updates in range(0, 40, 4):
        with torch.no_grad():
            misfit.append(((DepthFactors(5, CHANNELS, updates)(depth, error)[0] - depth) / error).square().sum(-1))
    assert (torch.stack(misfit).diff(dim=0) <= 0).all()


def test_components_start_at_a_factorisation_of_the_spectra() -> None:
    truths = random(40, 3).abs() @ random(3, CHANNELS, seed=1).abs() * 20.0
    factors, error = DepthFactors(3, CHANNELS, updates=500), torch.ones(40, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        before = (factors(truths, error)[0] - truths).square().mean().sqrt()
        factors.start_from(truths)
        after = (factors(truths, error)[0] - truths).square().mean().sqrt()
    assert after < 0.05 * truths.std()
    assert after < 0.2 * before


# --- autoencoder ---------------------------------------------------------------------------------------------------


def test_an_autoencoder_starts_at_principal_components_and_so_gives_back_spectra_of_low_rank() -> None:
    truths, coder = spectra(50), DepthAutoencoder(CHANNELS, 4, 16, 0.0)
    for zero in (coder.encode_more[-1], coder.decode_more[-1]):
        torch.nn.init.zeros_(zero.weight)
        torch.nn.init.zeros_(zero.bias)
    coder.start_from(truths)
    away = truths - truths.mean(-1, keepdim=True)
    with torch.no_grad():
        found, code = coder(away, torch.ones_like(away))
    torch.testing.assert_close(found.double(), away, rtol=0, atol=1e-4)
    torch.testing.assert_close(code[:, :3].std(0), torch.ones(3), rtol=1e-4, atol=0)


def test_an_autoencoder_learns_to_take_noise_off_spectra_of_low_rank() -> None:
    torch.manual_seed(0)
    truths, coder = spectra(400), DepthAutoencoder(CHANNELS, 3, 32, 0.0)
    away = (truths - truths.mean(-1, keepdim=True)).float()
    optimizer = torch.optim.Adam(coder.parameters(), lr=3e-3)
    error = torch.full_like(away, 1.5)
    for _ in range(600):
        optimizer.zero_grad()
        found, _ = coder(away[:300] + error[:300] * torch.randn_like(away[:300]), error[:300])
        (found - away[:300]).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        left = coder(away[300:] + error[300:] * torch.randn_like(away[300:]), error[300:])[0] - away[300:]
    assert left.square().mean().sqrt() < 0.5 * 1.5  # 3 numbers of 25 have noise: 0.35 of it


# --- depths of light curves ----------------------------------------------------------------------------------------


def test_depths_out_of_transit_less_in_transit_err_as_they_say() -> None:
    visits, bins = 24, 120
    time = torch.linspace(0.0, 8.0, bins).double().expand(visits, -1)
    mid = torch.linspace(3.0, 5.0, visits)[:, None]
    along = ((1.0 - 2.0 * (time - mid).abs() / 3.0) / 0.15).clamp(0.0, 1.0)
    truth, error = 3.0 + 0.3 * random(visits, 40), 0.5 + 0.1 * torch.rand(visits, 40).double()
    drift = 1.0 + 1e-3 * (time - 4.0)
    light = (drift[..., None] * (1.0 - 1e-3 * truth[:, None] * along[..., None]) - 1.0) / 1e-3
    light = light + error[:, None] * random(visits, bins, 40, seed=2)
    valid = torch.ones_like(light, dtype=torch.bool)
    valid[:, :, 0], valid[3, 20:30] = False, False
    light = torch.where(valid, light, torch.zeros_like(light))
    found, sigma = depths(light, valid, time, error, 1e-3)
    z = ((found - truth) / sigma)[:, 1:]
    assert 0.9 < float(z.std()) < 1.1
    assert float(z.mean().abs()) < 0.3
    assert float(sigma[:, 1:].max()) < 0.3
    assert torch.isinf(sigma[:, 0]).all()
    assert (found[:, 0].abs() < 1e-9).all()


def test_visits_of_a_planet_count_by_their_errors() -> None:
    model, batch = small_model(NAME, physics="none"), features()
    seen: list[tuple[Tensor, Tensor]] = []
    measured: Any = model.measured
    model.measured = lambda visits: seen.append(measured(visits)) or seen[-1]  # type: ignore[operator]
    predict(model, batch)
    predict(model, {key: value for key, value in batch.items() if key not in ("planet", "labels")})
    (depth, error), (each, each_error) = seen
    of = batch["planet"] == 0
    weight = each_error[of] ** -2
    torch.testing.assert_close(depth[0], (weight * each[of]).sum(0) / weight.sum(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(error[0], weight.sum(0) ** -0.5, rtol=1e-9, atol=0)


def test_a_channel_without_data_tells_nothing_of_the_others() -> None:
    model, batch = small_model(NAME, physics="none"), features()
    whole = predict(model, batch)
    batch["valid"] = batch["valid"].clone()
    batch["valid"][..., 5] = False
    less = predict(model, batch)
    away = ((less.mean - whole.mean) / whole.sigma).abs()
    assert float(away[:, np.arange(CHANNELS) != 5].max()) < 0.3
    assert float((less.sigma / whole.sigma)[:, 5].min()) > 0.9


def test_a_visit_without_data_counts_for_nothing_beside_another() -> None:
    model, batch = small_model(NAME, physics="none"), features()
    kept = [1, 0, 2, 3]  # planets in the order of what is left
    rest = {key: value[1:] for key, value in batch.items() if key not in ("planet", "labels")}
    alone = predict(model, rest | {"planet": torch.tensor([0, 1, 2, 3, 3])})
    batch["valid"] = batch["valid"].clone()
    batch["valid"][0] = False
    both = predict(model, batch)
    away = ((both.mean[kept] - alone.mean) / alone.sigma).abs()
    assert float(away.max()) < 0.05


def test_a_visit_without_a_valid_bin_leaves_gradients_finite() -> None:
    model, batch = small_model(NAME, physics="none", stirred=0.02).train(), features()
    batch["valid"] = batch["valid"].clone()
    batch["valid"][0] = False
    out = model(**batch)
    out.loss.backward()
    assert torch.isfinite(out.mean).all()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


# --- the mix -------------------------------------------------------------------------------------------------------


def test_estimates_are_mixed_six_to_two_to_two_or_as_they_learn_to_be() -> None:
    model = small_model(NAME)
    torch.testing.assert_close(model.mixing_weights(), torch.tensor([0.6, 0.2, 0.2]).double())
    learning = small_model(NAME, learn_weights=True, stirred=0.02, weights=[1.0, 1.0, 2.0])
    torch.testing.assert_close(learning.mixing_weights().detach(), torch.tensor([0.25, 0.25, 0.5]).double())
    learning(**prepared()).loss.backward()
    assert learning.log_weights.grad.any()


def test_the_gate_goes_from_the_classical_posterior_to_the_mix() -> None:
    model, batch = small_model(NAME), prepared()
    for gate in (0.5, 1.0):
        with torch.no_grad():
            model.gate.bias.fill_(gate)
        out = predict(model, batch)
        weights = model.mixing_weights()
        mix = sum(
            w * out.maps[name] for w, name in zip(weights, ("gaussian_process", "autoencoder", "nmf"), strict=True)
        )
        classical = batch["classical_mean"].double()
        usual = batch["classical_share"].sum(-1, keepdim=True).clamp_max(1.0)
        torch.testing.assert_close(out.mean.double(), classical + gate * usual * (mix - classical), rtol=1e-4, atol=0)


def test_depths_reach_the_estimates_as_they_were_measured_however_far_from_the_posterior() -> None:
    model, batch = small_model(NAME), prepared()
    batch["classical_depth"] = batch["classical_depth"] + 50.0 * batch["classical_depth_sigma"]
    process = predict(model, batch).maps["gaussian_process"]
    assert ((process - batch["classical_mean"]) / batch["classical_depth_sigma"]).mean() > 30.0


def test_a_lost_planet_keeps_the_classical_answer_and_leaves_gradients_finite() -> None:
    model, batch = small_model(NAME, stirred=0.02).train(), prepared()
    batch["classical_depth"][1], batch["classical_depth_sigma"][1] = 0.0, 1.0
    out = model(**batch)
    torch.testing.assert_close(out.mean[1], batch["classical_mean"][1], rtol=1e-6, atol=0)
    out.loss.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_a_model_prepared_by_spectra_finds_others_like_them_without_training() -> None:
    truths = 1e-4 * spectra(60)
    model, batch = small_model(NAME, depth_mean=3e-3, depth_scale=1e-3, updates=200), prepared()
    model.prepare(truths)
    labels = 1e-4 * spectra(4, seed=90)
    batch["classical_depth_sigma"] = torch.full_like(batch["classical_depth_sigma"], 3e-5)
    batch["classical_depth"] = labels + 3e-5 * random(4, CHANNELS)
    maps = predict(model, batch).maps
    assert (labels - labels.mean(-1, keepdim=True)).std() > 3e-4
    for name, most in (("gaussian_process", 4e-5), ("autoencoder", 2e-5), ("nmf", 1e-4)):
        assert (maps[name] - labels).square().mean().sqrt() < most, name


def test_each_estimate_is_trained_for_itself_also_while_the_gate_is_shut() -> None:
    batch = prepared()
    for weight in (0.1, 0.0):
        model = small_model(NAME, estimates_weight=weight).train()
        model(**batch).loss.backward()
        trained = [
            bool(part.grad is not None and part.grad.any()) for part in (model.factors.raw, model.process.log_length)
        ]
        assert trained == [weight > 0] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [6.0, 2.0]}, "weights: expected 3 numbers above 0"),
        ({"weights": [6.0, 2.0, -2.0]}, "weights: expected 3 numbers above 0"),
        ({"components": 0}, "components: expected 1 or more, found 0"),
        ({"estimates_weight": -1.0}, "estimates_weight: expected 0 or more"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, StrictDataclassError)) as caught:
        DepthMixConfig(**changes)
    assert message in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("truths", "message"),
    [
        (torch.ones(5, 3), r"truths: expected \(N >= 2, 25\) spectra, found \(5, 3\)"),
        (torch.ones(1, CHANNELS), r"truths: expected \(N >= 2, 25\) spectra, found \(1, 25\)"),
        (torch.full((3, CHANNELS), float("nan")), "truths: expected finite spectra, found 75 other values"),
    ],
)
def test_spectra_that_nothing_can_start_from_are_refused(truths: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(NAME).prepare(truths)


def test_it_is_a_small_model() -> None:
    assert sum(weight.numel() for weight in DepthMix(DepthMixConfig()).parameters()) < 0.2e6
