"""The app's API: the page's engine, with answers as tables of plain numbers.

from gradio_client import Client
Client("USER/SPACE").predict("2029", "ppm", 0.0, api_name="/spectrum")["table"]
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from engine.spectrum import Spectrum
from page.handlers import Handlers, Subject, errors_shown
from page.links import Settings
from uploads.reading import read_upload


class Endpoints:
    """Functions with the types that `gr.api` publishes; refusals are error messages."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers, self._engine = handlers, handlers.engine
        for name in ("planets", "spectrum", "light_curves", "why", "what_if", "reliability", "upload"):
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
        return {**about, "time_h": plain(found.time_h), "bands": bands}

    def why(self, planet: str) -> dict:
        """What hiding stretches of time and bands does: growth of ln σ, shift of the mean in σ."""
        found = self._engine.why(self._handlers.rows(self._handlers.subject(planet)))
        names = [field.name for field in fields(found) if field.name not in ("name", "white_flux")]
        return {"planet": planet, **{name: plain(getattr(found, name)) for name in names}}

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
        return answer(self._handlers.what_if_spectrum(subject, settings).binned(resolution), unit)


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


def plain(value: Any) -> Any:
    """Numbers and lists that JSON can hold: no NumPy types; None for what is not finite."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
