"""Rules by kind of planet, told from the star table and the fit, and weights of rules that are learned."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from architecture_scenes import small_model
from spectrum_scenes import WITHOUT_TABLE, features, prepared

from hf_dataset.simulation.planets import sample_planets, wavelengths_um
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.objective import Answered, Objective, violations
from modeling_ariel.penalties import UNIT
from modeling_ariel.planet_kinds import planet_facts
from modeling_ariel.rule_scales import MOST, RuleScales
from modeling_ariel.transit_cnn import TransitCnn

WAVELENGTH = [0.7, *np.linspace(1.95, 3.9, 9)]
HD_209458 = {"Rs": 1.155, "Ms": 1.119, "Ts": 6065.0, "Mp": 0.685, "e": 0.0, "P": 3.5247, "sma": 8.76, "i": 86.71}


def star(*tables: dict[str, float]) -> torch.Tensor:
    return torch.tensor([[table.get(name, math.nan) for name in STAR_COLUMNS] for table in tables])


def zigzag(*variation: float) -> torch.Tensor:
    """Spectra whose total variation is known [100 ppm]."""
    return UNIT * (50.0 + torch.tensor(variation, dtype=torch.float64)[:, None] * (torch.arange(10) % 2))


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_a_known_planet_has_the_temperature_and_the_scale_height_of_the_literature() -> None:
    depth = torch.full((2, 10), 0.0146)
    depth[:, 1::2] += 2e-4
    facts = planet_facts(star(HD_209458, {}), depth)
    assert float(facts["temperature"][0]) == pytest.approx(1449.0, rel=0.01)  # Torres et al. 2008, ApJ 677, 1324
    assert float(facts["features_ppm"][0]) == pytest.approx(1e6 * float(depth[0, 1:].std()), rel=1e-3)
    one = 1e-6 * facts["features_ppm"][0] / facts["scale_heights"][0]
    height = 8.314 * 1449.0 / (2.3e-3 * 9.18)  # RT/(mu g) [m], g [m/s2] of the same paper
    assert float(one) == pytest.approx(2.0 * (1.359 * 7.149e7) * height / (1.155 * 6.957e8) ** 2, rel=0.1)
    assert all(math.isnan(facts[name][1]) for name in ("temperature", "scale_heights"))
    assert all(math.isnan(planet_facts(star(HD_209458), None)[name]) for name in ("features_ppm", "scale_heights"))


def test_a_profile_is_for_planets_whose_numbers_are_known_and_in_range() -> None:
    rule = {"weight": 0.5, "mode": "hard", "limit": 1.0}
    profiles = {
        "hot": {"when": {"temperature": [1500, None]}, "rules": {"total_variation": {"weight": 2.0}}},
        "large": {
            "when": {"temperature": [1000, 3000], "features_ppm": [None, 100]},
            "rules": {"total_variation": {"weight": 3.0, "limit": 0.5}},
        },
    }
    objective = Objective({"rules": {"total_variation": rule}, "profiles": profiles}, WAVELENGTH)
    temperature = torch.tensor([1500.0, 1499.0, 3000.0, math.nan, 1600.0])
    facts = {"temperature": temperature, "features_ppm": torch.tensor([100.0, 50.0, 50.0, 50.0, 50.0])}
    x = zigzag(2.0, 2.0, 2.0, 2.0, 2.0)
    answered = Answered(x, x, facts=facts)
    weight, limit = objective.terms(answered)
    assert weight[0].tolist() == [1.0, 1.5, 1.0, 0.5, 3.0]
    assert limit[0].tolist() == [1.0, 0.5, 1.0, 1.0, 0.5]
    expected = 10.0 * weight[0] * (2.0 - limit[0])
    torch.testing.assert_close(objective.charge(answered)[0], expected)
    alike = objective.charge(Answered(x, x))[0]
    torch.testing.assert_close(alike, torch.full_like(alike, 5.0))


def test_limits_of_the_example_are_kept_by_true_spectra_of_every_kind(repository: Path) -> None:
    example = yaml.safe_load((repository / "configs/objective.yaml").read_text())
    planets = sample_planets(300, 3, "2025")
    truth = torch.as_tensor(np.stack([planet.spectrum for planet in planets])).double()
    facts = planet_facts(star(*(planet.star_table() for planet in planets)), truth)
    found = violations(truth, torch.full_like(truth, 5e-5), wavelengths_um("2025").tolist(), example, facts)
    profiles = Objective(example, wavelengths_um("2025").tolist()).rules.profiles
    for name in ("hot", "cloudy", "clear"):
        kind = profiles[name].holds(facts)
        assert int(kind.sum()) >= 30, name
        assert float(found.broken[kind].double().mean(0).max()) <= 0.04, name
    assert len({tuple(row) for row in found.limit.tolist()}) >= 4


def test_a_model_tells_kinds_from_the_table_it_is_given_and_from_no_label() -> None:
    profiles = {"known": {"when": {"temperature": [0, None]}, "rules": {"smoothness": {"weight": 0.0}}}}
    given = {"rules": {"smoothness": {"weight": 1.0}}, "profiles": profiles}
    model = small_model("transit_cnn", 0.5, penalties=given)
    free = small_model("transit_cnn", 0.5)
    batch = prepared()
    table = features()["star"]
    with torch.no_grad():
        seen, without, one = model(**batch, star=table), model(**batch), free(**batch)
    cost = Objective({"rules": {"smoothness": {}}}, model.config.wavelength).charge(Answered(one.mean, one.sigma))[0]
    assert float(without.loss - one.loss) == pytest.approx(float(cost.mean()), rel=1e-4)
    share = float(cost[WITHOUT_TABLE] / len(cost))
    assert float(seen.loss - one.loss) == pytest.approx(share, rel=1e-4)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no fact": ({"hot": {"rules": {}}}, "hot: when: expected some of temperature, features_ppm, scale_heights"),
    "another fact": ({"hot": {"when": {"spectrum": [0, 1]}}}, "hot: when: expected temperature, .*found spectrum"),
    "a range": (
        {"hot": {"when": {"temperature": [2, 1]}}},
        r"hot: when: temperature: expected \[from, to\), found \[2, 1\]",
    ),
    "a rule": (
        {"hot": {"when": {"temperature": [1, 2]}, "rules": {"seam": {}}}},
        "hot: rules: expected smoothness, found seam",
    ),
    "a factor": (
        {"hot": {"when": {"temperature": [1, 2]}, "rules": {"smoothness": {"mode": "hard"}}}},
        "hot: rules: smoothness: expected weight, limit, found mode",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_profile_is_refused_by_name(name: str) -> None:
    profiles, message = BAD[name]
    with pytest.raises(ValueError, match=f"penalties: profiles: {message}"):
        Objective({"rules": {"smoothness": {}}, "profiles": profiles}, WAVELENGTH)
    with pytest.raises(ValueError, match="learned: expected true or false, found 1"):
        Objective({"rules": {"smoothness": {}}, "learned": 1}, WAVELENGTH)


# --- learned weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variation", "size"), [(4.0, 2.0), (0.5, 0.25), (0.0, 1.0 / MOST), (60.0, MOST)])
def test_learned_weights_go_to_the_size_of_what_is_charged_and_never_far(variation: float, size: float) -> None:
    objective = Objective({"rules": {"total_variation": {"weight": 0.1, "limit": 2.0}}}, WAVELENGTH)
    scales, x = RuleScales(["total_variation"]), zigzag(variation)
    charge, fixed = (objective.charge(Answered(x, x), *sizes)[0] for sizes in ((scales.log_sizes(),), ()))
    torch.testing.assert_close(charge.detach(), fixed)  # at the start
    optimizer = torch.optim.Adam(scales.parameters(), lr=0.1, betas=(0.9, 0.9))
    for _ in range(300):
        optimizer.zero_grad()
        loss = objective.charge(Answered(x, x), scales.log_sizes())[0].sum()
        loss.backward()
        optimizer.step()
    found = scales.log_sizes().detach().exp()
    assert float(found) == pytest.approx(size, rel=0.02)
    expected = 0.1 * (variation / float(found) + 2.0 * math.log(float(found)))
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-3, rel=1e-2)


def test_weights_are_learned_with_the_model_and_kept_in_it(tmp_path: Path) -> None:
    given = {"learned": True, "rules": {"smoothness": {"limit": 1.0}, "sigma_bounds": {"mode": "hard"}}}
    model = small_model("transit_cnn", 0.5, penalties=given)
    model(**prepared()).loss.backward()
    assert all(size.grad is not None and float(size.grad) != 0.0 for size in model.rule_scales.values())
    with torch.no_grad():
        model.rule_scales["smoothness"].fill_(0.7)
    model.save_pretrained(tmp_path)
    again = TransitCnn.from_pretrained(tmp_path)
    sizes = dict(zip(again.objective.rules.rules, again.rule_scales.log_sizes().tolist(), strict=True))
    assert sizes == pytest.approx({"smoothness": math.log(MOST) * math.tanh(0.7 / math.log(MOST)), "sigma_bounds": 0.0})
    small_model("transit_cnn", penalties=given | {"learned": False}).save_pretrained(tmp_path / "fixed")
    fresh = TransitCnn.from_pretrained(tmp_path / "fixed", penalties=given)
    assert fresh.rule_scales.log_sizes().tolist() == [0.0, 0.0]
