"""The games' numbers: what is expected of more transits, planets to be guessed, and no truth before the guess."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import cholesky
from space_scenes import engine, planet

from engine import guess, sample
from engine.forecast import COUNTS
from engine.guess import COMMON, SHOWS, draw
from engine.memo import Memo
from engine.verdict import HINTED, STANDS_OUT, molecules, standing_out
from hf_dataset.simulation import light_curves
from hf_dataset.simulation.opacities import SPECIES, log_cross_sections
from page.games import NOTHING, Games, Vote, of_forecast, of_reveal, score
from page.links import Settings
from page.theme import LIGHT

FAINT = "2.5–2.9 µm missing"  # a planet whose methane one transit shows by 4 σ


# --- more transits ---------------------------------------------------------------------------------------------------


def test_sigma_grows_with_the_root_of_the_transits_and_a_floor_holds_it_back() -> None:
    found = engine().forecast(engine().visits(planet(FAINT)), "CH4")
    np.testing.assert_allclose(found.expected / np.sqrt(COUNTS), found.expected[0], rtol=0.1)
    assert (found.floored < found.expected).all()
    assert found.floored[-1] < 0.7 * found.expected[-1]
    assert (np.diff(found.floored) > 0).all()
    assert found.observed == engine().verdict(engine().visits(planet(FAINT))).molecules["CH4"]
    assert abs(found.observed - found.expected[0]) < 3.0


def test_the_visits_that_there_are_have_the_covariance_that_was_found() -> None:
    """Of two visits: their own covariance, whatever the forecast made of it; the truth in place of the depths."""
    rows = engine().visits(planet("two visits"))
    found, spectrum = engine().forecast(rows, "CH4"), engine().spectrum(rows)
    airs = spectrum.wavelength_um > 1.0
    temperature = np.array([spectrum.star["Ts"] / np.sqrt(2.0 * spectrum.star["sma"])])
    opacity = log_cross_sections(spectrum.wavelength_um, temperature)[0][:, airs]
    factor = cholesky(spectrum.fit_covariance[np.ix_(airs, airs)], lower=True)
    assert spectrum.truth is not None
    expected = standing_out(spectrum.truth[airs], factor, opacity - opacity.max(1, keepdims=True), noiseless=True)[
        "CH4"
    ]
    assert found.at(2) == pytest.approx(expected, rel=0.02)


def test_noise_in_the_depths_scatters_sigma_about_the_expected_by_the_spread() -> None:
    """Other draws of the same errors; of faint molecules another may take the place, so the spread exceeds 1."""
    rows = engine().visits(planet(FAINT))
    found, spectrum = engine().forecast(rows, "CH4"), engine().spectrum(rows)
    assert spectrum.truth is not None
    root, rng = cholesky(spectrum.fit_covariance / 2), np.random.default_rng(4)
    drawn = [
        molecules(replace(spectrum, fit_depth=spectrum.truth + rng.standard_normal(283) @ root,
                          fit_covariance=spectrum.fit_covariance / 2))["CH4"]
        for _ in range(30)
    ]  # fmt: skip
    assert np.mean(drawn) == pytest.approx(found.at(2), abs=0.8)
    assert 1.0 <= found.spread < 2.0
    assert np.sqrt(np.mean((np.array(drawn) - found.at(2)) ** 2)) == pytest.approx(found.spread, rel=0.35)
    assert np.mean([one >= STANDS_OUT for one in drawn]) == pytest.approx(found.chance(2), abs=0.2)


@pytest.mark.slow
def test_simulated_transits_show_what_is_expected_of_them() -> None:
    """Whole simulations, fitted: other noise, jitter and drift in each of eight single transits, and in two fours."""
    case = sample.cases()[planet("strong drift")]
    found = engine().forecast(engine().visits(planet("strong drift")), "CH4")
    for transits, sets in ((1, 8), (4, 2)):
        sizes = []
        for start in range(sets):
            rows = [
                light_curves.simulate_row(case.planet, 100 + transits * start + visit, 375, 1)
                for visit in range(transits)
            ]
            sizes.append(engine().verdict(rows).molecules["CH4"])
        assert np.mean(sizes) == pytest.approx(found.at(transits), abs=2.5 / np.sqrt(sets))


@pytest.mark.parametrize(
    ("expected", "answer"), [(9.0, "Very likely"), (4.2, "Perhaps"), (0.2, "Hardly")], ids=["sure", "even", "hopeless"]
)
def test_the_answer_is_one_sentence_by_the_chance(expected: float, answer: str) -> None:
    found = engine().forecast(engine().visits(planet(FAINT)), "CH4")
    found = replace(found, transits=np.array([1.0, 20.0]), expected=np.full(2, expected), floored=np.ones(2))
    text = of_forecast(found, 3)
    assert f"Would 3 more transits find the methane? {answer}" in text
    assert "in 4 transits" in text
    assert "floor" in text
    assert ("Not even 20 are expected to reach 4 σ" in text) == (expected < STANDS_OUT)
    assert "In the one transit observed" in text
    assert "Would one more transit find" in of_forecast(found, 1)


def test_what_has_no_transit_or_is_no_molecule_is_refused() -> None:
    row = dict(engine().visits(planet())[0])
    flat = np.random.default_rng(0).normal(1.0, 1e-3, row["flux"].shape)
    row |= {"planet_id": None, "flux": flat, "flux_err": np.full(flat.shape, 1e-3), "valid": np.ones(flat.shape, bool)}
    words, figure = Games(engine()).forecast_view([row], Settings(), LIGHT)
    assert "expected a fitted transit" in words
    assert figure is None
    with pytest.raises(ValueError, match="molecule: expected one of H2O"):
        engine().forecast(engine().visits(planet(FAINT)), "XYZ")


def test_an_upload_s_forecast_goes_by_the_model_s_spectrum() -> None:
    rows = [
        {name: value for name, value in row.items() if name != "spectrum"} for row in engine().visits(planet(FAINT))
    ]
    found = engine().forecast(rows, "CH4")
    assert not found.truthful
    assert "the prior may have smoothed" in of_forecast(found, 1)
    assert found.expected[0] > 1.0


# --- guess the molecule ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def games() -> Games:
    return Games(engine())


def test_a_series_opens_the_same_planets_for_everybody_and_another_series_others() -> None:
    first, again, other = draw(3, 4), draw(3, 4), draw(4, 4)
    np.testing.assert_array_equal(first.planet.spectrum, again.planet.spectrum)
    assert first.present == again.present
    assert first.planet.planet_id != other.planet.planet_id
    assert first.planet.planet_id not in sample.cases()


def test_what_is_in_the_air_shows_and_what_is_left_out_is_not_in_it() -> None:
    """Over forty rounds: without a molecule the true spectrum lies below, by its bands; sometimes nothing shows."""
    shown = []
    for series, number in ((series, number) for series in range(1, 5) for number in range(1, 11)):
        found = draw(series, number)
        wanted = []
        for name in found.present:
            lost = (found.planet.spectrum - found.without[name])[1:]
            assert lost.min() > -1e-9
            size = np.sqrt(((lost - lost.mean()) ** 2).sum()) / guess.NOISE
            wanted += [name] * bool(size > SHOWS)
        shown.append(tuple(wanted))
    counts = [len(one) for one in shown]
    assert 0 < counts.count(0) <= 12
    assert min(counts.count(1), counts.count(2)) >= 8
    assert {name for one in shown for name in one} >= set(COMMON)


@pytest.mark.parametrize("truth", ["as it is", "another"])
def test_before_the_guess_nothing_that_is_sent_depends_on_the_truth(truth: str) -> None:
    """A round that says of its truth something else gives the same bytes, though its light is the same."""
    games = Games(engine())
    settings = Settings(view="guess", series=7, round=3)
    before = games.guess_view(settings, {}, LIGHT)
    found = games.round(7, 3)
    (row,) = guess.observe(found)
    assert "spectrum" not in row
    assert row["planet_id"] is None
    if truth == "another":
        games._rounds = Memo(4)
        games._rounds.get((7, 3), lambda: replace(found, present=("NH3",), without={}))
    after = games.guess_view(settings, {}, LIGHT)
    assert before[0].plot == after[0].plot
    assert before[1] == after[1]
    sent = json.loads(before[0].plot)
    assert not any("truth" in str(trace.get("name")) or "adds" in str(trace.get("name")) for trace in sent["data"])
    numbers = [np.asarray(trace["y"]) for trace in sent["data"] if isinstance(trace.get("y"), list)]
    assert not any(
        len(one) == 282 and np.allclose(one.astype(float), found.planet.spectrum[1:] * 1e6) for one in numbers
    )
    assert str(found.planet.planet_id) not in before[0].plot + before[1]


def test_after_the_guess_there_is_the_truth_what_each_molecule_adds_and_a_score(games: Games) -> None:
    settings, found = Settings(view="guess", series=7, round=3), games.round(7, 3)
    votes = games.vote(["CH4"], 7, 3, None)
    figure, words, picks, button, said = games.guess_view(settings, votes, LIGHT)
    names = [trace.get("name") for trace in json.loads(figure.plot)["data"]]
    assert "truth" in names
    told = games.reveal(7, 3, ["CH4"])
    assert [name for name in names if "adds" in name] == [
        f"{name[:2]}<sub>{name[2]}</sub> adds" for name in found.present if told.shows[name] >= HINTED
    ]
    assert words.startswith("**Right" if told.right else "**Not quite")
    assert not button._constructor_args[0]["interactive"]
    assert picks._constructor_args[0]["value"] == ["CH4"]
    assert "of 1**" in said
    assert games.vote([NOTHING], 7, 3, votes) is votes, "the first guess counts"


@pytest.mark.parametrize(
    ("shows", "picks", "right"),
    [
        ({"CH4": 8.0}, ("CH4",), True),
        ({"CH4": 8.0}, (), False),
        ({"CH4": 8.0}, ("CH4", "CO"), False),
        ({"CH4": 8.0, "H2O": 3.0}, ("CH4",), True),
        ({"CH4": 8.0, "H2O": 3.0}, ("CH4", "H2O"), True),
        ({"CH4": 1.0}, (), True),
        ({"CH4": 1.0}, ("CH4",), False),
    ],
    ids=["found", "missed", "one too many", "faint left out", "faint named", "nothing there", "invented"],
)
def test_a_guess_is_right_by_what_is_expected_to_stand_out(
    games: Games, shows: dict[str, float], picks: tuple[str, ...], right: bool
) -> None:
    told = games.reveal(7, 3, ["CH4"])
    told = replace(told, shows=dict.fromkeys(SPECIES, 0.0) | shows, picks=picks)
    assert told.right == right
    assert of_reveal(told).startswith("**Right" if right else "**Not quite")


def test_a_round_in_which_nothing_was_found_is_told_too(games: Games) -> None:
    told = games.reveal(7, 3, [])
    told = replace(told, shows=dict.fromkeys(SPECIES, 0.0), verdict=replace(told.verdict, molecules={}))
    text = of_reveal(told)
    assert text.startswith("**Right.** You guessed none. In its air no molecule can be seen")
    assert "The verdict of the light curves: none; right." in text


def test_the_verdict_is_mostly_right(games: Games) -> None:
    told = [games.reveal(11, number, []) for number in range(1, 4)]
    assert sum(one.verdict_right for one in told) >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 1), "found nothing ticked"),
        ((["CH4", NOTHING], 1, 1), "found both"),
        ((["CH4"], 1, 11), "round: expected 1 to 10, found 11"),
        ((["CH4"], 10_000, 1), "series: expected 1 to 9999, found 10000"),
        ((["XYZ"], 1, 1), "picks: expected some of H2O"),
    ],
    ids=["nothing", "both", "round", "series", "molecule"],
)
def test_what_is_no_guess_is_said(games: Games, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        games.vote(*arguments, None)


def test_the_score_counts_both() -> None:
    votes = {(1, 1): Vote(("CH4",), True, True), (1, 2): Vote((), False, True)}
    assert score(votes) == "**Score: 1 of 2**; the verdict of the light curves: 2 of 2."
    assert score({}) == "No guess yet."
