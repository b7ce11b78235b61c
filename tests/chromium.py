"""The Chromium of this machine, as tests and benchmarks start it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def offline_pages(browser: Browser, address: str, ready: str) -> Iterator[Callable[..., Page]]:
    """What opens a page at a size, in a theme, until `ready`; at the end nothing was asked for, nothing complained."""
    complaints: list[str] = []
    contexts = []

    def opened(size: str = "desktop", theme: str = "light", anchor: str = "") -> Page:
        context = browser.new_context(viewport=SIZES[size], color_scheme=theme, has_touch=size == "phone")
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: complaints.append(request.url) if _outside(request.url) else None)
        page.goto(address + anchor)
        page.wait_for_selector(ready, state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _outside(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))
