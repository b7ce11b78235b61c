"""Spectre's layers against independent implementations, and a toy task that each of its stages must solve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import small_model
from spectrum_scenes import BINS, CHANNELS, WAVELENGTH, backbone_inputs, extractor, features, prepared
from tolerances import assert_close
from torch import Tensor
from transformers import AutoModelForPreTraining, ConvNextV2Config
from transformers.models.convnextv2.modeling_convnextv2 import ConvNextV2Layer

from ariel_scripts.opening.models import open_model, save_model
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel import ArielPipeline, Spectre, SpectreConfig, SpectreForPreTraining
from modeling_ariel.denoising_network import DenoisingNetwork, bin_channels, bin_of_channel, bin_times, rebuilding_loss
from modeling_ariel.image_layers import ConvNextBlock, FourierConv2d, shape_match, transit_shapes
from modeling_ariel.jitter_network import JitterNetwork, jitter_losses
from modeling_ariel.molecules import MOLECULES
from modeling_ariel.pixel_network import PixelNetwork, fill_by_median, filling_loss
from modeling_ariel.psf_templates import PsfTemplates, correlation_change, gaussian_templates, normalised
from modeling_ariel.spectrum_network import (
    SpectrumNetwork,
    band_members,
    band_templates,
    spectral_mask,
)

PIXELS = 25
OURS = "depthwise", "norm", "widen", "response_norm", "narrow"


def of(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# --- layers ----------------------------------------------------------------------------------------------------------


def test_a_convnext_block_is_that_of_transformers() -> None:
    theirs, ours = ConvNextV2Layer(ConvNextV2Config(hidden_act="gelu"), 8), ConvNextBlock(8)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    names = dict(zip(("dwconv", "layernorm", "pwconv1", "grn", "pwconv2"), OURS, strict=True))
    state = {}
    for name, weight in theirs.state_dict().items():
        part, what = name.split(".")
        state[f"{names[part]}.{what}"] = weight.flatten() if part == "grn" else weight
    ours.load_state_dict(state)
    x = torch.randn(2, 8, 9, 12)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("tall", "wide"), [(10, 7), (9, 12), (3, 2)])
def test_the_fourier_convolution_is_an_explicit_sum_over_modes(tall: int, wide: int) -> None:
    layer = FourierConv2d(2, (3, 2))
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(1, 2, tall, wide)
    weight = layer.weight.detach().double().numpy()
    weight = weight[..., 0] + 1j * weight[..., 1]  # (sign, in, out, H, W)
    rows, columns = min(3, tall // 2), min(2, wide // 2 + 1)
    y, z = np.mgrid[:tall, :wide]
    expected = np.zeros((2, tall, wide))
    for sign in (0, 1):
        for a in range(rows):
            for b in range(columns):
                row = a if sign == 0 else a - rows  # frequency along H
                wave = np.exp(2j * np.pi * (row * y / tall + b * z / wide))
                found = (x[0].double().numpy() * wave.conj()).sum((1, 2))  # (in,)
                mixed = (found[:, None] * weight[sign, :, :, a, b]).sum(0)
                twice = 1.0 if b == 0 or 2 * b == wide else 2.0  # its conjugate is the other half
                expected += twice * (mixed[:, None, None] * wave).real / (tall * wide)
    assert_close(layer(x)[0].detach().numpy(), expected)


def test_nothing_that_the_causal_convolutions_answer_depends_on_the_future() -> None:
    network = JitterNetwork(5, 3, width=6, kernel=3, blocks=3, series=2, dropout=0.0)
    torch.nn.init.normal_(network.response)
    light, centroid, correlation = torch.randn(1, 40, 5), torch.randn(1, 40, 4), torch.randn(1, 40, 3)
    valid, unit = torch.ones(1, 40, 5, dtype=torch.bool), torch.ones(1, 1, 1)
    before = network(light, valid, centroid, correlation, unit).removed
    for changed in (light, valid, centroid, correlation):
        changed[:, 25:] = 0
    after = network(light, valid, centroid, correlation, unit).removed
    torch.testing.assert_close(after[:, :25], before[:, :25])
    assert not torch.allclose(after[:, 25:], before[:, 25:])


def _correlation(a: Any, b: Any) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_correlation_with_psf_templates_is_numpys() -> None:
    rng = np.random.default_rng(0)
    templates = rng.random((4, 7, 9))
    frequencies = np.fft.fftfreq(7)[:, None], np.fft.fftfreq(9)
    for shift in ((0.0, 0.0), (1.0, 0.0), (-2.0, 3.0), (0.3, -0.45)):
        ramp = np.exp(-2j * np.pi * (frequencies[0] * shift[0] + frequencies[1] * shift[1]))
        moved = np.fft.ifft2(np.fft.fft2(templates[0]) * ramp).real
        if shift == (-2.0, 3.0):
            np.testing.assert_allclose(moved, np.roll(templates[0], (-2, 3), (0, 1)), atol=1e-12)
        expected = [_correlation(moved, one) - _correlation(templates[0], one) for one in templates]
        found = correlation_change(torch.as_tensor(templates), torch.tensor([shift], dtype=torch.float64))
        np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


def test_templates_answer_the_pointing_by_order_one_and_others_can_be_set() -> None:
    psf = PsfTemplates(5, 11, 9.5e-3)
    centroid = torch.zeros(1, 3, 4)
    centroid[0, 1, 0], centroid[0, 2, 1] = 1.0, -1.0
    found = psf(centroid)[0]
    assert not found[0].any()
    assert float(found.abs().max()) == pytest.approx(1.0, abs=1e-3)
    assert float(found[1, 2]) * float(found[1, 4]) < 0  # on either side of the star along y
    model = small_model("spectre")
    learned = gaussian_templates(3, 5) + 0.1 * torch.rand(3, 5, 5)
    model.set_psf_templates(learned)
    torch.testing.assert_close(model.encoder.psf.templates, learned)
    for wrong, message in ((torch.rand(3, 4, 5), r"\(3, 5, 5\), found"), (torch.ones(3, 5, 5), "not constant")):
        with pytest.raises(ValueError, match=message):
            model.set_psf_templates(wrong)
    with pytest.raises(ValueError, match="jitter or denoise"):
        small_model("spectre", jitter=False, denoise=False).set_psf_templates(learned)


def test_a_transit_shape_matches_itself_best() -> None:
    shapes = transit_shapes(90)
    found = shape_match(0.02 * shapes + 1.0, torch.ones(9, 90), shapes)
    torch.testing.assert_close(found.diagonal(), torch.ones(9), rtol=1e-4, atol=0)
    assert (found.argmax(-1) == torch.arange(9)).all()


def test_bins_are_means_of_what_is_valid_and_fgs1_is_alone() -> None:
    light, valid = torch.randn(1, 10, 8), torch.rand(1, 10, 8) > 0.3
    image, seen = bin_channels(*bin_times(light, valid.float(), 4), 3)
    assert image.shape == (1, 3, 4)  # FGS1, then 7 channels by 3
    bins = bin_of_channel(8, 3).numpy()
    assert bins.tolist() == [0, 1, 1, 1, 2, 2, 2, 3]
    for t, d in np.ndindex(3, 4):
        block = np.ix_([0], range(4 * t, min(4 * t + 4, 10)), np.flatnonzero(bins == d))
        known = valid.numpy()[block]
        assert float(seen[0, t, d]) == pytest.approx(known.sum() / (4 if d == 0 else 12))
        if known.any():
            assert float(image[0, t, d]) == pytest.approx(light.numpy()[block][known].mean(), abs=1e-5)


def test_band_templates_peak_where_molecules_absorb() -> None:
    wavelength = torch.as_tensor(wavelengths_um("2025")).float()
    templates = band_templates(wavelength)
    assert templates.shape == (1 + len(MOLECULES), 283)
    assert templates[0].nonzero().flatten().tolist() == [0]
    methane = templates[1 + list(MOLECULES).index("CH4")]
    assert 3.2 < float(wavelength[methane.argmax()]) < 3.4 or 2.2 < float(wavelength[methane.argmax()]) < 2.5
    members = band_members(wavelength)
    hidden = spectral_mask(members, 200, 0.3)
    assert ((hidden[:, None] & members).any(-1) == (hidden[:, None] | ~members).all(-1)).all()  # whole bands
    assert float(hidden[:, members.any(0)].float().mean()) == pytest.approx(0.3, abs=0.05)
    assert not hidden[:, ~members.any(0)].any()


# --- toy tasks -------------------------------------------------------------------------------------------------------


def _jittered(visits: int, channels: int = 6, bins: int = 80) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Light curves (B, T, C) in sigma, their jitter, the centroids (B, T, 4), and transits that are no jitter."""
    drift = torch.randn(visits, bins, 2)
    for t in range(1, bins):
        drift[:, t] = 0.8 * drift[:, t - 1] + 0.6 * drift[:, t]
    centroid = torch.cat([drift + 0.05 * torch.randn_like(drift), torch.zeros_like(drift)], -1)
    response = torch.linspace(1.0, 3.0, channels)
    jitter = (drift[..., :1] + 0.5 * drift[..., 1:] + 0.3 * drift[..., :1] ** 2) * response
    inside = torch.tensor([0, 1, 2, 4])  # shapes that are over before the last fifth
    transit = 8.0 * transit_shapes(bins)[inside[torch.randint(0, 4, (visits,))]][..., None]
    return jitter + 0.5 * torch.randn(visits, bins, channels), jitter, centroid, transit


