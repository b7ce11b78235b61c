"""The page about predicted transients: mistakes first, what weighed, candidates where nothing is labelled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosting_scenes import FAST, QUICK, objects
from chromium import ARGUMENTS, CHROMIUM
from transient_light import PEAK, disruption
from transient_scenes import dataset, rows

from ariel_scripts.options.transients.report import ReportOptions
from ariel_scripts.report.transients.objects import Shown, light_figure
from ariel_scripts.report.transients.writer import write_report
from ariel_scripts.run_record import Run
from ariel_scripts.transients.boosters import SUFFIXES, train_booster
from ariel_scripts.transients.search import train_search
from modeling_ariel.transients.observed import BANDS
from modeling_ariel.transients.smooth import smooth_all

WRONG = {"SN 1": 0.95, "TDE 2": 0.02}  # a false positive and a miss


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of three objects a class, one split without targets, and predictions with a mistake of each kind."""
    folder = tmp_path_factory.mktemp("transients")
    data = dataset(folder / "data", 3, 1)
    names = [one["object_id"] for one in rows(3)[0]]
    own = {name: WRONG.get(name, 0.9 if name.startswith("TDE") else 0.1) for name in names}
    assert WRONG.keys() <= own.keys()
    text = "".join(f"{name},{value}\n" for name, value in own.items())
    (folder / "p.csv").write_text(f"object_id,probability\n{text}")
    return data, folder / "p.csv"


def page(data: Path, predictions: Path, out: Path, **options: Any) -> str:
    """The page's text."""
    write_report(ReportOptions(predictions, str(data), out, threshold=0.5, **options), Run("report", {}))
    return out.read_text()


def names_of_wrong() -> list[str]:
    """The two mistakes' objects."""
    return [one["object_id"] for one in rows(3)[0] if one["object_id"] in WRONG]


# --- what weighed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", SUFFIXES)
def test_shares_of_features_add_up_to_the_log_odds(library: str) -> None:
    pytest.importorskip(library)
    train, test = objects(300), objects(100, seed=1)
    booster = train_booster(*train.rows, replace(FAST, library=library), 0)
    shares = booster.contributions(test.judged)
    np.testing.assert_allclose(shares.sum(1), booster.odds(test.judged), atol=1e-4)
    assert np.abs(shares[:, :-1]).mean(0).argmax() == 2  # the feature that tells the class


def test_shares_of_a_search_differ_as_its_calibrated_log_odds_do() -> None:
    own = objects()
    search = train_search(own, QUICK)[0]
    shares = search.contributions(own.judged, own.features).sum(1)
    probability = search.calibration(search.odds(own.judged, own.features))
    odds = np.log(probability / (1 - probability))
    np.testing.assert_allclose(shares - shares.mean(), odds - odds.mean(), atol=1e-4)


# --- figures -------------------------------------------------------------------------------------------------------


def test_an_object_is_drawn_in_days_since_its_peak_with_the_colour_of_its_black_body() -> None:
    observed = disruption(20_000.0, 0.1)
    figure = light_figure(Shown(observed, smooth_all([observed])[0], 0.9, "TDE", "A miss."))
    drawn = figure.variants[""]["data"]
    assert {one["name"] for one in drawn if one.get("mode") == "markers"} == set(BANDS)
    assert {one["name"] for one in drawn if one.get("yaxis") == "y2" and one["mode"] == "lines"} == {"g−r", "r−i"}
    assert "TDE · probability 0.90 · z 0.10" in figure.title
    assert abs(float(figure.caption.partition("MJD ")[2].partition(",")[0]) - PEAK) < 5
    value = float(figure.caption.partition("g−r there ")[2].partition(" ")[0].replace("−", "-"))
    assert value == pytest.approx(-0.22, abs=0.08)  # of 20,000 K at z 0.1 in AB magnitudes


# --- the page ------------------------------------------------------------------------------------------------------


def test_mistakes_come_first_below_the_verdict(written: tuple[Path, Path], tmp_path: Path) -> None:
    text = page(*written, tmp_path / "r.html")
    wrong = names_of_wrong()
    places = [text.index(one) for one in ("tidal disruption events are found", 'id="mistakes"', 'id="scores"')]
    assert places == sorted(places)
    drawn = [name for name in wrong if f"<strong>{name} ·" in text]
    assert drawn == wrong
    assert all(f'id="{key}"' in text for key in ("types", "probabilities"))


def test_without_targets_the_most_probable_are_shown(written: tuple[Path, Path], tmp_path: Path) -> None:
    names = [one["object_id"] for one in rows(1, 10_000)[0]]
    (tmp_path / "p.csv").write_text("object_id,probability\n" + "".join(f"{name},0.7\n" for name in names))
    text = page(written[0], tmp_path / "p.csv", tmp_path / "r.html", split="test", mistakes=1)
    assert "without a target" in text
    assert 'id="candidates"' in text
    assert 'id="scores"' not in text


def test_what_does_not_fit_is_said(written: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--object nobody: expected one of the predicted objects"):
        page(*written, tmp_path / "r.html", objects=["nobody"])
    with pytest.raises(ValueError, match="--model: expected --features"):
        page(*written, tmp_path / "r.html", model=tmp_path)


@pytest.mark.browser
def test_the_page_draws_every_figure_on_a_phone(written: tuple[Path, Path], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    page(*written, tmp_path / "r.html")
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.on("pageerror", lambda error: errors.append(str(error)))
        phone.goto((tmp_path / "r.html").as_uri())
        plots = phone.locator(".plot")
        for place in range(plots.count()):
            plots.nth(place).scroll_into_view_if_needed()
            plots.nth(place).locator("svg.main-svg").first.wait_for()
        assert plots.count() == 5
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert json.dumps(errors) == "[]"
