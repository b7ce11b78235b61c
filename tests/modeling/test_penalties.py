"""Physics penalties against closed forms, the rules of a config, and what a model pays for breaking them."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from architecture_scenes import small_model
from spectrum_scenes import CHANNELS, PLANETS, WAVELENGTH, features, prepared, spectrum_model

from hf_dataset.simulation.planets import sample_planets, wavelengths_um
from modeling_ariel import penalties as rules
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.objective import Answered, Objective, spectrum_loss, violations
from modeling_ariel.penalty_rules import RULES, STEEP

N = 40
WAVE = torch.linspace(1.95, 3.9, N, dtype=torch.float64)
ONES = torch.ones(N, dtype=torch.float64)
FLAT = np.r_[0.7, WAVE.numpy()].tolist()


def rows(*values: Any) -> torch.Tensor:
    return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values])


def wave(k: int) -> torch.Tensor:
    """A cosine of frequency k / (2 N) cycles a channel."""
    return torch.cos(math.pi * k * (torch.arange(N, dtype=torch.float64) + 0.5) / N)


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_smoothness_is_the_square_second_difference_and_less_in_bands() -> None:
    x = rows(3.0 + 2.0 * WAVE, 0.5 * torch.arange(N) ** 2)
    assert rules.smoothness(x, WAVE, ONES).tolist() == pytest.approx([0.0, 1.0], abs=1e-12)
    uneven = WAVE**1.5
    assert float(rules.smoothness(rows(2.0 * uneven), uneven, ONES)) == pytest.approx(0.0, abs=1e-20)
    weight = torch.where(torch.arange(N) < N // 2, 0.25, 1.0).double()
    expected = (0.25 * (N // 2) + (N - 2 - N // 2)) / (N - 2)
    assert float(rules.smoothness(x[1:], WAVE, weight)) == pytest.approx(expected)


def test_total_variation_is_the_mean_step() -> None:
    step = torch.where(torch.arange(N) < 10, 0.0, 3.0).double()
    zigzag = torch.arange(N).double() % 2
    assert rules.total_variation(rows(step, zigzag), ONES).tolist() == pytest.approx([3.0 / (N - 1), 1.0])


@pytest.mark.parametrize(("k", "power"), [(3, 0.0), (7, 0.0), (9, 0.5), (N - 1, 0.5)])
def test_power_counts_what_is_faster_than_the_frequency(k: int, power: float) -> None:
    found = rules.fft_power(rows(24.0 + wave(k)), 8.0 / (2 * N), ONES)
    assert float(found) == pytest.approx(power, abs=1e-12)


def test_depths_below_zero_cost_their_square() -> None:
    x = rows([1.0, -2.0, 0.0, -1.0])
    assert float(rules.non_negativity(x, torch.ones(4))) == pytest.approx(5.0 / 4.0)


def test_a_band_of_a_molecule_whose_other_band_is_missing_is_incoherent() -> None:
    first, second = (torch.exp(-0.5 * ((WAVE - at) / 0.1) ** 2) for at in (2.3, 3.3))
    template = (first + second)[:, None]
    both = 5.0 - WAVE + 2.0 * template[:, 0]
    amplitude, left = rules.fit_templates(rows(both), WAVE, template)
    assert float(amplitude) == pytest.approx(2.0)
    assert float(rules.coherence(rows(both), WAVE, template, ONES)) == pytest.approx(0.0, abs=1e-18)
    columns = np.stack([np.ones(N), WAVE, template[:, 0]], -1)
    alone = 5.0 - WAVE + 2.0 * first
    expected = alone.numpy() - columns @ np.linalg.lstsq(columns, alone.numpy(), rcond=None)[0]
    found = rules.coherence(rows(alone), WAVE, template, ONES)
    assert float(found) == pytest.approx((expected**2).mean())
    assert float(found) > 0.1
    assert left.shape == (1, N)


def test_a_seam_costs_the_square_of_its_step_and_a_slope_nothing() -> None:
    wavelength = torch.cat([WAVE.new_tensor([0.7]), WAVE])
    step = torch.where(torch.arange(N + 1) < 20, 0.0, 1.5).double()
    sloped = rows(4.0 * wavelength, 4.0 * wavelength + step)
    assert rules.seam(sloped, wavelength, 20, 6).tolist() == pytest.approx([0.0, 2.25], abs=1e-12)
    fgs1 = rows(torch.where(torch.arange(N + 1) < 1, 5.0, 3.0))
    assert rules.seam_jump(fgs1, wavelength, 1, 4).tolist() == pytest.approx([-2.0])


@pytest.mark.parametrize(("area", "cost"), [(0.5, 0.25), (1.0, 0.0), (4.0, 0.0), (7.0, 9.0)])
def test_areas_outside_bounds_of_another_cost_the_square_beyond(area: float, cost: float) -> None:
    found = rules.ratio_bounds(torch.tensor([area]), torch.tensor([2.0]), 0.5, 2.0)
    assert float(found) == pytest.approx(cost)
    without = rules.ratio_bounds(torch.tensor([area]), torch.tensor([-3.0]), 0.5, 2.0)
    assert float(without) == pytest.approx(area**2)  # a molecule cannot absorb less than nothing


def test_quantiles_that_fall_cost_their_square() -> None:
    quantiles = torch.tensor([[[1.0, 2.0, 3.0], [1.0, 0.5, 0.25]]])
    assert float(rules.quantile_order(quantiles, torch.ones(2))) == pytest.approx((0.25 + 0.0625) / 2)


def test_sigma_out_of_bounds_costs_the_square_of_its_logarithm() -> None:
    sigma = torch.tensor([[0.1, 1.0, 10.0]]) * torch.tensor([math.e**-1, 1.0, math.e**2])
    assert float(rules.sigma_bounds(sigma, 0.1, 10.0, torch.ones(3))) == pytest.approx(5.0 / 3.0, rel=1e-6)


def test_asymmetry_is_the_square_skewness_of_the_light_lost() -> None:
    bins = 2001
    ramp = torch.linspace(0.0, 1.0, bins, dtype=torch.float64)
    box = ((ramp > 0.3) & (ramp < 0.5)).double()
    found = rules.transit_asymmetry(torch.stack([ramp, box])[..., None].expand(2, bins, 3))
    assert found.tolist() == pytest.approx([(2.0 * math.sqrt(2.0) / 5.0) ** 2, 0.0], abs=1e-3)  # of a right triangle


def test_light_lost_in_another_shape_than_fgs1s_costs_its_square() -> None:
    time = 2.0 * math.pi * torch.arange(64, dtype=torch.float64) / 64
    shape = 1.0 - time.cos()
    other = 0.3 * (2.0 * time).sin()  # orthogonal to it
    transit = torch.stack([shape, 2.0 * shape, 0.5 * shape + other], -1)[None]
    assert float(rules.fgs1_shape(transit, torch.ones(2))) == pytest.approx(0.5 * 0.09 * 0.5)


def test_edges_and_left_out_channels_do_not_count() -> None:
    mask = rules.edge_mask(N, 2, 3)
    assert mask.sum() == N - 5
    assert mask[1] == mask[-3] == 0.0
    x = 24.0 + 0.0 * WAVE
    spoiled = x.clone()
    spoiled[:2], spoiled[-3:] = -9.0, 99.0
    for one in (x, spoiled):
        assert float(rules.smoothness(rows(one), WAVE, mask)) == 0.0
        assert float(rules.total_variation(rows(one), mask)) == 0.0
        assert float(rules.non_negativity(rows(one), mask)) == 0.0
    assert float(rules.non_negativity(rows(x - 26.0), 0.5 * mask)) == pytest.approx(2.0)


# --- rules of a config -----------------------------------------------------------------------------------------------


@pytest.fixture
def example(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "configs/objective.yaml").read_text())


def test_limits_of_the_example_are_kept_by_most_true_spectra(example: dict[str, Any]) -> None:
    for layout in ("2024", "2025"):
        truth = torch.as_tensor(np.stack([planet.spectrum for planet in sample_planets(120, 3, layout)]))
        found = violations(truth, torch.full_like(truth, 5e-5), wavelengths_um(layout).tolist(), example)
        assert set(found.names) == set(RULES) - {"transit_asymmetry", "fgs1_shape"}
        assert float(found.broken.double().mean(0).max()) <= 0.05
        broken = truth.clone()
        broken[:, 100] -= 2.0 * truth[:, 100]
        judged = violations(broken, torch.full_like(truth, 5e-5), wavelengths_um(layout).tolist(), example)
        where = judged.names.index("non_negativity")
        assert judged.broken[:, where].all()
        assert (judged.excess[:, where] > 0.0).all()
        pull = judged.gradient[where].abs()
        assert (pull.argmax(-1) == 100).all()  # and nowhere else
        assert int((pull > 0.0).sum()) == len(truth)


def test_gradient_maps_are_slopes_of_the_charge(example: dict[str, Any]) -> None:
    example["rules"]["coherence"]["mode"] = "soft"
    truth = torch.as_tensor(np.stack([planet.spectrum for planet in sample_planets(2, 3, "2025")]))
    sigma, wavelength = torch.full_like(truth, 5e-5), wavelengths_um("2025").tolist()
    objective = Objective(example, wavelength)
    found = violations(truth, sigma, wavelength, example)
    for name in ("smoothness", "fft_power", "coherence"):
        moved = []
        for step in (-0.05, 0.05):
            at = truth.clone()
            at[:, 77] += step * rules.UNIT
            rule, value = objective.rules.rules[name], objective.measure(Answered(at, sigma), lenient=True)[name]
            moved.append(rule.weight * rule.charge(value, torch.tensor(rule.limit)))
        slope = (moved[1] - moved[0]) / 0.1
        torch.testing.assert_close(found.gradient[found.names.index(name), :, 77], slope, rtol=1e-6, atol=1e-12)


def test_soft_rules_charge_everything_and_hard_ones_what_is_beyond(example: dict[str, Any]) -> None:
    x = rules.UNIT * rows(torch.cat([WAVE.new_tensor([20.0]), 20.0 + torch.arange(N) % 2]))  # total variation 1
    sigma = torch.full_like(x, 5e-5)
    cost = {}
    for mode, limit in (("soft", 0.25), ("hard", 0.25), ("hard", 2.0)):
        given = {"rules": {"total_variation": {"weight": 0.1, "mode": mode, "limit": limit}}}
        cost[mode, limit] = float(Objective(given, FLAT).charge(Answered(x, sigma))[0])
    assert cost == pytest.approx({("soft", 0.25): 0.1, ("hard", 0.25): STEEP * 0.1 * 0.75, ("hard", 2.0): 0.0})


def test_regions_weigh_windows_and_a_rule_may_have_its_own() -> None:
    x = rules.UNIT * rows(torch.full((N + 1,), -1.0))
    windows = {"red": [[3.0, 4.0]], "FGS1": [[0.5, 1.0]]}
    rule: dict[str, Any] = {"weight": 1.0}
    given = {"windows": windows, "regions": {"red": 0.5}, "rules": {"non_negativity": rule}}
    red = int((WAVE >= 3.0).sum())
    for regions, expected in (({}, N + 1 - 0.5 * red), ({"red": 2.0}, N + 1 + red), ({"FGS1": 0.0}, N - 0.5 * red)):
        rule["regions"] = regions
        found = float(Objective(given, FLAT).charge(Answered(x, -x))[0])
        assert found == pytest.approx(expected / (N if "FGS1" in regions else N + 1))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown rule": ({"rules": {"smothness": {}}}, "penalties: rules: expected smoothness, .*found smothness"),
    "no rule": ({"rules": {}}, "penalties: rules: expected some of smoothness"),
    "an unknown entry": ({"rules": {}, "rule": {}}, "penalties: expected edges, .*found rule"),
    "an unknown option": ({"rules": {"seam": {"with": 3}}}, "rules: seam: expected weight, .*found with"),
    "a mode": ({"rules": {"seam": {"mode": "firm"}}}, "seam: mode: expected soft or hard, found 'firm'"),
    "a weight below 0": ({"rules": {"seam": {"weight": -1}}}, "seam: weight: expected a number of 0 or more, found -1"),
    "a seam elsewhere": ({"rules": {"seam": {"index": 99}}}, "index: expected a channel, 1 to 40, found 99"),
    "a region": ({"regions": {"H2O": 1}, "rules": {"seam": {}}}, "regions: expected nothing, found H2O"),
    "a window": ({"windows": {"H2O": [[3, 2]]}, "rules": {"seam": {}}}, r"H2O: expected \[low, high\] in um"),
    "edges": ({"edges": [1], "rules": {"seam": {}}}, r"edges: expected two whole numbers of 0 or more, found \[1\]"),
    "no templates": ({"rules": {"coherence": {}}}, "coherence: expected templates and windows, found none"),
    "ratios": ({"rules": {"area_ratios": {}}}, "ratios: expected a list of {of, to, low, high}, found None"),
    "a molecule": (
        {"templates": {"CH4": [[2, 1]]}, "rules": {"area_ratios": {"ratios": [{"of": "CH4", "to": "H2O"}]}}},
        "ratios: to: expected CH4, found 'H2O'",
    ),
    "a frequency": ({"rules": {"fft_power": {"frequency": 1}}}, "frequency: expected below 0.5 cycles a channel"),
    "sigma": ({"rules": {"sigma_bounds": {"low_ppm": 9, "high_ppm": 1}}}, "expected 0 < low_ppm < high_ppm"),
    "few channels": ({"edges": [20, 20], "rules": {"seam": {}}}, "expected 4 channels or more between the edges"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_rule_is_refused_by_name(name: str) -> None:
    given, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        Objective(given, FLAT)


def test_a_config_refuses_rules_that_it_cannot_have(example: dict[str, Any]) -> None:
    assert ArielConfig(penalties=example).penalties == example
    for changes in ({"penalties": {"rules": {}}}, {"penalties": example | {"reweight": 1.0}, "loss": "score_2024"}):
        with pytest.raises(Exception, match="validation") as error:  # the library's own class of errors
            ArielConfig(**changes)
        assert "penalties: " in str(error.value.__cause__)


def test_rules_on_a_transit_need_one() -> None:
    x = torch.full((2, N + 1), 2e-3, dtype=torch.float64)
    objective = Objective({"rules": {"transit_asymmetry": {}, "fgs1_shape": {}}}, FLAT)
    with pytest.raises(ValueError, match="transit_asymmetry: expected a model that answers a transit, found none"):
        objective.charge(Answered(x, x))
    assert all(value.isnan().all() for value in objective.measure(Answered(x, x), lenient=True).values())
    symmetric = torch.hann_window(50, periodic=False).double()[None, :, None].expand(2, 50, N + 1) * x[:, None]
    cost, _ = objective.charge(Answered(x, x, transit=symmetric))
    torch.testing.assert_close(cost, torch.zeros_like(cost), rtol=0, atol=1e-12)


# --- a model that pays -----------------------------------------------------------------------------------------------


def without_seam(example: dict[str, Any]) -> dict[str, Any]:
    """The example's rules for the few channels of the scenes."""
    found = copy.deepcopy(example)
    found["rules"]["seam"] |= {"width": 2}
    return found


