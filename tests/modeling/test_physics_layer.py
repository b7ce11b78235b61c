"""The classical posterior as a layer: its precision, what it is taught, and how visits become planets."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from spectrum_scenes import (
    CHANNELS,
    PLANETS,
    SHARED,
    WAVELENGTH,
    config,
    features,
    fits,
    population,
    prior,
)

from modeling_ariel.physics import ArielPhysics
from modeling_ariel.populations import Population, planet_depths, visit_posteriors
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.shared_parameters import Shared, shared_groups
from modeling_ariel.spectrum_prior import MIXTURE, PLAIN, SpectrumPrior


def layer(prior_too: bool = True) -> ArielPhysics:
    physics = ArielPhysics(config())
    physics.reset()
    if prior_too:
        physics.set_spectrum_prior(ScaleMixture.of(prior(), MIXTURE))
    return physics


def test_its_buffers_keep_float32_and_their_values_whatever_the_model_becomes() -> None:
    physics = layer()
    physics.set_population(population(True), True)
    before = {name: value.clone() for name, value in physics.named_buffers()}
    for change in (physics.to(torch.bfloat16), physics.half(), physics.double(), physics.float(), physics.to("cpu")):
        for name, value in change.named_buffers():
            assert value.dtype == torch.float32, name
            assert torch.equal(value, before[name]), name
    assert not list(physics.parameters())


def test_a_prior_comes_back_as_exactly_as_it_went_in() -> None:
    """In float32 alone its quietest directions were lost: the level's variance is a million times theirs."""
    given = ScaleMixture.of(prior(), MIXTURE)
    found = layer().spectrum_prior()
    torch.testing.assert_close(found.common, given.common, rtol=1e-13, atol=1e-22)
    torch.testing.assert_close(found.features, given.features, rtol=1e-13, atol=1e-22)
    for name in ("mean", "scales", "weights"):
        torch.testing.assert_close(getattr(found, name), getattr(given, name), rtol=1e-6, atol=0)
    low = torch.linalg.eigvalsh(found.prior().covariances)[:, 0]
    torch.testing.assert_close(low, torch.linalg.eigvalsh(prior().covariances)[:, 0], rtol=1e-3, atol=0)


def test_a_prior_of_other_channels_or_components_is_refused() -> None:
    with pytest.raises(ValueError, match="prior: expected 5 scales over 25 channels, found 1 over 25"):
        layer().set_spectrum_prior(ScaleMixture.of(SpectrumPrior(prior().mean, prior().covariances[:1],
                                                                 torch.ones(1).double()), PLAIN))  # fmt: skip
    few = ScaleMixture.of(prior(), MIXTURE)
    few = ScaleMixture(few.mean[:9], few.common[:9, :9], few.features[:9, :9], few.scales, few.weights)
    with pytest.raises(ValueError, match="found 5 over 9"):
        layer().set_spectrum_prior(few)


@pytest.mark.parametrize("table", [True, False], ids=["star table", "no star table"])
def test_a_population_comes_back_as_it_went_in_and_the_other_stays_away(table: bool) -> None:
    physics, given = layer(), replace(population(table), shares=torch.full((4, 3), 0.25).double())
    physics.set_population(given, table)
    found = physics.population(table)
    assert found is not None
    assert torch.equal(found.index, given.index)
    torch.testing.assert_close(found.mean, given.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.covariance, given.covariance, rtol=1e-6, atol=1e-7)
    assert found.b_sigma == pytest.approx(given.b_sigma)
    assert torch.equal(found.shares, given.shares)
    assert physics.population(not table) is None
    groups = shared_groups(SHARED)
    few = Population(torch.tensor([20, 22]), torch.zeros(2).double(), torch.eye(2).double(), math.inf, groups)
    physics.set_population(few, table)  # takes the place of the other, whole
    again = physics.population(table)
    assert again is not None
    assert again.index.tolist() == [20, 22]
    assert torch.equal(again.covariance, few.covariance)
    assert again.b_sigma == math.inf