def test_jitter_is_removed_from_synthetic_curves_and_transits_are_not() -> None:
    network = JitterNetwork(6, 5, width=16, kernel=3, blocks=2, series=2, dropout=0.0)
    psf, unit, quiet = PsfTemplates(5, 11, 9.5e-3), torch.ones(1, 1, 1), torch.zeros(80, dtype=torch.bool)
    quiet[:16] = quiet[-16:] = True
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)

    def removed(light: Tensor, centroid: Tensor) -> Tensor:
        found = network(light, torch.ones_like(light, dtype=torch.bool), centroid, psf(centroid), unit)
        return found.removed

    for _ in range(200):
        light, _, centroid, transit = _jittered(16)
        light = light + transit
        made = removed(light, centroid)
        losses = jitter_losses(light, torch.ones_like(light, dtype=torch.bool), quiet, made, centroid, unit)
        optimizer.zero_grad()
        (losses["scatter"] + 2.0 * losses["unexplained"]).backward()
        optimizer.step()
    light, jitter, centroid, transit = _jittered(32)
    with torch.no_grad():
        found = removed(light + transit, centroid)
    left = found - jitter
    assert float(left.var(1).mean() / jitter.var(1).mean()) < 0.1  # 90% of its variance is gone
    dip = transit - transit.mean(1, keepdim=True)
    depth = (left * dip).sum() / dip.square().expand_as(left).sum()
    assert abs(float(depth)) < 0.01  # of the transit


