"""Event handlers: from the engine to updates of the page's components. The layout is in app.py.

A session's state holds its subject (a planet's id, or the rows of an upload), its view and its last what-if. Handlers
keep nothing of a session, so users never see each other's data.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from gradio.utils import get_upload_folder

from engine.inference import Engine, EngineError
from engine.rows import VisitRow
from engine.spectrum import Spectrum
from engine.transients import Transients
from engine.what_if import observe, simulated_case
from modeling_ariel.transients.curves import Curve
from page import curve_figures, figures, sigma_figures, transient_words, verdicts, words
from page.answers import plot
from page.cards import cards
from page.games import Games, Votes
from page.links import VIEWS, YOURS, Settings, from_query, to_query
from page.theme import Theme, theme_of
from page.transient_figures import transient_figure
from uploads.reading import example, read_transient, read_upload
from uploads.telescope import is_of_another_telescope

KINDS = ("csv", "parquet", "fits", "npz", "zip")
LINK_TO_UPLOAD = (
    "⚠ This link leads to light curves that somebody uploaded, which nobody else can see and which are deleted within "
    "two hours. Bring the file itself to see them; shown is a planet of the sample."
)
OF_ANOTHER = "These light curves are not on Ariel's channels: they are fitted under *Other telescopes*."


@dataclass(frozen=True, eq=False)
class Subject:
    """The planet on show: one of the dataset, or rows that this session uploaded."""

    planet_id: int | None = None
    name: str = ""
    rows: list[VisitRow] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class WhatIfAnswer:
    """The spectrum under some conditions, kept for comparison with the next."""

    name: str
    conditions: tuple[float, ...]
    answer: Spectrum


class Handlers:
    """The page's events over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.transients, self.games = engine, Transients(), Games(engine)
        self._refreshes = itertools.count(1)  # a new number makes the page compute the visible view

    def refresh(self) -> int:
        """A number that makes the page compute the visible view."""
        return next(self._refreshes)

    # --- choosing ------------------------------------------------------------------------------------------------

    def subject(self, planet: str | int) -> Subject:
        """A planet of the dataset by its id; ValueError where there is none."""
        text = str(planet).strip()
        if not text.lstrip("-").isdigit():
            raise ValueError(f"planet: expected one of the dataset's ids, found {text!r}")
        info = self.engine.info(int(text))
        return Subject(info.planet_id, f"Planet {info.planet_id}")

    def rows(self, subject: Subject) -> list[VisitRow]:
        """Rows of the subject's visits."""
        return subject.rows if subject.planet_id is None else self.engine.visits(subject.planet_id)

    def status(self, subject: Subject) -> str:
        """The line under the menu, before anything is computed."""
        if subject.planet_id is None:
            visits = f"{len(subject.rows)} visit{'s' * (len(subject.rows) > 1)}"
            return f"**{words.literal(subject.name)}** · {visits} · yours, seen by you alone"
        info = self.engine.info(subject.planet_id)
        rank = self.engine.ranked().get(info.planet_id)
        kind = verdicts.name(rank.verdict) if rank else ""
        parts = [f"**{kind[:1].upper()}{kind[1:]}**", f"planet {info.planet_id}"] if kind else [f"**{subject.name}**"]
        if "visits" not in info.note:
            parts.append(f"{info.n_visits} visit{'s' * (info.n_visits > 1)}")
        if info.note:
            parts.append(info.note)
        if info.star_temperature == info.star_temperature:
            parts.append(f"star {info.star_temperature:,.0f} K")
        if info.score is not None:
            parts.append(f"2024 score {info.score:.2f}")
        if not info.labelled:
            parts.append("truth not known")
        return " · ".join(parts)

    def menu(self) -> list[tuple[str, str]]:
        """Labels and ids of all planets: what kind, id, note."""
        kinds = {planet: verdicts.name(rank.verdict) for planet, rank in self.engine.ranked().items()}
        named = [(kinds.get(info.planet_id, ""), info) for info in self.engine.planets()]
        return [(f"{kind} · {info.label}" if kind else info.label, str(info.planet_id)) for kind, info in named]

    def cards(self, subject: Subject | None) -> str:
        """Cards of the planets that have been looked at, the subject's marked."""
        return cards(self.engine.planets(), self.engine.ranked(), subject.planet_id if subject else None)

    def open_page(self, look: str, query: str, own: Subject | None) -> tuple[Any, ...]:
        """The page with the settings of its link, `?planet=…`; ``own``: what this session uploaded last."""
        settings, trouble = from_query(dict(parse_qsl(query.lstrip("?")))), ""
        try:
            if settings.planet == YOURS:
                trouble = "" if own else LINK_TO_UPLOAD
                subject = own or self.subject(self.engine.opening())
            else:
                subject = self.subject(settings.planet or self.engine.opening())
        except ValueError as error:
            subject, trouble = self.subject(self.engine.opening()), f"⚠ {words.literal(str(error))}."
        return (
            subject,
            settings.view,
            look,
            gr.Dropdown(self.menu(), value=None if subject.planet_id is None else str(subject.planet_id)),
            gr.Tabs(selected=settings.view),
            settings.unit,
            settings.resolution,
            settings.visit,
            settings.noise,
            settings.transits,
            settings.drift,
            settings.missing_from,
            settings.missing_width,
            settings.transient,
            settings.molecule,
            settings.more,
            settings.series,
            settings.round,
            [],  # ticks of another round
            self.status(subject),
            gr.Markdown(trouble, visible=bool(trouble)),
            self.cards(subject),
            next(self._refreshes),
        )

    def choose(self, planet: str | None) -> tuple[Any, ...]:
        """A planet of the menu: subject, menu, first visit, no last what-if, status, no trouble, cards, refresh."""
        return self._chosen(self.subject(planet if planet else self.engine.opening()))

    def choose_card(self, event: gr.EventData) -> tuple[Any, ...]:
        """A planet by its card."""
        return self.choose(event.planet)

    def _chosen(self, subject: Subject) -> tuple[Any, ...]:
        menu = None if subject.planet_id is None else str(subject.planet_id)
        no_trouble = gr.Markdown("", visible=False)
        refresh = next(self._refreshes)
        return subject, menu, 0, None, self.status(subject), no_trouble, self.cards(subject), refresh

    def open_upload(self, path: str | None, subject: Subject) -> tuple[Any, ...]:
        """A user's light curves, kept as this session's own; if they are refused, all stays, with words of trouble.

        At last what the tab of other telescopes is to open: path, why not here, a new number.
        """
        stays = [gr.skip()] * 10
        if not path:
            return (subject, *stays[1:])
        try:
            rows = read_upload(path)
        except ValueError as error:
            message, other = f"⚠ This file was not taken. {words.literal(str(error))}", stays[9]
            if is_of_another_telescope(Path(path)):
                message, other = OF_ANOTHER, (path, str(error), self.refresh())
            return (subject, *stays[1:5], gr.Markdown(message, visible=True), *stays[6:9], other)
        found = Subject(None, str(rows[0].get("name") or "Your light curves"), rows)
        return (*self._chosen(found), found, stays[9])

    def example(self, kind: str) -> Any:
        """A file to start from: csv, parquet, fits, npz, or zip for a raw folder."""
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, found {kind!r}")
        return gr.File(str(example(kind)), visible=True)

    def open_transient(self, path: str | None, survey: str) -> tuple[Any, ...]:
        """A user's object: curve, menu, status, refresh; if it is refused, the page stays as it is."""
        if not path:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        try:
            return read_transient(path, survey), None, "", next(self._refreshes)
        except ValueError as error:
            return gr.skip(), gr.skip(), f"⚠ This file was not taken. {words.literal(str(error))}", gr.skip()

    # --- views ---------------------------------------------------------------------------------------------------

    def verdict(self, rows: Sequence[Mapping[str, Any]], brief: bool = False) -> str:
        """The sentence above every view of a planet."""
        return verdicts.sentence(self.engine.spectrum(rows), self.engine.verdict(rows), brief)

    def spectrum_view(self, subject: Subject, settings: Settings, theme: Theme) -> tuple[Any, ...]:
        """Figure, words, table as a file."""
        found = self.engine.spectrum(self.rows(subject))
        if settings.unit not in found.units:
            gr.Info("Scale heights need the star's radius and temperature and the planet's mass: shown in ppm.")
            settings = replace(settings, unit="ppm")
        shown = found.binned(settings.resolution)
        name = f"spectrum-{subject.planet_id or 'upload'}"
        return (
            plot(figures.spectrum_figure(shown, settings.unit, theme), name),
            words.of_spectrum(shown, truthful=True),
            _csv(shown, settings.unit, f"{name}.csv"),
        )

    def curves_view(
        self, subject: Subject, settings: Settings, bands: list[str], step: int, theme: Theme
    ) -> tuple[Any, ...]:
        """Menu of visits and bands; curves, image; words; menu of steps, detector, spot; the air and its words."""
        rows = self.rows(subject)
        visit = min(settings.visit, len(rows) - 1)
        found = self.engine.light_curves(rows, visit)
        names = [band.name for band in found.bands]
        chosen = [name for name in bands or [] if name in names] or names[:2]
        raw = self.engine.raw_view(rows if subject.planet_id is None else subject.planet_id)
        file = f"light-curves-{subject.planet_id or 'upload'}"
        visits = gr.Radio(
            choices=[(f"visit {number + 1}", number) for number in range(len(rows))],
            visible=len(rows) > 1,
            **_corrected(settings.visit, visit),
        )
        common = (
            visits,
            gr.CheckboxGroup(choices=names, **_corrected(bands, chosen)),
            plot(curve_figures.band_figure(found, chosen, theme), file),
            plot(curve_figures.image_figure(found, theme), file),
            words.of_curves(found),
            words.of_raw(raw),
        )
        air = self.engine.air_map(rows, visit)
        in_air = (None if air is None else plot(curve_figures.air_figure(air, theme), file), words.of_air(air))
        if raw is None:
            return (*common, gr.Radio(visible=False), gr.Plot(visible=False), gr.Plot(visible=False), *in_air)
        chosen_step, step = step, min(int(step or 0), len(raw.pairs) - 1)
        return (
            *common,
            gr.Radio(
                choices=[(name, number) for number, (name, _, _) in enumerate(raw.pairs)],
                visible=True,
                **_corrected(chosen_step, step),
            ),
            gr.Plot(plot(curve_figures.step_figure(raw, step, theme), "detector"), visible=True),
            gr.Plot(plot(curve_figures.spot_figure(raw, theme), "fgs1"), visible=True),
            *in_air,
        )

    def why_view(self, subject: Subject, theme: Theme) -> tuple[Any, ...]:
        """Parts of σ in a sentence, as a bar, over wavelength; reliability, words."""
        rows = self.rows(subject)
        spectrum, parts = self.engine.spectrum(rows), self.engine.parts(rows)
        try:
            reliability = self.engine.reliability()
            curve: Any = plot(sigma_figures.reliability_figure(reliability, theme), "reliability")
            like = self.engine.uploads_like(spectrum) if subject.planet_id is None else ""
            verdict = "\n\n".join(filter(None, (like, words.of_reliability(reliability))))
        except EngineError as error:  # not recorded with the checkpoint, and no truths to measure it with
            curve, verdict = None, f"Not known: {words.literal(str(error))}."
        file = f"sigma-{subject.planet_id or 'upload'}"
        return (
            words.of_parts(parts),
            plot(sigma_figures.stack_figure(parts, theme), file),
            plot(sigma_figures.parts_figure(spectrum, theme), file),
            curve,
            verdict,
        )

    def occlusion(self, subject: Subject | None, view: str, look: str) -> tuple[Any, ...]:
        """What hiding data does, figure and words, which takes ten seconds; nothing in another view than "why"."""
        if view != "why" or subject is None:
            return gr.skip(), gr.skip()
        rows = self.rows(subject)
        why = self.engine.why(rows)
        figure = sigma_figures.occlusion_figure(why, theme_of(look or ""))
        return plot(figure, f"hidden-{subject.planet_id or 'upload'}"), words.of_why(why, self.engine.spectrum(rows))

    def what_if_view(
        self, subject: Subject, settings: Settings, last: WhatIfAnswer | None, theme: Theme
    ) -> tuple[Any, ...]:
        """Figure, words, which conditions are possible, and the answer that the next one is compared with."""
        rows = self.rows(subject)
        observed, others = self.engine.spectrum(rows), self.what_if_rows(subject, settings)
        now = self.engine.spectrum(others)
        before = None
        if last is not None and last.name == subject.name and last.conditions != settings.conditions:
            before = last.answer
        unit = settings.unit if settings.unit in now.units else "ppm"
        figure = figures.comparison_figure(now, before, observed, unit, theme)
        simulated = simulated_case(self.engine, rows if subject.planet_id is None else subject.planet_id) is not None
        return (
            plot(figure, f"what-if-{subject.planet_id or 'upload'}"),
            words.of_what_if(now, observed, (self.verdict(rows, True), self.verdict(others, True))),
            words.of_conditions(simulated, len(rows)),
            WhatIfAnswer(subject.name, settings.conditions, now),
        )

    def transient_view(self, name: str, own: Curve | None, theme: Theme) -> tuple[Any, ...]:
        """Status, figure, words of a simulated object, or of a user's where none is named."""
        found = self.transients.uploaded(own) if own is not None and not name else self.transients.simulated(name)
        return (
            transient_words.status(found),
            plot(transient_figure(found, theme), f"transient-{name or 'upload'}"),
            transient_words.of_transient(found, self.transients.scores),
        )

    def what_if_rows(self, subject: Subject, settings: Settings) -> list[dict[str, Any]]:
        """Light curves under other conditions."""
        low, width = settings.missing_from, settings.missing_width
        return observe(
            self.engine,
            subject.planet_id if subject.planet_id is not None else subject.rows,
            noise=settings.noise,
            transits=settings.transits or None,
            drift=settings.drift,
            missing_um=[(low, low + width)] if width > 0 else [],
        )

    def select(self, event: gr.SelectData) -> tuple[Any, ...]:
        """Another tab: its view, refresh."""
        return VIEWS[event.index], next(self._refreshes)

    def show(
        self,
        subject: Subject | None,
        view: str,
        look: str,
        last: WhatIfAnswer | None,
        unit: str,
        resolution: float,
        visit: int,
        bands: list[str],
        step: int,
        noise: float,
        transits: float,
        drift: float,
        missing_from: float,
        missing_width: float,
        transient: str | None = None,
        own: Curve | None = None,
        molecule: str = Settings.molecule,
        more: float = Settings.more,
        series: float = Settings.series,
        number: float = Settings.round,
        votes: Votes | None = None,
    ) -> tuple[Any, ...]:
        """Updates of the visible view and none of the others; the verdict; the query of a link to all this."""
        subject = subject or self.subject(self.engine.opening())
        settings = Settings(
            YOURS if subject.planet_id is None else str(subject.planet_id),
            view,
            unit,
            float(resolution),
            int(visit or 0),
            float(noise),
            int(transits),
            float(drift),
            float(missing_from),
            float(missing_width),
            transient or ("" if own is not None else Settings.transient),
            molecule,
            int(more),
            int(series or 1),
            int(number or 1),
        )
        theme = theme_of(look or "")
        parts: dict[str, tuple[Any, ...]] = {name: (gr.skip(),) * size for name, size in SIZES.items()}
        if view == "spectrum":
            parts[view] = self.spectrum_view(subject, settings, theme)
        elif view == "light-curves":
            parts[view] = self.curves_view(subject, settings, bands, step, theme)
        elif view == "why":
            parts[view] = self.why_view(subject, theme)
        elif view == "transients":
            parts[view] = self.transient_view(settings.transient, own, theme)
        elif view == "what-if":
            parts[view] = self.what_if_view(subject, settings, last, theme)
        elif view == "more-transits":
            parts[view] = self.games.forecast_view(self.rows(subject), settings, theme)
        elif view == "guess":
            parts[view] = self.games.guess_view(settings, votes or {}, theme)
        verdict = gr.skip() if view in ("transients", "guess") else self.verdict(self.rows(subject))
        return (*itertools.chain.from_iterable(parts.values()), verdict, to_query(settings))


SIZES = {  # outputs of each view
    "spectrum": 3, "light-curves": 11, "why": 5, "what-if": 4, "transients": 3, "more-transits": 2, "guess": 5,
}  # fmt: skip


def _corrected(chosen: Any, possible: Any) -> dict[str, Any]:
    """A control's new value if the chosen one is impossible; else none, as its user may have moved on meanwhile."""
    return {} if chosen == possible else {"value": possible}


def _csv(found: Spectrum, unit: str, name: str) -> str:
    """The table as a file in a new folder, so that no request overwrites what another one downloads."""
    folder = Path(get_upload_folder()) / f"table-{secrets.token_hex(16)}"
    folder.mkdir(parents=True)
    found.table(unit).to_csv(folder / name, index=False)
    return str(folder / name)
