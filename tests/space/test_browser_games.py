"""The games and the what-if of the Space in a real browser: played by mouse and keyboard, linked, told nothing early.

python -m pytest -m browser tests/space/test_browser_games.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from space_browser import address_says, move, opened, values, visit, wait_for_change
from space_scenes import engine, planet

from page.games import Games

pytestmark = pytest.mark.browser

NAMES = "id => (document.querySelector(`#${id} .js-plotly-plot`)?._fullData || []).map(one => one.name || '')"
GUESS = "view=guess&series=7&round=3"


def test_a_molecule_is_guessed_by_keyboard_and_then_the_truth_is_told(page: Any, address: str) -> None:
    sent: list[str] = []
    page.on("response", lambda response: sent.append(response.url))
    visit(page, address, GUESS, "guess")
    assert "truth" not in page.evaluate(NAMES, "guess-plot")
    assert not page.locator("#cards").is_visible()
    assert not page.locator("#verdict").is_visible()
    page.wait_for_selector("#guess-plot [role=figure][aria-label^=Spectrum]")
    assert "No guess yet" in page.inner_text("#score")
    page.locator("#picks input").nth(2).focus()
    page.keyboard.press("Space")
    page.locator("#guess").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"({NAMES})('guess-plot').includes('truth')")
    told = Games(engine()).reveal(7, 3, ["CH4"])
    np.testing.assert_allclose(values(page, "guess", "truth"), told.round.planet.spectrum[1:] * 1e6, rtol=1e-6)
    page.wait_for_selector(f"#guess-words:has-text('{'Right' if told.right else 'Not quite'}')")
    page.wait_for_selector("#score:has-text('of 1')")
    assert page.locator("#guess").is_disabled()
    address_says(page, "series=7&round=3")
    assert "CH4" not in page.url
    page.click("#next-round")
    address_says(page, "series=7&round=4")
    page.wait_for_function(f"!({NAMES})('guess-plot').includes('truth')")
    assert not page.locator("#picks input:checked").count()
    assert "of 1" in page.inner_text("#score")
    page.click("#guess")
    page.wait_for_selector("text=found nothing ticked")


def test_a_teacher_s_link_opens_the_same_planet_unanswered(page: Any, browser: Any, address: str) -> None:
    visit(page, address, GUESS, "guess")
    expected, link = values(page, "guess", "model μ"), page.input_value("#link textarea, #link input")
    for other in opened(browser, 390):
        visit(other, link.split("/?")[0], link.split("/?")[1], "guess")
        np.testing.assert_array_equal(values(other, "guess", "model μ"), expected)
        assert other.locator("#series input").input_value() == "7"
        assert other.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_series_is_typed_whole_and_any_number_is_answered(page: Any, address: str) -> None:
    """An empty field in between counts for nothing, and what is out of range is the nearest there is."""
    visit(page, address, "view=guess", "guess")
    field = page.locator("#series input")
    for typed, shown in (("25", 25), ("0", 1), ("12345", 9999)):
        field.click()
        for _ in range(5):
            page.keyboard.press("Backspace")
        page.wait_for_timeout(500)
        page.keyboard.type(typed, delay=200)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#guess-words:has-text('Round 1 of series {shown}.')")
        assert field.input_value() == str(shown)
    page.click("#picks label:has-text('water')")
    field.click()
    page.click("#round input")  # leaving a field unchanged changes nothing
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#guess-words:has-text('Round 2 of series 9999.')")
    assert not page.locator("#picks input:checked").count()
    page.go_back()
    page.wait_for_timeout(1000)
    assert not page.locator("text=Error").count()


def test_more_transits_answer_in_a_sentence_and_by_link(page: Any, address: str) -> None:
    visit(page, address, f"planet={planet('strong drift')}&view=more-transits&more=2", "more-transits")
    before = values(page, "more-transits", "expected σ")
    assert len(before) == 20
    page.wait_for_selector("#more-plot [role=figure][aria-label^=Expected]")
    assert "Would 2 more transits find the methane?" in page.inner_text("#more-words")
    move(page, "more", 9)
    page.wait_for_selector("#more-words:has-text('Would 9 more transits find the methane?')")
    page.click("#molecule label:has-text('water')")
    wait_for_change(page, "more-transits", "expected σ", before)
    address_says(page, "view=more-transits&molecule=H2O&more=9")
    assert "Would 9 more transits find the water?" in page.inner_text("#more-words")


@pytest.mark.parametrize("width", [1280, 390])
def test_what_if_s_readout_is_seen_with_its_sliders(browser: Any, address: str, width: int) -> None:
    """Beside them on a desktop; on a phone between them and the figure. Spectrum and verdict before and after."""
    for page in opened(browser, width):
        visit(page, address, f"planet={planet()}&view=what-if&noise=3", "what-if")
        words, figure, slider = (
            page.locator(f"#{one}").bounding_box() for one in ("what-if-words", "what-if-plot", "noise")
        )
        assert words["y"] < figure["y"]
        if width > 640:
            assert words["x"] > slider["x"] + slider["width"]
            assert figure["x"] > slider["x"] + slider["width"]
            assert figure["y"] < 400
        else:
            assert slider["y"] < words["y"]
        said = page.inner_text("#what-if-words")
        assert "→" in said
        assert said.index("before") < said.index("now")
        assert said.count("trust ±") == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