@pytest.mark.parametrize("physics", ["residual", "none"])
def test_a_model_pays_for_what_its_answer_breaks(example: dict[str, Any], physics: str) -> None:
    given = without_seam(example)
    batch = prepared() if physics == "residual" else features()
    labels = prepared()["labels"]
    free, bound = (small_model("transit_cnn", 0.5, physics=physics, penalties=one) for one in (None, given))
    with torch.no_grad():
        one, two = (model(**(batch | {"labels": labels})) for model in (free, bound))
    assert torch.equal(one.mean, two.mean)
    answered = Answered(two.mean, two.sigma)
    cost, counts = Objective(given, WAVELENGTH.tolist()).charge(answered)
    assert float(cost.mean()) > 0.0
    assert float(two.loss) == pytest.approx(float(one.loss) + float(cost.mean()), rel=1e-5)
    assert (counts == 1.0).all()
    score = spectrum_loss(answered, labels, "score_2024", bound.objective)
    assert float(score) == pytest.approx(float(spectrum_loss(answered, labels, "score_2024", None) + cost.mean()))


def test_training_by_a_rule_alone_mends_the_answer() -> None:
    given = {"rules": {"smoothness": {"weight": 1e4}}}
    model = small_model("transit_cnn", 0.5, physics="none", penalties=given, hidden_dropout_prob=0.0).train()
    batch = features() | {"labels": prepared()["labels"]}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rough = []
    for _ in range(40):
        optimizer.zero_grad()
        found = model(**batch)
        found.loss.backward()
        optimizer.step()
        value = violations(found.mean, found.sigma, WAVELENGTH.tolist(), given).value
        rough.append(float(value.mean()))
    assert rough[-1] < 0.2 * rough[0]


