"""Cards of links and the page's tags that lead to them: by state, of nobody's upload, at the right address."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape

import httpx
import numpy as np
import pytest
from PIL import Image
from space_scenes import engine, planet
from space_server import serving

from engine.memo import Memo
from page import sharing, verdicts
from page.handlers import Handlers
from page.links import YOURS, Settings
from page.sharing import Cards, base_address, printed_address, thumbnail
from page.social_card import NAME, SIZE

TAG = re.compile(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">')


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(engine()) as address, httpx.Client(base_url=address.rstrip("/"), timeout=60.0) as client:
        yield client


def tags(client: httpx.Client, query: str = "", **headers: str) -> dict[str, str]:
    """The tags of the page at a query."""
    page = client.get(f"/?{query}", headers=headers)
    assert page.status_code == 200
    found = [(name, unescape(text)) for name, text in TAG.findall(page.text.partition("</head>")[0])]
    assert len({name for name, _ in found}) == len(found), "no tag twice, none of Gradio's left"
    return dict(found)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), float)


# --- the picture ---------------------------------------------------------------------------------------------------


def test_a_planets_card_is_a_png_of_its_own_that_caches_may_keep(client: httpx.Client) -> None:
    answer = client.get("/card.png", params={"planet": planet()})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "max-age=86400" in answer.headers["cache-control"]
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == SIZE
    rows = engine().visits(planet())
    told = verdicts.plain_sentence(engine().spectrum(rows), engine().verdict(rows))
    assert image.text["Description"] == told
    assert str(planet()) in image.text["Title"]
    assert image.text["Source"] == client.base_url.netloc.decode()
    assert len(answer.content) < 200_000
    again = client.get("/card.png", params={"planet": planet()}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head("/card.png", params={"planet": planet()}).content == b""
    assert answer.content != client.get("/card.png", params={"planet": planet("noisy")}).content


def test_title_sentence_spectrum_name_and_address_are_seen_at_the_size_of_a_thumbnail() -> None:
    cards = Cards(Handlers(engine()))
    settings = Settings(planet=str(planet()))
    named, bare = (picture(cards.picture(settings, address)) for address in ("example.org", ""))
    ink = np.asarray(Image.fromarray(named.astype(np.uint8)).convert("L").resize((500, 262)), float) < 160
    for rows in (slice(8, 32), slice(40, 75), slice(90, 210), slice(235, 262)):  # title, sentence, figure, foot
        assert ink[rows].any()
    assert not (named == bare)[550:, 600:].all(), "the address is below, on the right"
    assert (named == bare)[:550].all()


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"planet={YOURS}",
        "planet=77",
        "planet=%3Cb%3E",
        "planet=" + "9" * 5000,
        "view=telescopes&planet=77",
        "a=%ff",
    ],
    ids=["none", "upload", "unknown", "markup", "long", "telescopes", "bytes"],
)
def test_uploads_and_what_is_no_planet_get_the_thumbnail(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/card.png?{query}")
    assert answer.status_code == 200
    assert answer.content == thumbnail()
    assert "planet" not in tags(client, query)["og:image"]


def test_other_choices_of_a_view_share_its_card_and_a_what_if_has_its_own(client: httpx.Client) -> None:
    of = f"planet={planet()}"
    plain = client.get(f"/card.png?{of}").content
    assert client.get(f"/card.png?{of}&unit=depth&resolution=50&view=why").content == plain
    noisy = client.get(f"/card.png?{of}&view=what-if&noise=3").content
    assert re.match("What if: σ goes from .* with 3 times the noise", Image.open(io.BytesIO(noisy)).text["Description"])
    transient = client.get("/card.png?view=transients&transient=sn-0").content
    assert transient not in (plain, noisy, thumbnail())


def test_a_what_if_names_the_molecules_that_its_own_light_curves_show(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    monkeypatch.setattr(sharing, "spectrum_card", lambda found, verdict, *_: names.append(verdict.molecules) or b"")
    cards, of = Cards(Handlers(engine())), Settings(planet=str(planet()))
    cards.picture(of, "")
    noisy = replace(of, view="what-if", noise=10.0)
    cards.picture(noisy, "")
    handlers = Handlers(engine())
    assert names[1] == engine().verdict(handlers.what_if_rows(handlers.subject(planet()), noisy)).molecules
    assert max(names[1].values()) < 0.3 * max(names[0].values())


def test_a_guess_s_card_is_of_its_round_and_tells_nothing(client: httpx.Client) -> None:
    """A round that says of its truth something else has the same picture, though its light is the same."""
    handlers, settings = Handlers(engine()), Settings(view="guess", series=7, round=3)
    card = Cards(handlers).picture(settings, "")
    found = handlers.games.round(7, 3)
    handlers.games._rounds = Memo(4)
    handlers.games._rounds.get((7, 3), lambda: replace(found, present=("NH3",), without={}))
    assert Cards(handlers).picture(settings, "") == card
    assert "Round 3 of series 7" in Image.open(io.BytesIO(card)).text["Title"]
    assert Cards(handlers).picture(replace(settings, round=4), "") not in (card, thumbnail())
    image = tags(client, f"view=guess&series=7&round=3&planet={planet()}")["og:image"]
    assert image.endswith("/card.png?view=guess&series=7&round=3")
    assert client.get(image).content not in (card, thumbnail()), "with an address"


def test_asked_at_once_a_card_is_drawn_once_and_others_wait_or_get_the_thumbnail(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = Cards._draw
    monkeypatch.setattr(Cards, "_draw", lambda self, *which: drawn.append(which) or draw(self, *which))
    url = f"/card.png?planet={planet('strong drift')}"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.get(url), range(16)))
    assert len(drawn) == 1
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert (answer.content == thumbnail()) == (answer.headers["cache-control"] == "no-store")


def test_a_failure_of_the_server_still_gives_a_picture_that_no_cache_keeps(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cards, "_draw", lambda *_: 1 / 0)
    answer = client.get(f"/card.png?planet={planet('FGS1 missing')}")
    assert (answer.content, answer.headers["cache-control"]) == (thumbnail(), "no-store")


def test_the_thumbnail_is_a_card() -> None:
    image = Image.open(io.BytesIO(thumbnail()))
    assert (image.size, image.text["Title"]) == (SIZE, NAME)
    assert len(thumbnail()) < 150_000


# --- the page's tags -----------------------------------------------------------------------------------------------


def test_tags_follow_the_links_state_without_a_script(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine()._ranks, planet(), engine()._rank(planet()))
    here, of = str(client.base_url).rstrip("/"), f"planet={planet()}"
    found = tags(client, f"{of}&unit=depth")
    verdict = engine().verdict(engine().visits(planet()))
    assert found["og:title"].lower() == f"{verdicts.name(verdict)} · {NAME}".lower()
    assert found["og:description"] == f"Planet {planet()}: {verdicts.told(verdict)}"
    assert found["og:image"] == found["twitter:image"] == f"{here}/card.png?{of}"
    assert found["og:url"] == f"{here}/?{of}&unit=depth"
    assert (found["og:image:width"], found["og:image:height"]) == tuple(map(str, SIZE))
    assert found["twitter:card"] == "summary_large_image"
    assert tags(client, "view=transients")["og:title"].startswith("Torn star")
    assert tags(client, "view=guess&series=4&round=2")["og:title"].startswith("Which molecule")
    assert tags(client, f"{of}&view=more-transits&molecule=H2O&more=5")["og:title"].startswith("Would 5 more")
    assert "Would one more transit find" in tags(client, f"{of}&view=more-transits&more=1")["og:title"]
    assert tags(client)["og:title"] == NAME
    assert client.get(found["og:image"]).headers["content-type"] == "image/png"


def test_a_link_to_an_upload_says_nothing_of_it(client: httpx.Client) -> None:
    assert tags(client, f"planet={YOURS}&unit=depth") == tags(client)


def test_addresses_are_those_of_the_hubs_proxy_and_no_header_becomes_markup(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarded = {"X-Forwarded-Host": "observer-ariel.hf.space", "X-Forwarded-Proto": "https"}
    assert tags(client, **forwarded)["og:image"] == "https://observer-ariel.hf.space/card.png"
    wicked = {"X-Forwarded-Host": '"><script>alert(1)</script>', "X-Forwarded-Proto": "javascript"}
    assert tags(client, **wicked)["og:image"] == f"{str(client.base_url).rstrip('/')}/card.png"
    monkeypatch.setenv("SPACE_HOST", "observer-ariel.hf.space")
    monkeypatch.setenv("SPACE_ID", "observer/ariel")
    assert tags(client)["og:image"] == "https://observer-ariel.hf.space/card.png"
    assert printed_address({}) == "huggingface.co/spaces/observer/ariel"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("a.org:80", "http://a.org:80/x"), ("[::1]:7860", "http://[::1]:7860/x"), ("a b", "http://127.0.0.1:1/x")],
)
def test_an_address_has_the_host_and_the_folder_that_it_is_served_from(host: str, expected: str) -> None:
    scope = {"scheme": "http", "server": ("127.0.0.1", 1), "root_path": "/x", "headers": [(b"host", host.encode())]}
    assert base_address(scope) == expected


def test_the_page_is_whole_with_its_tags(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.text.rstrip().endswith("</html>")
    assert "window.gradio_config" in page.text
    assert client.head("/").status_code == 200
    assert client.get("/config").headers["content-type"].startswith("application/json")
