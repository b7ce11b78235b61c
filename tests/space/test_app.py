"""The Space's API and events: the engine's numbers, messages for what is refused, nothing of one user for another."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from space_scenes import engine, planet, sample_folder
from space_server import serving
from space_uploads import bad_files

from ariel_scripts.publishing import space_release
from engine import what_if
from engine.inference import Ranked
from engine.verdict import Verdict
from page.answers import errors_shown
from page.endpoints import plain
from page.handlers import SIZES, Handlers, Subject
from page.head import HEAD
from page.links import LIMITS, VIEWS, YOURS, Settings, from_query, to_query
from uploads import reading

ENDPOINTS = {"/planets", "/spectrum", "/light_curves", "/why", "/what_if", "/reliability", "/upload"}
ENDPOINTS |= {"/more_transits", "/guess", "/reveal"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(engine()) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def handlers() -> Handlers:
    return Handlers(engine())


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Light curves of a user."""
    return reading.example("npz", tmp_path / "mine.npz")


def table(answer: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(answer["table"])


def same(found: dict[str, Any], expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table(found), expected, check_dtype=False, rtol=0, atol=0)


# --- the API -------------------------------------------------------------------------------------------------------


def test_only_the_documented_endpoints_are_named(client: Client, repository: Path) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == ENDPOINTS
    page = (repository / "space" / "README.md").read_text()
    for name, found in named.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        for parameter in found["parameters"]:
            assert parameter["parameter_name"] in line


def test_planets_can_be_listed_and_searched(client: Client) -> None:
    everything = client.predict(api_name="/planets")
    assert [found["planet"] for found in everything] == [str(info.planet_id) for info in engine().planets()]
    noisy = client.predict("noisy", api_name="/planets")
    assert noisy
    assert all("noisy" in found["note"] for found in noisy)


@pytest.mark.parametrize(("unit", "resolution"), [("ppm", 0), ("depth", 0), ("rp_rs", 40), ("scale_heights", 100)])
def test_a_spectrum_is_the_engines_to_the_last_bit(client: Client, unit: str, resolution: float) -> None:
    found = client.predict(str(planet()), unit, resolution, api_name="/spectrum")
    expected = engine().spectrum(engine().visits(planet())).binned(resolution)
    same(found, expected.table(unit))
    assert found["scores"] == plain(expected.scores("model"))
    assert found["status"] == "ok"


def test_what_if_is_the_engines_and_wider_with_more_noise(client: Client) -> None:
    found = client.predict(str(planet()), 4.0, 0, 1.0, 2.5, 0.4, "depth", 0, api_name="/what_if")
    expected = what_if.what_if(engine(), planet(), noise=4.0, missing_um=[(2.5, 2.9)])
    same(found, expected.table("depth"))
    before = table(client.predict(str(planet()), "depth", 0, api_name="/spectrum"))
    assert table(found)["sigma"].median() > 1.5 * before["sigma"].median()
    assert not table(found).loc[lambda t: t.wavelength_um.between(2.5, 2.9), "has_data"].any()


def test_light_curves_reasons_and_reliability_are_the_engines(client: Client) -> None:
    rows = engine().visits(planet())
    curves = client.predict(str(planet()), 0, api_name="/light_curves")
    assert (curves["status"], curves["note"]) == ("ok", "")
    for band in engine().light_curves(rows).bands:
        assert curves["bands"][band.name]["flux"] == plain(band.flux)
        assert curves["bands"][band.name]["model"] == plain(band.model)
    why = client.predict(str(planet()), api_name="/why")
    assert why["time_sigma"] == plain(engine().why(rows).time_sigma)
    assert client.predict(api_name="/reliability")["covered"] == plain(engine().reliability().covered)


def test_more_transits_are_the_engine_s_forecast(client: Client) -> None:
    found = client.predict(str(planet()), "CO2", 5, api_name="/more_transits")
    expected = engine().forecast(engine().visits(planet()), "CO2")
    assert found["expected"] == plain(expected.expected)
    assert found["asked"]["transits"] == 6
    assert found["asked"]["chance"] == expected.chance(6)
    assert "carbon dioxide" in found["says"]


def test_the_truth_of_a_round_is_told_to_who_guessed_alone(client: Client) -> None:
    asked = client.predict(7, 3, api_name="/guess")
    assert asked["scores"] == {}
    assert not any("truth" in name for name in asked["table"][0])
    assert set(asked) == {"series", "round", "name", "status", "unit", "n_visits", "notes", "scores", "table"}
    told = client.predict(7, 3, ["CH4"], api_name="/reveal")
    truth = 1e6 * Handlers(engine()).games.round(7, 3).planet.spectrum
    np.testing.assert_allclose([row["truth_ppm"] for row in told["table"]], truth, rtol=1e-6)
    assert set(told["expected"]) >= set(told["in_the_air"])


def test_an_upload_gives_the_engines_spectrum(client: Client, mine: Path) -> None:
    found = client.predict(handle_file(str(mine)), "ppm", 0, api_name="/upload")
    same(found, engine().spectrum(reading.read_upload(mine)).table("ppm"))
    assert found["name"] == "mine"
    assert mine.exists()


@pytest.mark.parametrize(
    ("endpoint", "arguments", "message"),
    [
        ("/spectrum", ("12", "ppm", 0), "expected one of its 24 planets, found 12"),
        ("/spectrum", ("../etc", "ppm", 0), "expected one of the dataset's ids, found '../etc'"),
        ("/spectrum", ("PLANET", "furlong", 0), "expected one of depth, ppm, rp_rs, scale_heights, found 'furlong'"),
        ("/spectrum", ("PLANET", "ppm", 0.1), "resolution: expected 1 to 10000"),
        ("/light_curves", ("PLANET", 7), "visit: expected 0 to 0, found 7"),
        ("/what_if", ("PLANET", 1000.0), "noise: expected 0.1 to 20, found 1000"),
    ],
)
def test_what_cannot_be_is_said(client: Client, endpoint: str, arguments: tuple[Any, ...], message: str) -> None:
    given = [str(planet()) if argument == "PLANET" else argument for argument in arguments]
    with pytest.raises(AppError) as error:
        client.predict(*given, api_name=endpoint)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["columns", "picture", "pickled", "empty", "zip"])
