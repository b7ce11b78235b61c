"""What the report says first, of predictions whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest

from ariel_scripts.options.report import SECTIONS
from ariel_scripts.report.data import Entry, Study
from ariel_scripts.report.page import Section, page
from ariel_scripts.report.rules import Broken, broken_by
from ariel_scripts.report.verdict import planets_to_look_at, verdict
from hf_dataset.simulation.planets import wavelengths_um

WAVELENGTH = wavelengths_um("2025")


def study(planets: int, scale: float = 1.0, band: tuple[float, float] = (0.0, 9.0)) -> Study:
    """Planets whose errors are ``scale`` times what sigma says in a band, a third of their variance in common."""
    rng = np.random.default_rng(4)
    size = (planets, len(WAVELENGTH))
    z = 0.577 * rng.standard_normal((planets, 1)) + 0.816 * rng.standard_normal(size)
    z[:, (band[0] <= WAVELENGTH) & (band[1] > WAVELENGTH)] *= scale
    truth, sigma = 0.01 + 1e-3 * rng.random((planets, 1)) + np.zeros(size), np.full(size, 3e-5)
    entry = Entry("a", "a", truth + 0.2 * sigma * z, 0.2 * sigma)
    return Study("d", "train", WAVELENGTH, 100 + np.arange(planets), np.ones(planets, int), truth,
                 np.full((planets, 7), np.nan), {}, [entry])  # fmt: skip


def smooth(one: Study) -> dict[str, Broken]:
    """No rule is broken."""
    none = np.zeros((len(one.planets), 1), bool)
    return {"a": Broken(["roughness"], none, np.zeros((1, *one.truth.shape), bool), False)}


def sentence(one: Study, shown: tuple[str, ...] = SECTIONS) -> str:
    return "; ".join(piece.text for piece in verdict(one, smooth(one), shown).data["entries"][0]["pieces"])


@pytest.mark.parametrize(
    ("scale", "band", "said"),
    [
        (1.0, (0.0, 9.0), ["90 % intervals hold 9", "of the truths: σ is good", "CH₄ 3.3 µm", " good", "no planet"]),
        (1.5, (0.0, 9.0), ["σ is too narrow by 1.5", "NH₃ 3.0 µm too narrow by 1.5", "CH₄ 3.3 µm too narrow by 1.5"]),
        (1.5, (2.9, 3.1), ["NH₃ 3.0 µm too narrow by 1.5", "CO₂ 2.0 µm"]),
        (0.6, (2.9, 3.1), ["NH₃ 3.0 µm too wide by 1.", "CO₂ 2.0 µm"]),
    ],
)
def test_the_verdict_names_the_bands_whose_errors_were_made_wrong(
    scale: float, band: tuple[float, float], said: list[str]
) -> None:
    text = sentence(study(300, scale, band))
    for part in said:
        assert part in text
    if band[0]:
        assert text.count("µm too narrow by") + text.count("µm too wide by") == 1


@pytest.mark.parametrize("planets", [3, 9])
def test_few_planets_are_said_to_be_too_few(planets: int) -> None:
    text = sentence(study(planets))
    assert "too few to judge σ by" in text
    assert " good" not in text
    assert ("only" in text) == (planets < 5)


def test_what_is_wrong_with_single_planets_is_said_with_its_reason() -> None:
    one = study(40)
    entry = one.entries[0]
    entry.mu[7] += 6 * entry.sigma[7]
    entry.sigma[11] *= 30
    entry.status, entry.notes = ["ok"] * 40, [""] * 40
    entry.status[3], entry.notes[3] = "doubtful", "another dip"
    broken = smooth(one)
    broken["a"].broken[7, 0] = True
    look, of_all = planets_to_look_at(one, entry, broken["a"])
    assert next(iter(look)) == 7
    assert set(look) == {3, 7, 11}
    assert look[7][0].startswith("off by 6.")
    assert look[7][1] == "breaks roughness"
    assert look[3] == ["fit doubtful: another dip"]
    assert look[11][0].startswith("entropy alarm: high, σ 30 times")
    assert of_all == []
    data = verdict(one, broken, SECTIONS).data["entries"][0]
    assert data["pieces"][-1] == ("3 planets to look at", "look-0")
    assert [planet for planet, _ in data["look"]] == [107, 103, 111]


def test_what_most_planets_do_is_said_of_the_model() -> None:
    one = study(40)
    one.entries[0].mu[:30, 60:80:2] += 9 * one.entries[0].sigma[:30, 60:80:2]
    look, of_all = planets_to_look_at(one, one.entries[0], broken_by(one, None)["a"])
    assert ("roughness broken in 30 of 40 planets", "shapes") in of_all
    assert not any("breaks" in why for reasons in look.values() for why in reasons)


def test_links_lead_to_sections_that_are_there_and_to_planets() -> None:
    one = study(40)
    one.entries[0].mu[7] += 6 * one.entries[0].sigma[7]
    section = verdict(one, smooth(one), ("coverage",))
    assert {piece.to for piece in section.data["entries"][0]["pieces"]} <= {"", "coverage", "look-0"}
    text = page("", "", [section, Section("coverage", {"figures": []})], {"ids": []}, {})
    assert 'href="#coverage"' in text
    assert 'id="look-0"' in text
    assert 'href="#planet-107"' in text
