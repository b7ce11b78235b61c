"""The Space in a real browser: choose, look, upload, ask what if, download, share; by keyboard, at night, on a phone.

python -m pytest -m browser tests/space/test_browser.py
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pandas as pd
import pytest
from app import WORKERS
from gradio_client import Client
from PIL import Image
from space_browser import PLOTS, address_says, choose, move, opened, shown, values, visit, wait_for_change
from space_scenes import engine, planet
from space_uploads import bad_files

from engine.telescope_examples import write_example
from engine.transients import simulate
from modeling_ariel.transients.surveys import SURVEYS
from uploads import reading

pytestmark = pytest.mark.browser


# --- choose and look -----------------------------------------------------------------------------------------------


def test_a_planet_is_chosen_and_the_plot_s_data_change(page: Any, address: str) -> None:
    visit(page, address, f"planet={planet()}")
    before = values(page, "spectrum", "model μ")
    found = engine().spectrum(engine().visits(planet()))
    np.testing.assert_allclose(before, found.mean[1:] * 1e6, rtol=1e-9)
    page.wait_for_selector("#spectrum-plot [role=figure][aria-label^=Spectrum]")
    choose(page, "strong drift: 5")  # a note; menus have what the planet is like too
    other = planet("strong drift")
    address_says(page, rf"planet={other}")
    after = wait_for_change(page, "spectrum", "model μ", before)
    np.testing.assert_allclose(after, engine().spectrum(engine().visits(other)).mean[1:] * 1e6, rtol=1e-9)
    assert str(other) in page.inner_text("#status")


def test_unit_and_bins_change_what_is_drawn(page: Any, address: str) -> None:
    visit(page, address, f"planet={planet()}")
    ppm = values(page, "spectrum", "model μ")
    page.click("#unit label:has-text('Rp/Rs')")
    radius = wait_for_change(page, "spectrum", "model μ", ppm)
    np.testing.assert_allclose(radius, np.sqrt(ppm / 1e6), rtol=1e-6)
    move(page, "resolution", 30)
    bins = wait_for_change(page, "spectrum", "model μ", radius)
    assert bins.size == engine().spectrum(engine().visits(planet())).binned(30).mean.size - 1
    address_says(page, "unit=rp_rs.*resolution=30")


def test_every_view_opens_on_its_tab(page: Any, address: str) -> None:
    visit(page, address, f"planet={planet('raw frames')}")
    for name, view in (("Light curves", "light-curves"), ("Why this σ", "why"), ("What if", "what-if")):
        page.get_by_role("tab", name=name).click()
        page.wait_for_selector(f"#{PLOTS[view]} .main-svg")
        address_says(page, f"view={view}")
    page.get_by_role("tab", name="Light curves").click()
    page.wait_for_selector("#detector-plot .main-svg")
    steps = page.locator("#step label")
    assert steps.count() >= 6
    before = page.text_content("#detector-plot .annotation-text >> nth=0")
    steps.nth(3).click()
    page.wait_for_function(
        "before => document.querySelectorAll('#detector-plot .annotation-text')[0]?.textContent !== before", arg=before
    )


def test_the_page_can_be_used_by_keyboard_alone(page: Any, address: str, cards: list[int]) -> None:
    visit(page, address, f"planet={planet()}")
    before = values(page, "spectrum", "model μ")
    page.locator("#planet input").focus()
    focused = "document.activeElement"
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}.dataset.planet") == str(cards[0]):
            break
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    address_says(page, f"planet={cards[1]}")
    wait_for_change(page, "spectrum", "model μ", before)
    assert page.get_attribute(f"[data-planet='{cards[1]}']", "aria-pressed") == "true"
    page.get_by_role("tab", name="Spectrum").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#image-plot .main-svg")
    assert page.evaluate(f"{focused}.textContent").strip() == "Light curves"
    page.keyboard.press("ArrowLeft")
    address_says(page, rf"planet={cards[1]}$")


def test_back_leads_to_the_planet_before_and_to_one_s_own_upload(page: Any, address: str, tmp_path: Path) -> None:
    path = reading.example("npz", tmp_path / "mine.npz")
    visit(page, address, f"planet={planet()}")
    first = values(page, "spectrum", "model μ")
    page.click("#bring")
    page.set_input_files("#upload input[type=file]", path)
    own = wait_for_change(page, "spectrum", "model μ", first)
    address_says(page, "planet=yours")
    choose(page, "strong drift: 5")
    address_says(page, f"planet={planet('strong drift')}")
    page.go_back()
    page.wait_for_function("document.querySelector('#status').innerText.includes('mine')")
    shown(page, "spectrum", "model μ", own)
    page.go_back()
    address_says(page, f"planet={planet()}$")
    wait_for_change(page, "spectrum", "model μ", own)
    assert not page.locator("#trouble").is_visible()


# --- upload --------------------------------------------------------------------------------------------------------


def test_an_upload_is_shown_to_its_user_and_nobody_else(page: Any, browser: Any, address: str, tmp_path: Path) -> None:
    path = reading.example("npz", tmp_path / "night_at_the_observatory.npz")
    expected = engine().spectrum(reading.read_upload(path)).mean[1:] * 1e6
    visit(page, address, f"planet={planet('strong drift')}")
    before = values(page, "spectrum", "model μ")
    page.click("#own button >> nth=0")
    page.set_input_files("#upload input[type=file]", path)
    page.wait_for_function("document.querySelector('#status').innerText.includes('night_at_the_observatory')")
    after = wait_for_change(page, "spectrum", "model μ", before)
    np.testing.assert_allclose(after, expected, rtol=1e-9)
    assert "planet=yours" in page.url
    for other in opened(browser):
        visit(other, address, "planet=yours")
        assert "somebody uploaded" in other.inner_text("#trouble")
        assert not np.allclose(values(other, "spectrum", "model μ"), expected)
    for other in opened(browser):
        visit(other, address, f"planet={planet('noisy')}")
        assert "night_at_the_observatory" not in other.content()
        assert not np.allclose(values(other, "spectrum", "model μ"), expected)


@pytest.mark.parametrize("kind", ["columns", "picture", "pickled", "empty", "zip"])
def test_a_bad_upload_is_refused_in_words_and_the_planet_stays(
    page: Any, address: str, tmp_path: Path, kind: str
) -> None:
    path, message = bad_files(tmp_path)[kind]
    visit(page, address, f"planet={planet()}")
    before = values(page, "spectrum", "model μ")
    page.click("#own button >> nth=0")
    page.set_input_files("#upload input[type=file]", path)
    page.wait_for_selector("#trouble:has-text('was not taken')")
    said = page.inner_text("#trouble")
    assert message in said
    assert str(planet()) in page.inner_text("#status")
    assert str(tmp_path) not in said
    np.testing.assert_array_equal(values(page, "spectrum", "model μ"), before)


# --- transients ----------------------------------------------------------------------------------------------------


def test_a_transient_is_chosen_then_one_of_the_user_s(page: Any, address: str, tmp_path: Path) -> None:
    visit(page, address)
    assert not page.locator("#transient-plot .main-svg").count()
    page.get_by_role("tab", name="Transients").click()
    page.wait_for_selector("#transient-plot .main-svg")
    assert "only ever seen simulated objects" in page.inner_text("#transient-words")
    before = values(page, "transients", "g")
    page.click("#transient input")
    page.fill("#transient input", "sn-ia-2")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    after = wait_for_change(page, "transients", "g", before)
    curve = simulate("sn-ia-2")
    np.testing.assert_allclose(after, curve.flux[curve.wavelength == SURVEYS["lsst"]["g"]], rtol=1e-9)
    address_says(page, "view=transients.*transient=sn-ia-2")
    time = 61_000.0 + np.arange(40.0)
    table = {"object_id": "my own", "band": ["g", "r"] * 20, "time": time, "flux": 50 - (time - 61_020) ** 2 / 10}
    pd.DataFrame({**table, "flux_err": 1.0}).to_csv(tmp_path / "mine.csv", index=False)
    page.click("#own-transient button >> nth=0")
    page.set_input_files("#transient-upload input[type=file]", tmp_path / "mine.csv")
    mine = wait_for_change(page, "transients", "g", after)
    np.testing.assert_allclose(mine, table["flux"][::2], rtol=1e-9)
    assert "my own" in page.inner_text("#transient-status")
    page.click("#survey label:has-text('ZTF')")
    (tmp_path / "bad.csv").write_text("band,time\ng,61000\n" * 9)
    page.locator("#transient-upload button[aria-label='Clear']").click()
    page.set_input_files("#transient-upload input[type=file]", tmp_path / "bad.csv")
    page.wait_for_function("document.querySelector('#transient-status').innerText.includes('was not taken')")


# --- what if, download, share --------------------------------------------------------------------------------------


def test_more_noise_widens_the_band(page: Any, address: str) -> None:
    visit(page, address, f"planet={planet()}&view=what-if", "what-if")
    before = values(page, "what-if", "σ now")
    move(page, "noise", 4)
    after = wait_for_change(page, "what-if", "σ now", before)
    assert np.median(after) > 1.5 * np.median(before)
    np.testing.assert_allclose(values(page, "what-if", "σ as it was"), before)
    assert "wider" in page.inner_text("#what-if-words")
    move(page, "missing-width", 0.4)
    wait_for_change(page, "what-if", "σ now", after)
    np.testing.assert_allclose(values(page, "what-if", "σ before"), after)
    address_says(page, "noise=4.*missing_width=0.4")


def test_the_downloaded_table_is_the_api_s_answer(page: Any, address: str, tmp_path: Path) -> None:
    visit(page, address, f"planet={planet()}&unit=depth&resolution=50")
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(tmp_path / "table.csv")
    assert waiting.value.suggested_filename == f"spectrum-{planet()}.csv"
    answer = Client(address, verbose=False).predict(str(planet()), "depth", 50, api_name="/spectrum")
    found = pd.read_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(found, pd.DataFrame(answer["table"]), check_dtype=False, rtol=1e-12)


TITLE_OF_PICTURE = """() => {
  const draw = Plotly.toImage;
  Plotly.toImage = (figure, size) => { window.titled = figure.layout.title.text; return draw(figure, size); };
}"""


@pytest.mark.parametrize("upload", [False, True], ids=["planet", "upload"])
def test_the_picture_is_a_png_with_planet_verdict_and_address(
    page: Any, address: str, tmp_path: Path, upload: bool
) -> None:
    visit(page, address, f"planet={planet()}")
    if upload:
        page.click("#bring")
        before = values(page, "spectrum", "model μ")
        page.set_input_files("#upload input[type=file]", reading.example("csv", tmp_path / "b>mine&.csv"))
        wait_for_change(page, "spectrum", "model μ", before)
        address_says(page, "planet=yours")
    page.evaluate(TITLE_OF_PICTURE)
    with page.expect_download() as waiting:
        page.click("#png")
    assert waiting.value.suggested_filename == f"spectrum-{'upload' if upload else planet()}.png"
    waiting.value.save_as(tmp_path / "picture.png")
    image = Image.open(tmp_path / "picture.png")
    assert (image.format, image.size) == ("PNG", (2400, 1440))
    top = np.asarray(image.convert("L"), float)[:160, :1200]
    assert (top < 100).any(axis=1).sum() > 40, "lines of text above the figure"
    title = page.evaluate("titled")
    assert page.inner_text("#verdict").split(";")[0] in title
    assert f"{address}/{'' if upload else f'?planet={planet()}'}</span>" in title
    assert ("<b>bmine&amp;</b>" if upload else str(planet())) in title


def test_a_link_opens_the_same_planet_view_and_settings_elsewhere(page: Any, browser: Any, address: str) -> None:
    visit(page, address, f"planet={planet()}&view=what-if&noise=3&missing_width=0.3&missing_from=3.1", "what-if")
    link = page.input_value("#link textarea, #link input")
    assert parse_qs(urlsplit(link).query)["noise"] == ["3"]
    expected = values(page, "what-if", "σ now")
    for other in opened(browser):
        visit(other, link.split("/?")[0], link.split("/?")[1], "what-if")
        np.testing.assert_array_equal(values(other, "what-if", "σ now"), expected)
        assert other.input_value("#noise input[type=number]") == "3"
        assert other.get_by_role("tab", name="What if").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("name", ["77", "![x](http://example.org/a.png)"])
def test_a_link_to_a_planet_that_is_not_there_says_so_and_fetches_nothing(page: Any, address: str, name: str) -> None:
    visit(page, address, urlencode({"planet": name, "unit": "furlong"}))
    assert "found" in page.inner_text("#trouble")
    assert name in page.inner_text("#trouble")
    assert values(page, "spectrum", "model μ").size == 282


# --- answers that arrive late --------------------------------------------------------------------------------------


def test_a_link_s_view_appears_though_every_worker_is_busy_when_it_opens(
    page: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page asks for while it is built waits in the queue; it must not take the place of what the link says."""
    free = threading.Event()
    reliability = engine().reliability()
    monkeypatch.setattr(engine(), "reliability", lambda: free.wait(60) and reliability)
    busy = [Client(address, verbose=False).submit(api_name="/reliability") for _ in range(WORKERS)]
    page.goto(f"{address}/?planet={planet()}&view=what-if")
    page.wait_for_selector("#noise")  # the tab of the link is selected, its answer is waited for
    page.wait_for_timeout(2000)
    free.set()
    for job in busy:
        job.result(60)
    page.wait_for_selector("#what-if-plot .main-svg")
    address_says(page, "view=what-if")