def test_bad_uploads_are_refused_in_a_sentence(client: Client, tmp_path: Path, kind: str) -> None:
    path, message = bad_files(tmp_path)[kind]
    with pytest.raises(AppError) as error:
        client.predict(handle_file(str(path)), "ppm", 0, api_name="/upload")
    assert message in str(error.value)
    assert "Traceback" not in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert get_upload_folder() not in str(error.value)


def test_a_file_of_another_ending_or_too_large_is_not_even_taken(client: Client, tmp_path: Path) -> None:
    (tmp_path / "mine.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(AppError, match="Invalid file type"):
        client.predict(handle_file(str(tmp_path / "mine.pkl")), "ppm", 0, api_name="/upload")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(reading.MAX_UPLOAD_BYTES + 1)
    with pytest.raises(Exception, match=r"(?i)413|too large|maximum"):
        client.predict(handle_file(str(tmp_path / "large.csv")), "ppm", 0, api_name="/upload")


# --- users ---------------------------------------------------------------------------------------------------------


def test_users_with_the_same_file_each_get_its_spectrum(address: str, mine: Path) -> None:
    """Gradio keeps equal uploads under one path: who reads first must not take the file from the others."""
    users = 5
    barrier = threading.Barrier(users)

    def ask(_: int) -> Any:
        client = Client(address, verbose=False)
        barrier.wait(60)
        return [client.predict(handle_file(str(mine)), "ppm", 0, api_name="/upload") for _ in range(2)]

    with ThreadPoolExecutor(users) as pool:
        answers = [answer for both in pool.map(ask, range(users)) for answer in both]
    expected = engine().spectrum(reading.read_upload(mine)).table("ppm")
    for answer in answers:
        same(answer, expected)


def test_an_upload_is_seen_by_nobody_else(client: Client, address: str, mine: Path) -> None:
    client.predict(handle_file(str(mine)), "ppm", 0, api_name="/upload")
    other = Client(address, verbose=False)
    assert "mine" not in json.dumps(other.predict(api_name="/planets"))
    with pytest.raises(AppError):
        other.predict("mine", "ppm", 0, api_name="/spectrum")


def test_handlers_keep_nothing_of_a_session(handlers: Handlers, mine: Path) -> None:
    state = set(vars(handlers))
    subject, _, _, _, status, *_ = handlers.open_upload(str(mine), handlers.subject(planet()))
    assert set(vars(handlers)) == state
    assert "mine" in status
    assert subject.planet_id is None


def test_a_refused_upload_leaves_what_was_shown(handlers: Handlers, tmp_path: Path) -> None:
    before = handlers.subject(planet())
    found = handlers.open_upload(str(bad_files(tmp_path)["columns"][0]), before)
    assert found[0] is before
    assert "was not taken" in found[5].value
    assert "expected columns" in found[5].value
    assert all(found[place] == gr.skip() for place in (1, 2, 3, 4, 6, 7, 8, 9)), "name and figure stay"


def test_users_at_a_time_each_get_their_own(address: str) -> None:
    ids = [str(info.planet_id) for info in engine().planets()[:6]]
    barrier = threading.Barrier(len(ids))

    def ask(name: str) -> Any:
        client = Client(address, verbose=False)
        barrier.wait(60)
        return client.predict(name, "ppm", 30, api_name="/spectrum")

    with ThreadPoolExecutor(len(ids)) as pool:
        answers = list(pool.map(ask, ids))
    for name, answer in zip(ids, answers, strict=True):
        same(answer, engine().spectrum(engine().visits(int(name))).binned(30).table("ppm"))


# --- events and links ----------------------------------------------------------------------------------------------


def shown(handlers: Handlers, subject: Subject | None, view: str, **changes: Any) -> tuple[Any, ...]:
    given = {"unit": "ppm", "resolution": 0, "visit": 0, "bands": [], "step": 0, "noise": 1, "transits": 0, "drift": 1,
             "missing_from": 2.5, "missing_width": 0, **changes}  # fmt: skip
    return handlers.show(subject, view, "", None, **given)


@pytest.mark.parametrize("view", VIEWS)
def test_only_the_visible_view_is_computed(handlers: Handlers, view: str) -> None:
    outputs = shown(handlers, handlers.subject(planet()), view)
    assert len(outputs) == sum(SIZES.values()) + 2
    place = 0
    for name, size in SIZES.items():
        skipped = [isinstance(output, dict) and output == gr.skip() for output in outputs[place : place + size]]
        assert all(skipped) == (name != view)
        place += size
    assert f"planet={planet()}" in outputs[-1]


def test_an_answer_leaves_choices_alone_that_it_can_keep(handlers: Handlers) -> None:
    """While it was computed its user may have chosen another step or band: it must not put the old one back."""
    subject = handlers.subject(planet("raw frames"))
    place = SIZES["spectrum"]
    _, bands, *_, step = shown(handlers, subject, "light-curves", step=None)[place : place + 7]
    assert (bands.value, step.value) == (["AIRS-CH0 white light", "FGS1"], 0)
    chosen = shown(handlers, subject, "light-curves", step=3, bands=["FGS1"])[place : place + 7]
    assert [chosen[index]._constructor_args[0].get("value") for index in (0, 1, 6)] == [None, None, None]
    beyond = shown(handlers, subject, "light-curves", step=99, visit=7)[place : place + 7]
    assert beyond[0].value == 0
    assert beyond[6].value < 99


def test_the_table_to_download_is_the_api_s(handlers: Handlers) -> None:
    outputs = shown(handlers, handlers.subject(planet()), "spectrum", unit="rp_rs", resolution=50)
    expected = engine().spectrum(engine().visits(planet())).binned(50).table("rp_rs")
    pd.testing.assert_frame_equal(pd.read_csv(outputs[2]), expected, check_dtype=False, rtol=1e-12)


def test_a_unit_that_the_star_table_does_not_allow_falls_back_to_ppm(handlers: Handlers) -> None:
    without = next(info for info in engine().planets() if not np.isfinite(info.star_temperature))
    figure = json.loads(shown(handlers, handlers.subject(without.planet_id), "spectrum", unit="scale_heights")[0].plot)
    assert "ppm" in figure["layout"]["yaxis2"]["title"]["text"]


def ranked(size: float, *planets: int) -> dict[int, Ranked]:
    """Planets of which a molecule stands out by so many σ, the next one by half of it, …"""
    return {
        planet: Ranked(0.9, 30.0, Verdict({"CH4": size / 2**place}, 30.0, 25.0, 300.0), [(100.0, 20.0), (180.0, 20.0)])
        for place, planet in enumerate(planets)
    }


def test_the_page_opens_on_features_of_about_five_sigma_and_cards_lead_to_planets(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (info.planet_id for info in engine().planets()[4:7])
    monkeypatch.setattr(engine(), "_ranks", ranked(11.0, first, second, third))
    subject, _, look, *_ = opened = handlers.open_page("dark narrow", "", None)
    assert (subject.planet_id, look) == (second, "dark narrow")
    cards = opened[-2]
    assert re.findall(r'data-planet="(\d+)" aria-pressed="(\w+)"', cards) == [
        (str(first), "false"), (str(second), "true"), (str(third), "false"),
    ]  # fmt: skip
    assert cards.count("<polyline") == 3
    assert cards.count("methane-rich") == 2
    assert "perhaps methane" in cards
    chosen = handlers.choose_card(gr.EventData(None, {"planet": str(third)}))
    assert chosen[0].planet_id == third
    assert "Perhaps methane" in chosen[4]


def test_a_link_to_an_upload_says_so_and_the_way_back_finds_it(handlers: Handlers, mine: Path) -> None:
    *_, own, _ = handlers.open_upload(str(mine), handlers.subject(planet()))
    query = shown(handlers, own, "spectrum")[-1]
    assert query == f"planet={YOURS}"
    elsewhere = handlers.open_page("", f"?{query}", None)
    assert "somebody uploaded" in elsewhere[-3].value
    assert elsewhere[0].planet_id == engine().opening()
    back = handlers.open_page("", f"?{query}&view=why", own)
    assert (back[0], back[1]) == (own, "why")
    assert not back[-3].visible


def test_without_a_transit_the_reason_stands_in_place_of_a_verdict(handlers: Handlers) -> None:
    rows = [{**row, "planet_id": None} for row in engine().visits(planet())]
    flat = np.random.default_rng(0).normal(1.0, 1e-3, rows[0]["flux"].shape)
    rows[0] |= {"flux": flat, "flux_err": np.full(flat.shape, 1e-3), "valid": np.ones(flat.shape, bool)}
    _, words, *_, verdict, _ = shown(handlers, Subject(None, "flat", rows), "spectrum")
    assert verdict.startswith("**⚠ No transit found: this is the prior's answer.**")
    assert "trust" not in verdict
    assert "transit" not in words


def test_a_link_holds_every_setting_and_defaults_are_left_out() -> None:
    settings = Settings("7", "what-if", "rp_rs", 50.0, 1, 3.5, 2, 0.5, 2.7, 0.25)
    assert from_query(dict(pair.split("=") for pair in to_query(settings).split("&"))) == settings
    assert to_query(Settings(planet="7")) == "planet=7"
    games = Settings(view="guess", molecule="H2O", more=7, series=12, round=3)
    assert to_query(games) == "view=guess&molecule=H2O&more=7&series=12&round=3"
    assert from_query({"series": "12", "round": "77", "more": "0", "molecule": "XYZ"}) == Settings(
        series=12, round=10, more=1
    )
    assert to_query(Settings()) == ""


@pytest.mark.parametrize("value", ["nan", "inf", "-1e9", "", "x", "1;drop", "9" * 400])
def test_a_link_s_nonsense_is_a_default_or_a_limit(value: str) -> None:
    found = from_query({name: value for name in vars(Settings())})
    assert found.view in VIEWS
    assert len(found.planet) <= 64
    for name, (low, high) in LIMITS.items():
        assert low <= getattr(found, name) <= high


def test_unforeseen_errors_are_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise KeyError("a secret of the server")

    with pytest.raises(gr.Error) as error:
        errors_shown(broken)()
    assert "secret" not in str(error.value)
    assert "a secret of the server" in caplog.text


def test_text_of_a_link_or_a_file_is_shown_and_does_nothing() -> None:
    from page.words import literal

    wicked = "![x](http://example.org/a.png) <img src=x> **bold** `code` [link](http://example.org)"
    shown = literal(wicked)
    assert "![" not in shown
    assert "](" not in shown
    assert "<img" not in shown.replace("\\<", "")
    assert re.sub(r"\\(.)", r"\1", shown) == wicked


def test_the_page_names_its_dataset_and_model() -> None:
    text = HEAD.format(planets=24, dataset="simulated sample", model="the released model")
    assert "24 planets of *simulated sample*" in text


def test_its_release_carries_the_page_s_styles_and_scripts(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_release, "sample_folder", lambda _: sample_folder())
    sent = space_release.space_release(repository / "space", "observer/space").files
    assert b'Client("observer/space")' in sent["README.md"]
    assert b"USER/SPACE" not in sent["README.md"]
    assert {"page/style.css", "page/keep_up.js", "page/save_picture.js", "page/show_link.js"} <= set(sent)