def test_a_state_dict_carries_prior_and_populations() -> None:
    physics, other = layer(), layer(prior_too=False)
    for table in (True, False):
        physics.set_population(population(table), table)
    other.load_state_dict(physics.state_dict())
    one, two = (p.summarise(fits(), features()["planet"]) for p in (physics, other))
    assert torch.equal(one.mean, two.mean)
    assert torch.equal(one.sigma, two.sigma)


@pytest.mark.parametrize("tables", [(True,), (False,), (True, False)], ids=["with table", "without", "both"])
def test_each_visit_is_given_the_population_that_it_belongs_to(tables: tuple[bool, ...]) -> None:
    physics, visits = layer(), fits()
    assert set(visits.table_known.tolist()) == {True, False}
    for table in tables:
        physics.set_population(population(table), table)
    for visit, known in enumerate(visits.table_known.tolist()):
        one = visits.select(torch.tensor([visit]))
        found = physics.of_planet(one, physics.populations())
        own = {known: population(known)} if known in tables else {}
        expected, unlike = visit_posteriors(one, own)
        for name in Shared.__annotations__:
            value, wanted = getattr(found.visits, name).double(), getattr(expected, name).double()
            torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-6 * float(value.abs().max()))
        torch.testing.assert_close(found.unlike, unlike, rtol=1e-3, atol=1e-6)
        assert torch.equal(found.depth, visits.depth[visit]) == (known not in tables)


def test_a_visit_that_its_population_does_not_explain_says_so() -> None:
    physics, planet = layer(), torch.arange(len(fits().depth))
    far = replace(population(True), mean=population(True).mean.clone())
    far.mean[far.groups[far.index] == 2] += 20.0  # of the slow drift
    physics.set_population(far, True)
    found = physics.summarise(fits(), planet)
    assert found.notes is not None
    note = "unlike the visits that the populations are learned from, so told by wide priors: slow drift"
    for visit, known in enumerate(fits().table_known.tolist()):
        assert (note in found.notes[visit]) == known
    torch.testing.assert_close(found.depth, fits().depth, rtol=0.02, atol=0)
    assert found.status == fits().status


def test_visits_of_a_planet_are_combined_and_the_others_kept() -> None:
    physics, visits, planet = layer(), fits(), features()["planet"]
    found = physics.summarise(visits, planet)
    assert found.mean.shape == found.depth.shape == (PLANETS, CHANNELS)
    for number in range(PLANETS):
        members = torch.nonzero(planet == number).squeeze(-1)
        depth, covariance = planet_depths(Shared.free(visits).select(members), {}, shared_groups(SHARED))
        torch.testing.assert_close(found.depth[number], depth, rtol=1e-9, atol=0)
        assert found.covariance is not None
        torch.testing.assert_close(found.covariance[number], covariance, rtol=1e-9, atol=0)
        mean, spread = physics.spectrum_prior().prior().posterior(depth[None], covariance[None])
        torch.testing.assert_close(found.mean[number], mean[0], rtol=1e-8, atol=0)
        torch.testing.assert_close(found.sigma[number], spread[0].diagonal().sqrt(), rtol=1e-8, atol=0)
        torch.testing.assert_close(found.shared[number], visits.shared[members].mean(0), rtol=1e-6, atol=1e-6)
    two = found.depth_sigma[0] < visits.depth_err[[0, 2]].min(0).values
    assert bool(two.all())


