"""What a link shows where it is shared: its card, and the page's tags that lead readers without scripts to it.

`/card.png?planet=…` is the card of a link's state. The page's HTML gets Open Graph's and Twitter's tags by its query
(https://ogp.me). A card is computed by the engine that the page has, one at a time; of uploads, and where nothing else
can be drawn, there is the thumbnail, which shows a planet of the sample.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.guess import observe
from engine.memo import Memo
from page import transient_words, verdicts
from page.games import further
from page.handlers import Handlers, Subject
from page.links import VIEWS, YOURS, Settings, from_query, to_query
from page.social_card import NAME, SIZE, spectrum_card, transient_card

CARD = "/card.png"
THUMBNAIL = Path(__file__).resolve().parents[1] / "thumbnail.png"
WHAT = "What a planet's air does to starlight, as ESA's Ariel would see it, with error bars that you can check."
WHAT_TRANSIENTS = (
    "What a new point of light is, as LSST would see it; simulated objects, and a model that saw no other."
)
GUESSING = "A simulated spectrum with its truth hidden: say which molecule stands out, then look."
FRESH = "public, max-age=86400"  # a planet's card changes with the checkpoint alone
KEPT = 64  # cards of some 60 kB
WAITING = 6  # cards that may wait for the one that is computed; to others the thumbnail is given for now
QUERY_LENGTH = 1000
WHAT_IF, MORE, GUESS, TRANSIENTS, OTHERS = VIEWS[3:]
_HOST = re.compile(r"[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")
_TAGS = re.compile(rb"""<meta\s+(?:property="og:|name="(?:twitter:|description"))[^>]*>""")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A link's words, and what is drawn: the planet or transient of the settings, or, where they are None, nothing."""

    title: str
    sentence: str
    settings: Settings | None = None


class Cards:
    """Titles, sentences and pictures of links."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._pictures: Memo[bytes] = Memo(KEPT)

    def card(self, settings: Settings) -> Card:
        """What a link is about, without computing anything: a sentence only for planets that were looked at."""
        if settings.view == TRANSIENTS:
            drawn = Settings(view=TRANSIENTS, transient=settings.transient)
            return Card("Torn star, supernova or active nucleus?", WHAT_TRANSIENTS, drawn if drawn.transient else None)
        if settings.view == GUESS:  # whose planet is another than the page's
            drawn = Settings(view=GUESS, series=settings.series, round=settings.round)
            return Card("Which molecule is it?", GUESSING, drawn)
        try:
            subject = None if settings.planet in ("", YOURS) else self._handlers.subject(settings.planet)
        except ValueError:
            subject = None
        if subject is None or subject.planet_id is None or settings.view == OTHERS:
            return Card(NAME, WHAT)
        rank = self._handlers.engine.ranked().get(subject.planet_id)
        kind = verdicts.name(rank.verdict) if rank else ""
        told = f"Planet {subject.planet_id}: {verdicts.told(rank.verdict)}" if rank and rank.verdict else ""
        drawn = Settings(planet=str(subject.planet_id))
        if settings.view == WHAT_IF and settings.conditions != Settings().conditions:
            conditions = ("noise", "transits", "drift", "missing_from", "missing_width")
            drawn = replace(drawn, view=WHAT_IF, **{name: getattr(settings, name) for name in conditions})
            told = ""
        title = kind[:1].upper() + kind[1:] or subject.name
        if settings.view == MORE:
            title = f"Would {further(settings.more)} find {verdicts.FORMULAS[settings.molecule]}?"
        return Card(title, told or WHAT, drawn)

    def picture(self, settings: Settings, address: str) -> bytes:
        """PNG of a card that has settings. ValueError where the engine refuses."""
        return self._pictures.get((settings, address), lambda: self._draw(settings, address))

    def _draw(self, settings: Settings, address: str) -> bytes:
        engine = self._handlers.engine
        if settings.view == TRANSIENTS:
            found = self._handlers.transients.simulated(settings.transient)
            sentence = transient_words.verdict(found).replace("**", "")
            return transient_card(found, f"A simulated object, {found.name}", sentence, address)
        if settings.view == GUESS:
            hidden = self._handlers.games.round(settings.series, settings.round)
            spectrum = engine.spectrum(observe(hidden))
            unnamed = replace(engine.verdict(observe(hidden)), molecules={})
            return spectrum_card(spectrum, unnamed, f"Which molecule is it? {hidden.name}", GUESSING, address)
        subject: Subject = self._handlers.subject(settings.planet)
        rows = self._handlers.rows(subject)
        spectrum, verdict = engine.spectrum(rows), engine.verdict(rows)
        kind = verdicts.name(verdict)
        title = f"{kind[:1].upper()}{kind[1:]} · planet {subject.planet_id}"
        if settings.view == WHAT_IF:
            others = self._handlers.what_if_rows(subject, settings)
            spectrum, before, verdict = engine.spectrum(others), spectrum, engine.verdict(others)
            widths = [1e6 * float(sorted(one.sigma)[len(one.sigma) // 2]) for one in (before, spectrum)]
            sentence = f"What if: σ goes from {widths[0]:.0f} to {widths[1]:.0f} ppm with {_conditions(settings)}."
        else:
            sentence = verdicts.plain_sentence(spectrum, verdict)
        return spectrum_card(spectrum, verdict, title, sentence, address)


def _conditions(settings: Settings) -> str:
    parts = [f"{settings.noise:g} times the noise"] if settings.noise != 1 else []
    parts += [f"{settings.transits} transit{'s' * (settings.transits > 1)}"] if settings.transits else []
    parts += [f"{settings.drift:g} times the drift"] if settings.drift != 1 else []
    low, width = settings.missing_from, settings.missing_width
    return " and ".join([*parts, *([f"nothing from {low:g} to {low + width:g} µm"] if width else [])])


@functools.cache
def thumbnail() -> bytes:
    """The card of no planet in particular."""
    return THUMBNAIL.read_bytes()


# --- serving -------------------------------------------------------------------------------------------------------


class Sharing:
    """ASGI middleware: answers CARD, and fills the page's tags in by its query."""

    def __init__(self, app: ASGIApp, cards: Cards) -> None:
        self.app, self.cards = app, cards
        self._one = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is neither a card nor the page."""
        asked = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or asked not in ("/", CARD):
            await self.app(scope, receive, send)
        elif asked == CARD:
            await (await self._picture(scope))(scope, receive, send)
        else:
            await self.app(scope, receive, _Filled(send, self._tags(scope)))

    def _card(self, scope: Scope) -> Card:
        return self.cards.card(_settings(scope))

    async def _picture(self, scope: Scope) -> Response:
        settings, kept = self._card(scope).settings, FRESH
        content = None
        if settings is not None and self._waiting <= WAITING:
            self._waiting += 1
            try:
                async with self._one:
                    content = await asyncio.to_thread(self.cards.picture, settings, printed_address(scope))
            except ValueError as error:
                logger.info("no card of %s: %s", to_query(settings), error)
            except Exception:  # whoever shares a link gets a picture all the same
                logger.exception("no card of %s", to_query(settings))
            finally:
                self._waiting -= 1
        if content is None:
            content, kept = thumbnail(), FRESH if settings is None else "no-store"
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"Cache-Control": kept, "ETag": tag, "X-Content-Type-Options": "nosniff"}
        if Headers(scope=scope).get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="image/png", headers=headers)

    def _tags(self, scope: Scope) -> bytes:
        """The tags of the page at this query."""
        card, here = self._card(scope), base_address(scope)
        title = card.title if card.title == NAME else f"{card.title} · {NAME}"
        own = _settings(scope)
        query = "" if own.planet == YOURS else to_query(own)
        picture = f"{here}{CARD}" + (f"?{to_query(card.settings)}" if card.settings else "")
        names = {
            "og:type": "website", "og:site_name": NAME, "og:title": title, "og:description": card.sentence,
            "og:url": f"{here}/{'?' * bool(query)}{query}",
            "og:image": picture, "og:image:type": "image/png",
            "og:image:width": str(SIZE[0]), "og:image:height": str(SIZE[1]), "og:image:alt": card.sentence,
            "twitter:card": "summary_large_image", "twitter:title": title, "twitter:description": card.sentence,
            "twitter:image": picture, "description": card.sentence,
        }  # fmt: skip
        kinds = {name: "property" if name.startswith("og:") else "name" for name in names}
        return "".join(
            f'<meta {kinds[name]}="{name}" content="{escape(text)}">' for name, text in names.items()
        ).encode()


class _Filled:
    """A `send` that puts tags in the place of an HTML page's own."""

    def __init__(self, send: Send, tags: bytes) -> None:
        self._send, self._tags = send, tags
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Hold an HTML page back until it is whole; pass on everything else."""
        if message["type"] == "http.response.start":
            if Headers(raw=message["headers"]).get("content-type", "").startswith("text/html"):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            if self._body:  # none is sent to a HEAD
                self._body = _TAGS.sub(b"", self._body).replace(b"</head>", self._tags + b"</head>", 1)
                MutableHeaders(scope=self._start)["content-length"] = str(len(self._body))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": self._body}
        await self._send(message)


def _settings(scope: Scope) -> Settings:
    query = scope.get("query_string", b"")[:QUERY_LENGTH].decode("latin-1")
    return from_query(dict(parse_qsl(query)))


def base_address(scope: Scope) -> str:
    """The address that a browser has the app at, without the last slash.

    On the Hub it is `https://SPACE_HOST`; behind another proxy what its headers say; else what was asked for. Names
    that are no host's are not repeated.
    """
    if host := os.environ.get("SPACE_HOST", "").split(",")[0].strip():
        return f"https://{host}"
    headers = Headers(scope=scope)
    host, scheme = (headers.get(f"x-forwarded-{name}", "").split(",")[0].strip() for name in ("host", "proto"))
    host, scheme = host or headers.get("host", ""), scheme or scope["scheme"]
    server = ":".join(map(str, scope.get("server") or ("localhost",)))
    if not _HOST.fullmatch(host):
        host = server
    return f"{scheme if scheme in ('http', 'https') else 'http'}://{host}{scope.get('root_path', '').rstrip('/')}"


def printed_address(scope: Scope) -> str:
    """The address in a card: short, of the page on the Hub where there is one."""
    if space := os.environ.get("SPACE_ID"):
        return f"huggingface.co/spaces/{space}"
    return base_address(scope).partition("://")[2]