def test_the_jitter_losses_want_centroids_to_explain_what_is_removed() -> None:
    light, jitter, centroid, _ = _jittered(8)
    valid, quiet = torch.ones_like(light, dtype=torch.bool), torch.ones(80, dtype=torch.bool)
    unit = torch.ones(1, 1, 1)
    nothing = jitter_losses(light, valid, quiet, torch.zeros_like(light), centroid, unit)
    right = jitter_losses(light, valid, quiet, jitter, centroid, unit)
    everything = jitter_losses(light, valid, quiet, light, centroid, unit)
    assert float(nothing["scatter"]) == pytest.approx(1.0)
    assert float(nothing["unexplained"]) == 0.0
    assert float(right["scatter"]) < 0.2
    assert float(right["unexplained"]) < 0.03
    assert float(everything["scatter"]) == pytest.approx(0.0, abs=1e-6)
    total = [float(one["scatter"] + 2.0 * one["unexplained"]) for one in (nothing, right, everything)]
    assert total[1] < total[2] < total[0]


def _transits(visits: int, bins: int = 24, waves: int = 13) -> Tensor:
    """Images (B, N, D) of transits, deeper in a band."""
    shapes = transit_shapes(bins)[torch.randint(0, 9, (visits,))]
    place = torch.linspace(-1, 1, waves)
    band = torch.exp(-0.5 * ((place - 2 * torch.rand(visits, 1) + 1) / 0.3) ** 2)
    return (1.0 + torch.rand(visits, 1, 1)) * shapes[..., None] * (1.0 + 0.5 * band[:, None])