def test_the_order_of_a_planets_visits_does_not_matter() -> None:
    physics, planet = layer(), features()["planet"]
    one = physics.summarise(fits(), planet)
    order = torch.tensor([2, 5, 1, 4, 3, 0])
    two = physics.summarise(fits().select(order), planet[order])
    torch.testing.assert_close(two.mean, one.mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(two.sigma, one.sigma, rtol=1e-9, atol=0)
    torch.testing.assert_close(two.shared, one.shared)


def test_a_planets_status_is_that_of_its_best_visit() -> None:
    planet = torch.tensor([0, 0, 1, 1, 2, 2])
    states = ["failed", "ok", "no_transit", "partial", "failed", "no_transit"]
    found = layer().summarise(replace(fits(), status=states), planet)
    assert found.status == ["ok", "partial", "failed"]


@pytest.mark.parametrize(
    ("states", "kept", "status"),
    [
        (["ok", "doubtful"], [0], "ok"),
        (["doubtful", "partial"], [1], "partial"),
        (["doubtful", "doubtful"], [0, 1], "doubtful"),
        (["no_transit", "doubtful"], [0, 1], "doubtful"),
        (["ok", "partial"], [0, 1], "ok"),
    ],
)
def test_a_doubtful_visit_counts_only_where_none_is_trusted(states: list[str], kept: list[int], status: str) -> None:
    two = fits().select(torch.tensor([0, 2]))
    found = layer().summarise(replace(two, status=states), torch.zeros(2).long())
    expected = layer().summarise(two.select(torch.tensor(kept)), torch.zeros(len(kept)).long())
    for name in ("mean", "sigma", "depth", "covariance", "shared", "shared_sigma"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)
    assert found.status == [status]


def test_a_planets_notes_are_those_of_its_visits_and_say_which_were_left_out() -> None:
    planet = torch.tensor([0, 1, 1, 1, 2, 2])
    states = ["no_transit", "ok", "doubtful", "ok", "doubtful", "failed"]
    notes = ["no transit found: flat", "", "two transits", "a note", "two transits", ""]
    found = layer().summarise(replace(fits(), status=states, notes=notes), planet)
    assert found.notes == [
        "no transit found: flat",
        "visit 2 of 3 is left out as doubtful: two transits; visit 3 of 3: a note",
        "visit 1 of 2: two transits",
    ]


def test_shared_parameters_are_counted_in_sigmas_of_their_population() -> None:
    physics, visits = layer(), fits()
    plain, error = physics.standardised(Shared.of(visits))
    torch.testing.assert_close(plain, visits.shared)
    torch.testing.assert_close(error, visits.shared_covariance.diagonal(dim1=1, dim2=2).sqrt())
    physics.set_population(population(True), True)
    found, error = physics.standardised(Shared.of(visits))
    known = torch.nonzero(visits.table_known).squeeze(-1)
    index, size = population(True).index, population(True).covariance.diagonal().sqrt()
    expected = (visits.shared[known][:, index] - population(True).mean) / size
    torch.testing.assert_close(found[known][:, index], expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[~visits.table_known], plain[~visits.table_known])
    assert found.shape == error.shape == (len(visits.depth), SHARED)


def test_the_residual_is_in_sigmas_and_about_one_where_data_were_used() -> None:
    found = layer().summarise(fits(), features()["planet"])
    assert found.residual is not None
    assert found.residual.shape == features()["flux"].shape
    used = fits().weight.transpose(1, 2) > 0
    assert 0.8 < float(found.residual[used].std()) < 1.1
    assert not found.residual[~used].any()


def test_light_curves_are_fitted_in_double_precision_also_under_autocast() -> None:
    batch, physics = features([1]), layer()
    given = [batch[name] for name in ("time", "flux", "flux_err", "valid", "star", "planet")]
    with torch.no_grad():
        exact = physics(*given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = physics(*given)
    for name in ("mean", "sigma", "depth", "depth_sigma", "share", "shared", "shared_sigma"):
        value = getattr(found, name)
        assert value.dtype == torch.float64, name
        torch.testing.assert_close(value, getattr(exact, name), rtol=1e-9, atol=0)
    torch.testing.assert_close(physics.wavelength.double(), torch.as_tensor(WAVELENGTH), rtol=1e-6, atol=0)
