"""Augmentation: what is changed agrees with the physics, what is not changed stays the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from labelled_planets import BINS, CHANNELS, planets, spectra, transit

from ariel_scripts.training.augmentation import (
    Augmentation,
    SpectrumPool,
    channel_levels,
    draw_spectrum,
    error_factor,
    fresh_error,
    mean_of_two,
    move_depth,
    scaled_features,
    standardise,
)
from ariel_scripts.training.examples import AugmentedPlanets, Collator, SimulatedCurves, StreamedCurves, place_of
from ariel_scripts.training.folds import learned_prior
from ariel_scripts.training.loop import LoopSettings, MicroBatches
from ariel_scripts.training.planets import Classical
from hf_dataset.schema import features
from hf_dataset.simulation import light_curves
from hf_dataset.simulation.planets import sample_planets
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.physics import ArielPhysics

PLAIN = Augmentation(real_noise=1.0, swap=0.0)


@pytest.fixture(scope="module")
def physics() -> ArielPhysics:
    layer = ArielPhysics(ArielConfig())
    layer.reset()
    return layer


def examples(physics: ArielPhysics, settings: Augmentation, count: int = 6, seed: int = 0) -> AugmentedPlanets:
    some, prior = planets(count, two_visits=1), learned_prior(spectra(60, 9), None)
    classical = Classical.of(some, range(count), physics, [prior] * count, True)
    pools = [SpectrumPool(spectra(50, 3))] * count
    return AugmentedPlanets(some, range(count), classical, pools, settings, 300.0, seed)


def test_a_moved_light_curve_is_the_one_that_another_spectrum_would_have_made() -> None:
    rng = np.random.default_rng(0)
    old, new = spectra(2, 1)
    baseline = 1 + 0.01 * rng.standard_normal((BINS, CHANNELS))
    moved = move_depth(baseline * (1 - old * transit()), transit(), old, new)
    np.testing.assert_allclose(moved, baseline * (1 - new * transit()), rtol=1e-12)


def test_moving_there_and_back_changes_nothing_and_neither_does_moving_nowhere() -> None:
    old, new = spectra(2, 1)
    curve = 1 + 0.01 * np.random.default_rng(0).standard_normal((BINS, CHANNELS))
    np.testing.assert_allclose(move_depth(move_depth(curve, transit(), old, new), transit(), new, old), curve)
    np.testing.assert_array_equal(move_depth(curve, transit(), old, old), curve)


def test_levels_are_medians_of_valid_bins_only() -> None:
    rng = np.random.default_rng(0)
    curve, valid = rng.standard_normal((21, 5)), rng.random((21, 5)) < 0.7
    valid[:, 4] = False
    expected = [np.median(curve[valid[:, c], c]) for c in range(4)]
    np.testing.assert_allclose(channel_levels(curve, valid)[:4], expected)
    assert np.isinf(channel_levels(curve, valid)[4])


def test_standardised_curves_are_those_of_the_feature_extractor() -> None:
    rng = np.random.default_rng(0)
    flux = 1e5 * (1 + 0.01 * rng.standard_normal((40, CHANNELS)))
    error, valid = np.full_like(flux, 300.0), rng.random(flux.shape) < 0.9
    features = ArielFeatureExtractor(clip=4.0)(
        time=np.linspace(0, 7, 40), flux=flux, flux_err=error, valid=valid, return_tensors="np"
    )
    np.testing.assert_allclose(standardise(flux, 1 / error, valid, 4.0), features["light_curve"][0], atol=1e-4)


def test_fresh_errors_have_the_covariance_of_the_fit() -> None:
    rng = np.random.default_rng(0)
    root = 1e-4 * rng.standard_normal((4, 4))
    covariance = torch.from_numpy(root @ root.T)[None]
    draws = torch.from_numpy(rng.standard_normal((1, 40_000, 4)))
    errors = fresh_error(error_factor(covariance), draws)[0].numpy()
    np.testing.assert_allclose(np.cov(errors.T), covariance[0].numpy(), rtol=0.1, atol=1e-10)


def test_a_partner_is_near_in_mean_depth() -> None:
    pool, rng = spectra(400, 1), np.random.default_rng(0)
    found = SpectrumPool(pool)
    exact = found.near(float(np.log(pool[7].mean())), rng, 0.0)
    np.testing.assert_array_equal(exact, pool[7])
    levels = [found.near(float(np.log(0.003)), rng, 0.2).mean() for _ in range(300)]
    assert np.std(np.log(levels)) == pytest.approx(0.2, rel=0.2)


def test_features_and_level_are_scaled_apart_and_means_of_two_lie_between() -> None:
    a, b = spectra(2, 1)
    scaled = scaled_features(a, 2.0, 1.5)
    assert scaled.mean() == pytest.approx(1.5 * a.mean())
    np.testing.assert_allclose(scaled - scaled.mean(), 3.0 * (a - a.mean()))
    between = mean_of_two(a, b, 0.3)
    assert ((between >= np.minimum(a, b) - 1e-15) & (between <= np.maximum(a, b) + 1e-15)).all()


def test_without_settings_a_spectrum_stays_its_own() -> None:
    own = spectra(1, 1)[0]
    np.testing.assert_array_equal(draw_spectrum(own, SpectrumPool(spectra(9, 2)), np.random.default_rng(0), PLAIN), own)


@pytest.mark.parametrize("values", [{"swap": 1.2}, {"real_noise": -0.1}, {"mix": 2.0}, {"swap_width": 9.0}])
def test_shares_and_widths_that_cannot_be_meant_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))}: expected"):
        Augmentation(**values)


def test_unchanged_examples_are_what_was_observed(physics: ArielPhysics) -> None:
    found = examples(physics, PLAIN)
    batch = found[[0, 1, 2]]
    places = [place_of(number, 6, 0) for number in (0, 1, 2)]
    assert found.classical is not None
    torch.testing.assert_close(batch["classical_depth"], found.classical.depth[places])
    expected = Collator(found.planets, 300.0)(places, None)
    torch.testing.assert_close(batch["light_curve"], expected["light_curve"], atol=1e-3, rtol=0)
    np.testing.assert_array_equal(batch["labels"].numpy(), found.planets.truths[places])


def test_an_example_depends_on_its_number_alone(physics: ArielPhysics) -> None:
    found = examples(physics, Augmentation(mix=0.5, feature_scale=0.1, level_shift=0.1, real_noise=0.3))
    together, alone = found[[4, 17, 2]], found[[17]]
    rows = together["planet"] == 1
    torch.testing.assert_close(together["light_curve"][rows], alone["light_curve"], rtol=0, atol=0)
    torch.testing.assert_close(together["labels"][1:2], alone["labels"], rtol=0, atol=0)
    torch.testing.assert_close(together["classical_mean"][1:2], alone["classical_mean"])


def test_a_light_curve_shows_the_depths_that_physics_is_told(physics: ArielPhysics) -> None:
    """Mid-transit of the new curve against that of the old: the difference is that of the measured depths."""
    found = examples(physics, Augmentation())
    batch, place = found[[3]], place_of(3, 6, 0)
    assert found.classical is not None
    visits, error = found.planets.visits[place], 1e-3
    shift = (batch["classical_depth"][0] - found.classical.depth[place]).numpy()
    old = Collator(found.planets, 300.0)([place], None)["light_curve"][0].numpy()
    dip = (batch["light_curve"][0].numpy() - old)[12:19].mean(0) - (batch["light_curve"][0].numpy() - old)[:5].mean(0)
    np.testing.assert_allclose(-dip * error, shift * transit()[15], atol=5e-5)
    assert len(visits) == len(batch["light_curve"])


def test_several_draws_share_a_light_curve(physics: ArielPhysics) -> None:
    batch = examples(physics, Augmentation(draws=3))[[1, 2]]
    assert batch["labels"].shape == batch["classical_mean"].shape == (6, CHANNELS)
    assert int(batch["planet"].max()) == 1
    assert not torch.equal(batch["labels"][0], batch["labels"][1])


def test_every_planet_comes_once_an_epoch_in_an_order_that_changes() -> None:
    first, second = ([place_of(epoch * 11 + k, 11, 5) for k in range(11)] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second


def test_simulated_curves_depend_on_seed_and_number_alone() -> None:
    extractor = ArielFeatureExtractor()
    one = SimulatedCurves(extractor, 1, bins=20, mask=4, labels=True)
    other = SimulatedCurves(extractor, 1, bins=20, mask=4, labels=True)
    together, alone = one[[3, 70]], other[[70]]
    for name, value in alone.items():
        torch.testing.assert_close(together[name][1:], value, rtol=0, atol=0, equal_nan=True, msg=name)
    assert not torch.equal(SimulatedCurves(extractor, 2, bins=20)[[70]]["light_curve"], alone["light_curve"])


def test_simulated_curves_of_a_limited_number_come_again() -> None:
    curves = SimulatedCurves(ArielFeatureExtractor(), 1, bins=20, size=2)
    seen = [curves[[k]]["light_curve"] for k in range(4)]
    assert sum(torch.equal(seen[0], later) for later in seen[2:]) == 1


def test_a_stream_that_goes_on_reads_what_comes_next_and_processes_share_it() -> None:
    rows = [light_curves.simulate_row(planet, n_bins=20, seed=1) for planet in sample_planets(6, 2, "2024")]
    stored = Dataset.from_list(rows, features=features(20)).to_iterable_dataset(num_shards=2)
    curves = StreamedCurves(stored, ArielFeatureExtractor(), 0, buffer=4, mask=4)
    settings = LoopSettings(steps=4, batch_size=2)
    whole = list(curves.stream(MicroBatches(settings, 0, 1)))
    assert len(whole) == 4  # 8 of 6 light curves: the second epoch has begun
    after = list(curves.stream(MicroBatches(settings, 0, 1, start=3)))
    assert torch.equal(after[0]["light_curve"], whole[3]["light_curve"])
    assert torch.equal(after[0]["noise"], whole[3]["noise"])
    longer = list(curves.stream(MicroBatches(replace(settings, steps=2, batch_size=9), 0, 1)))  # each has both epochs
    assert [len(batch["time"]) for batch in longer] == [9, 9]
    epoch = replace(settings, steps=3)
    shared = [b["light_curve"] for rank in (0, 1) for b in curves.stream(MicroBatches(epoch, rank, 2))]
    assert len({curve.numpy().tobytes() for batch in shared for curve in batch}) == 6