LATE_CLOSE = """
// The stream of answers says "close" later than the server means it, as on a slow line.
const fetch_ = window.fetch;
window.fetch = async (...all) => {
  const answer = await fetch_(...all);
  const url = all[0]?.url || String(all[0]);
  if (!url.includes('/queue/data') || !answer.body) return answer;
  const late = new TransformStream({
    async transform(chunk, controller) {
      const text = new TextDecoder().decode(chunk);
      const place = text.lastIndexOf('data:', text.indexOf('close_stream'));
      if (!text.includes('close_stream')) { controller.enqueue(chunk); return; }
      const encoder = new TextEncoder();
      if (place > 0) controller.enqueue(encoder.encode(text.slice(0, place)));
      await new Promise(done => setTimeout(done, 700));
      controller.enqueue(encoder.encode(text.slice(place)));
    }
  });
  return new Response(answer.body.pipeThrough(late), {headers: answer.headers, status: answer.status});
};
"""


def test_answers_are_shown_though_the_stream_they_come_by_is_closed_late(page: Any, address: str) -> None:
    """Gradio's page may take a stream for open that the server has closed: an answer then waits to be fetched."""
    page.add_init_script(LATE_CLOSE)
    visit(page, address, f"planet={planet()}&view=why", "why")
    for name, view in (("Spectrum", "spectrum"), ("What if", "what-if")):
        page.get_by_role("tab", name=name).click()
        page.wait_for_selector(f"#{PLOTS[view]} .main-svg")
        address_says(page, f"view={view}" if view != "spectrum" else rf"planet={planet()}$")