def test_planets_that_break_rules_count_more_where_that_is_asked_for() -> None:
    mean = torch.full((PLANETS, CHANNELS), 2e-3)
    mean[0] = -1e-4
    labels, sigma = torch.full_like(mean, 2e-3), torch.full_like(mean, 1e-4)
    given: dict[str, Any] = {"rules": {"non_negativity": {"weight": 0.0}, "total_variation": {"weight": 0.0}}}
    losses = []
    for reweight in (0.0, 1.0):
        objective = Objective(given | {"reweight": reweight}, WAVELENGTH.tolist())
        losses.append(float(spectrum_loss(Answered(mean, sigma), labels, "gaussian", objective)))
        counts = objective.charge(Answered(mean, sigma))[1]
        assert counts.tolist() == pytest.approx([1.0 + 0.5 * reweight, 1.0, 1.0, 1.0])
    plain = spectrum_loss(Answered(mean, sigma), labels, "gaussian", None)
    assert losses[0] == pytest.approx(float(plain))
    first = float(spectrum_loss(Answered(mean[:1], sigma[:1]), labels[:1], "gaussian", None))
    assert losses[1] == pytest.approx(losses[0] + 0.5 * first / PLANETS)


def test_without_rules_nothing_is_computed_for_them() -> None:
    model = spectrum_model()
    assert model.objective is None
    assert model.config.penalties is None
    assert model.config.to_dict()["penalties"] is None


def test_rules_travel_with_a_checkpoint(example: dict[str, Any], tmp_path: Path) -> None:
    model = small_model("transit_cnn", penalties=without_seam(example))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.penalties == without_seam(example)
    assert {path.stem for path in tmp_path.glob("*.py")} >= {"objective", "penalties", "penalty_rules"}
    batch = prepared()
    with torch.no_grad():
        assert float(again.eval()(**batch).loss) == float(model(**batch).loss)
