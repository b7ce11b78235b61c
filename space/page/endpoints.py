"""The app's API: the page's engine, with answers as tables of plain numbers.

from gradio_client import Client
Client("USER/SPACE").predict("2029", "ppm", 0.0, api_name="/spectrum")["table"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from engine.guess import observe
from engine.spectrum import Spectrum
from page.answers import errors_shown
from page.games import in_all, of_forecast
from page.handlers import Handlers, Subject
from page.links import LIMITS, Settings
from uploads.reading import read_upload


class Endpoints:
    """Functions with the types that `gr.api` publishes; refusals are error messages."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers, self._engine = handlers, handlers.engine
        names = ("planets", "spectrum", "light_curves", "why", "what_if", "reliability", "upload")
        for name in (*names, "more_transits", "guess", "reveal"):
            setattr(self, name, errors_shown(getattr(self, name)))

    def planets(self, search: str = "") -> list[dict]:
        """Planets of the dataset whose id or description holds every word of `search`; all for none."""
        return [
            {
                "planet": str(info.planet_id),
                "n_visits": info.n_visits,
                "labelled": info.labelled,
                "note": info.note,
                "score_2024": info.score,
            }
            for info in (self._engine.search(search) if search else self._engine.planets())
        ]

    def spectrum(self, planet: str, unit: str = "ppm", resolution: float = 0.0) -> dict:
        """Spectrum of a planet; unit: depth, ppm, rp_rs or scale_heights; resolution λ/Δλ of bins, 0 for channels."""
        found = self._engine.spectrum(self._handlers.rows(self._handlers.subject(planet)))
        return answer(found.binned(resolution), unit)

    def upload(self, file: str, unit: str = "ppm", resolution: float = 0.0) -> dict:
        """Spectrum of your own light curves, in the formats that the page reads."""
        if not file:
            raise ValueError("file: expected light curves, found nothing")
        return answer(self._engine.spectrum(read_upload(file)).binned(resolution), unit)

    def light_curves(self, planet: str, visit: int = 0) -> dict:
        """Light curves of a visit (0: the first) by band: flux relative to the star, error, fit with drift, drift."""
        rows = self._handlers.rows(self._handlers.subject(planet))
        if not 0 <= visit < len(rows):
            raise ValueError(f"visit: expected 0 to {len(rows) - 1}, found {visit}")
        found = self._engine.light_curves(rows, visit)
        bands = {
            band.name: {name: plain(getattr(band, name)) for name in ("range_um", "flux", "error", "model", "drift")}
            for band in found.bands
        }
        about = {"planet": planet, "visit": visit, "status": found.status, "note": found.note}
        air = self._engine.air_map(rows, visit)  # what is left without the white transit
        about["air"] = None if air is None else plain_all(vars(air))
        return {**about, "time_h": plain(found.time_h), "bands": bands}

    def why(self, planet: str) -> dict:
        """Parts of σ²; what hiding stretches of time and bands does: growth of ln σ, shift of the mean in σ."""
        rows = self._handlers.rows(self._handlers.subject(planet))
        found, parts = self._engine.why(rows), self._engine.parts(rows)
        names = [field.name for field in fields(found) if field.name not in ("name", "white_flux")]
        variance = plain_all(parts.variance)
        told = {"planet": planet, "shares": parts.shares, "variance": variance}
        return {**told, **{name: plain(getattr(found, name)) for name in names}}

    def reliability(self) -> dict:
        """Stated and found coverage of the checkpoint in use, with 90 % bounds."""
        found = self._engine.reliability()
        names = ("stated", "covered", "low", "high", "z_spread", "source", "n_planets")
        by_band = {name: plain(values) for name, values in found.by_band.items()}
        return {**{name: plain(getattr(found, name)) for name in names}, "by_band": by_band}

    def what_if(
        self,
        planet: str,
        noise: float = 1.0,
        transits: int = 0,
        drift: float = 1.0,
        missing_from: float = 2.5,
        missing_width: float = 0.0,
        unit: str = "ppm",
        resolution: float = 0.0,
    ) -> dict:
        """Spectrum under other conditions: factors on noise and drift, transits (0: as observed), hidden channels."""
        settings = Settings(
            noise=noise, transits=transits, drift=drift, missing_from=missing_from, missing_width=missing_width
        )
        subject: Subject = self._handlers.subject(planet)
        before, after = self._handlers.rows(subject), self._handlers.what_if_rows(subject, settings)
        verdicts = {
            name: {"sigma_ppm": one.sigma, "molecules": dict(one.molecules)}
            for name, one in (("before", self._engine.verdict(before)), ("after", self._engine.verdict(after)))
        }
        return answer(self._engine.spectrum(after).binned(resolution), unit) | verdicts

    def more_transits(self, planet: str, molecule: str = "CH4", more: int = 3) -> dict:
        """How far a molecule (H2O, CO2, CH4, CO, NH3) is expected to stand out with so many more transits, in σ."""
        low, high = LIMITS["more"]
        if not low <= more <= high:
            raise ValueError(f"more: expected {low:g} to {high:g}, found {more}")
        found = self._engine.forecast(self._handlers.rows(self._handlers.subject(planet)), molecule)
        transits = in_all(found, more)
        about = {name: plain(value) for name, value in vars(found).items() if name != "name"}
        sure = {"expected": found.at(transits), "floored": found.at(transits, floored=True)}
        asked = {"transits": transits, **sure, "chance": found.chance(transits), "needed": found.needed()}
        return {"planet": planet, **about, "asked": asked, "says": of_forecast(found, more)}

    def guess(self, series: int = 1, round: int = 1) -> dict:
        """The spectrum of a planet in no list, without its truth: which molecules stand out? See /reveal."""
        seen = self._engine.spectrum(observe(self._handlers.games.round(series, round)))
        return {"series": series, "round": round, **answer(seen, "ppm")}

    def reveal(self, series: int, round: int, picks: list[str]) -> dict:
        """What a guess is worth, and the truth; picks: some of H2O, CO2, CH4, CO, NH3, or none."""
        found = self._handlers.games.reveal(series, round, picks)
        return {
            "series": series,
            "round": round,
            "picks": list(found.picks),
            "right": found.right,
            "in_the_air": list(found.round.present),
            "expected": plain_all(found.shows),
            "found": plain_all(found.verdict.molecules),
            "verdict_right": found.verdict_right,
            **answer(found.spectrum, "ppm"),
        }


def answer(found: Spectrum, unit: str) -> dict[str, Any]:
    """A spectrum as plain numbers: a table with a record a channel or bin, scores where the truth is known."""
    table = found.table(unit)
    records = [
        {str(name): plain(value) for name, value in record.items()} for record in table.to_dict(orient="records")
    ]
    return {
        "name": found.name,
        "status": found.status,
        "unit": unit,
        "n_visits": found.n_visits,
        "notes": list(found.notes),
        "scores": {name: plain(value) for name, value in found.scores("model").items()},
        "table": records,
    }


def plain_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of such."""
    return {name: plain(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """Numbers and lists that JSON can hold: no NumPy types; None for what is not finite."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