# --- other telescopes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 390])
def test_light_curves_of_another_telescope_are_fitted_where_they_belong(
    browser: Any, address: str, tmp_path: Path, width: int
) -> None:
    """By the first upload: handed over, why is said, the page's verdict is in its frame, links in it stay in it."""
    for page in opened(browser, width):
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text) if message.type == "error" else None)
        visit(page, address)
        page.click("#own button >> nth=0")
        page.set_input_files("#upload input[type=file]", str(write_example("hubble", tmp_path)))
        frame = page.frame_locator("#telescope-page iframe")
        frame.locator(".about").wait_for()
        assert "The error bars can be believed" in frame.locator(".about").text_content()
        assert "is not what the model of Ariel reads" in page.text_content("#telescope-why")
        assert page.get_by_role("tab", name="Other telescopes").get_attribute("aria-selected") == "true"
        frame.locator("nav a", has_text="Noise").click()  # also before Plotly has come
        frame.locator("#noise .main-svg").first.wait_for()
        assert page.frames[-1].url == "about:srcdoc"
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.get_by_role("button", name="What you know").click()
        page.fill("#telescope-period-value textarea, #telescope-period-value input", "3.2")
        page.click("#telescope-fit")
        frame.get_by_text('"period": 3.2').wait_for(state="attached")
        with page.expect_download() as download:
            page.click("#telescope-csv")
        assert len(pd.read_csv(download.value.path())) == 11
        page.get_by_role("tab", name="Spectrum").click()
        page.wait_for_selector("#spectrum-plot .main-svg")
        assert not said


def test_a_file_that_is_none_gets_a_sentence_in_the_tab_of_telescopes(page: Any, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/?view=telescopes")
    (tmp_path / "letter.csv").write_text("dear,telescope\nhow,are you\n")
    page.wait_for_selector("#telescope-hubble")
    page.set_input_files("#telescope-upload input[type=file]", str(tmp_path / "letter.csv"))
    page.wait_for_function("document.querySelector('#telescope-words').textContent.includes('There is no fit')")
    assert page.locator("#telescope-page iframe").count() == 0