def test_noise_is_taken_out_of_synthetic_transits_after_masked_pretraining() -> None:
    network = DenoisingNetwork([8, 12, 16], (3, 3), 2, PIXELS, 0.0)
    for layer in network.modules():
        if isinstance(layer, FourierConv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    psf = normalised(gaussian_templates(3, 5)).flatten(1)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(250):
        truth = _transits(16)
        image = truth + 0.7 * torch.randn_like(truth)
        hidden = (torch.rand(image.shape) < 0.3).float()
        found = network(image * (1 - hidden), 1 - hidden, psf)
        optimizer.zero_grad()
        power = image.square().mean((1, 2))
        rebuilding_loss(found.clean, image, hidden, power).backward()  # of what was measured: the truth is not seen
        optimizer.step()
    truth = _transits(64)
    image = truth + 0.7 * torch.randn_like(truth)
    with torch.no_grad():
        found = network(image, torch.ones_like(image), psf)
    gain = (image - truth).square().mean() / (found.clean - truth).square().mean()
    assert float(gain) > 5.0
    torch.testing.assert_close(found.attention.sum(-1), torch.ones(64, 6, 4))


def test_the_network_over_wavelength_finds_a_bump() -> None:
    wavelength = torch.cat([torch.tensor([0.7]), torch.linspace(1.95, 3.9, 40)])
    network = SpectrumNetwork(41, 6, width=12, kernel=5, dilations=[1, 2], features=24, dropout=0.0)
    torch.nn.init.normal_(network.place, std=0.02)
    for layer in (network.channel, network.head.channel, network.head.level):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    templates, members = band_templates(wavelength), band_members(wavelength)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)

    def scene(rows: int) -> tuple[Tensor, Tensor, Tensor]:
        centre = 1.95 + 1.95 * torch.rand(rows, 1)
        bump = 2.0 * torch.exp(-0.5 * ((wavelength - centre) / 0.15) ** 2)
        noise = 0.3 + 0.7 * torch.rand(rows, 1)
        seen = bump + noise * torch.randn(rows, 41)
        return bump, noise, torch.stack([seen, noise.expand_as(seen), torch.zeros_like(seen)], -1)

    def answer(channels: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = len(channels)
        by_channel, level, *_ = network(
            channels.new_zeros(rows, 12, 41), channels, torch.zeros(rows, 6), templates, hidden
        )
        return by_channel[..., 0] + level[:, :1], by_channel[..., 1] + level[:, 1:]

    for _ in range(1000):
        bump, _, channels = scene(32)
        mean, log_sigma = answer(channels, spectral_mask(members, 32, 0.1))
        optimizer.zero_grad()
        (0.5 * ((mean - bump) / log_sigma.exp()) ** 2 + log_sigma).mean().backward()
        optimizer.step()
        schedule.step()
    bump, noise, channels = scene(256)
    with torch.no_grad():
        mean, log_sigma = answer(channels)
    error = (mean - bump).square()
    assert float(error.mean() / bump.var()) < 0.2
    assert float(error.mean() / (channels[..., 0] - bump).square().mean()) < 0.35
    quiet, loud = (noise[:, 0] < 0.5), (noise[:, 0] > 0.8)
    assert float(log_sigma[quiet].mean()) < float(log_sigma[loud].mean())  # it knows where it is unsure
    assert float((error / (2 * log_sigma).exp()).mean()) == pytest.approx(1.0, abs=0.4)
    hidden = spectral_mask(members, 256, 0.1)
    with torch.no_grad():
        mean, _ = answer(channels, hidden)
    assert float((mean - bump)[hidden].square().mean()) < 0.5 * float(bump[hidden].var())  # told by its neighbours


def _stars(count: int, size: int = 24) -> Tensor:
    """Smooth images (B, H, W) of stars of several widths and places."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre, width = 8.0 + 8.0 * torch.rand(count, 2, 1, 1), 1.5 + 1.5 * torch.rand(count, 1, 1)
    away = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
    return 1000.0 * torch.exp(-0.5 * away / width**2) + 100.0 * torch.rand(count, 1, 1)


def test_a_small_network_fills_bad_pixels_better_than_the_median() -> None:
    network = PixelNetwork()
    images = _stars(32)
    bad = torch.rand(images.shape) < 0.05
    spoiled = torch.where(bad, torch.nan, images)
    median = fill_by_median(spoiled, bad)
    torch.testing.assert_close(network(spoiled, bad), median)  # where it starts
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        stars = _stars(16)
        filling_loss(network, stars, torch.rand(stars.shape) < 0.01).backward()
        optimizer.step()
    with torch.no_grad():
        filled = network(spoiled, bad)
    torch.testing.assert_close(filled[~bad], images[~bad])
    assert float((filled - images)[bad].square().mean()) < 0.5 * float((median - images)[bad].square().mean())


def test_the_median_of_neighbours_is_taken_of_good_ones() -> None:
    image = torch.arange(25.0).reshape(1, 5, 5)
    bad = torch.zeros(1, 5, 5, dtype=torch.bool)
    bad[0, 2, 2] = bad[0, 2, 3] = True
    known = [6.0, 7.0, 8.0, 11.0, 16.0, 17.0, 18.0]
    assert float(fill_by_median(image, bad)[0, 2, 2]) == np.median(known)
    assert not fill_by_median(image, torch.ones_like(bad)).any()


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("denoise", [True, False])
def test_each_stage_can_be_left_out_and_shows_its_maps(jitter: bool, denoise: bool) -> None:
    model = small_model("spectre", stirred=0.02, jitter=jitter, denoise=denoise)
    with torch.no_grad():
        out = model(**prepared())
    assert torch.isfinite(out.mean).all()
    assert ("jitter" in out.maps, "denoised" in out.maps) == (jitter, denoise)
    assert out.maps["molecule_attention"].shape == (4, CHANNELS, 1 + len(MOLECULES))
    if jitter:
        assert out.maps["psf_correlation"].shape == (6, BINS, 3)
    model.train()(**prepared()).loss.backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]


def test_its_own_losses_are_of_training_alone_and_have_weights() -> None:
    still = {"jitter_weight": 0.0, "denoising_weight": 0.0, "smoothness_weight": 0.0}
    quiet = {"hidden_dropout_prob": 0.0, "spectral_dropout": 0.0, "blind_share": 0.0}
    model = small_model("spectre", stirred=0.05, **quiet)
    without = small_model("spectre", stirred=0.05, **quiet, **still)

    def loss_of(one: Any) -> float:
        return float(one(**prepared()).loss.detach())

    evaluated = loss_of(model)
    assert loss_of(without.train()) == pytest.approx(evaluated, rel=1e-5)
    trained = loss_of(model.train())
    assert trained > evaluated + 0.05
    with torch.no_grad():  # as samples with dropout are made
        assert loss_of(model) == pytest.approx(evaluated, rel=1e-5)
    rough = small_model("spectre", stirred=0.05, **quiet, **(still | {"smoothness_weight": 1.0})).train()
    assert loss_of(rough) > evaluated + 1e-4


def test_what_pretraining_learned_opens_as_a_model_of_spectra(tmp_path: Path) -> None:
    config = small_model("spectre").config
    torch.manual_seed(1)
    pretraining = SpectreForPreTraining(config).train()
    batch = backbone_inputs(features())
    optimizer = torch.optim.Adam(pretraining.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        out = pretraining(**batch)
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.loss.detach()))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    pretraining.set_psf_templates(gaussian_templates(3, 5) + 0.1)
    save_model(pretraining, tmp_path, extractor())
    again: Any = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert isinstance(again, SpectreForPreTraining)
    model = open_model(Spectre, str(tmp_path), WAVELENGTH.tolist())
    for key, weight in pretraining.encoder.state_dict().items():
        torch.testing.assert_close(model.encoder.state_dict()[key], weight, rtol=0, atol=0)
    out = model.eval()(**prepared())  # the head is new, and corrects nothing
    torch.testing.assert_close(out.mean, out.classical_mean, rtol=1e-5, atol=0)


@pytest.mark.parametrize("strategy", ["random", "block", "band", "snr"])
def test_pretraining_does_not_see_what_it_hides(strategy: str) -> None:
    config = small_model("spectre", mask_strategy=strategy).config
    model = SpectreForPreTraining(config).eval()
    batch = backbone_inputs(features([0, 1]))
    with torch.no_grad():
        out = model(**batch)
        hidden = out.mask.repeat_interleave(config.patch_bins, 1)[:, :BINS]
        assert hidden.any()
        spoiled = batch | {"light_curve": torch.where(hidden, 9.0, batch["light_curve"])}
        again = model(**spoiled, mask=out.mask)
    torch.testing.assert_close(again.reconstruction, out.reconstruction, rtol=0, atol=0)
    assert float(again.loss) != float(out.loss)


def test_it_is_trained_in_half_precision_too() -> None:
    model = small_model("spectre", stirred=0.02).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**prepared()).loss
    loss.backward()
    gradients = [weight.grad for weight in model.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in gradients)


def test_samples_with_dropout_have_a_spread(tmp_path: Path) -> None:
    save_model(small_model("spectre", stirred=0.1), tmp_path, extractor())
    pipeline = ArielPipeline.from_pretrained(tmp_path, samples=4)
    assert pipeline.has_dropout
    means, sigmas = pipeline.sample(prepared(), 4, "a seed")
    assert means.shape == (4, 4, CHANNELS)
    assert (means.std(0) > 0).all()
    assert (sigmas > 0).all()


def test_the_full_size_is_small() -> None:
    model = Spectre(SpectreConfig())
    assert of(model) < 0.7e6
    state = model.state_dict()
    weights = sum(value.numel() * value.element_size() for key, value in state.items() if "physics" not in key)
    assert weights < 3e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_sizes": [8, 16]}, "image_sizes: expected three"),
        ({"image_sizes": [8, 16, 30]}, "a multiple of 4"),
        ({"fourier_modes": [0, 2]}, "fourier_modes"),
        ({"spectrum_kernel": 4}, "odd"),
        ({"spectral_dropout": 1.0}, "spectral_dropout"),
        ({"jitter_weight": -1.0}, "jitter_weight"),
        ({"time_pools": 0}, "time_pools"),
        ({"mask_ratio": 1.0}, "mask_ratio"),
        ({"pointing_scale": 0.0}, "pointing_scale"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        SpectreConfig(**changes)


def test_pretraining_needs_the_stage_that_rebuilds() -> None:
    with pytest.raises(ValueError, match="expected a config with denoise"):
        SpectreForPreTraining(SpectreConfig(denoise=False))
