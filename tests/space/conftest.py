"""The app over one engine, and Chromium, for the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import ARGUMENTS, CHROMIUM
from space_browser import opened
from space_scenes import engine, planet
from space_server import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(engine()) as url:
        yield url.rstrip("/")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three planets that have been looked at, in the order of their cards."""
    planets = [planet(note) for note in ("", "FGS1 missing", "noisy")]
    for one in planets:
        monkeypatch.setitem(engine()._ranks, one, engine()._rank(one))
    return planets


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"expected Chromium at {CHROMIUM}, found none")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, headless=True)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a user's own; at its end nothing was asked of another machine and no script failed."""
    yield from opened(browser)
