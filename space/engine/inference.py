"""The engine behind the Space, without Gradio: from planets of a dataset, or a user's light curves, to spectra.

    engine = Engine.open()                       # the released checkpoint and the bundled sample
    rows = engine.visits(engine.random(0).planet_id)
    engine.spectrum(rows).table(), engine.light_curves(rows), engine.why(rows)

An engine may be used from many threads. Fits run in a few worker threads, the network serves one request at a time.
Results are cached under a hash of the light curves, so that only someone who has the data gets the answer.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Timeout
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from engine.air_map import AirMap, air_map
from engine.catalogue import Catalogue, CatalogueError
from engine.explain import attribution
from engine.forecast import Forecast, forecast
from engine.light_curves import light_curves
from engine.memo import Memo
from engine.network import Answer, Network, freeze
from engine.records import Attribution, BandCurve, LightCurves, PlanetInfo, RawImage, RawView, Reliability
from engine.reliability import measured_reliability, of_uploads_like, stored_reliability
from engine.rows import VisitRow
from engine.sigma_parts import SigmaParts, sigma_parts
from engine.spectrum import FGS1_BELOW_UM, UNIT_LABELS, UNITS, Spectrum, SpectrumError
from engine.verdict import Verdict, verdict
from modeling_ariel.arrays import FeatureError
from modeling_ariel.physics import fit_inputs
from modeling_ariel.retrieval import ClassicalFit, concatenate, fit

__all__ = [
    "UNITS",
    "UNIT_LABELS",
    "Attribution",
    "BandCurve",
    "CatalogueError",
    "Engine",
    "EngineError",
    "LightCurves",
    "PlanetInfo",
    "RawImage",
    "RawView",
    "Reliability",
    "Spectrum",
    "SpectrumError",
]

logger = logging.getLogger(__name__)

Rows = Sequence[Mapping[str, Any]]
Features = Mapping[str, torch.Tensor]

FITS_KEPT, ANSWERS_KEPT = 48, 48  # 5 MB a visit and 2 MB a planet of 375 bins: under 350 MB
FITS_PER_BATCH = 6  # of an occlusion: about a second, then another user's fit may run
MOST_VISITS = 10
WAIT_S = 120.0  # for a fit, including the queue
RANKED = 24  # planets of a dataset without scores that are predicted to rank them
OUTLINE_R = 40.0  # resolving power of a card's small spectrum
OPENS_AT = 5.0  # σ of the surest molecule of the planet on the first screen


class EngineError(ValueError):
    """Light curves or a request that the engine refuses; the message is for the user."""


@dataclass(frozen=True)
class Ranked:
    """What planets are ranked by, the 2024 score where the truth is known and the median σ; and their verdicts."""

    score: float | None
    sigma_ppm: float
    verdict: Verdict | None = None
    outline: Sequence[tuple[float, float]] = ()  # mean and σ [ppm] of AIRS in bins of OUTLINE_R

    @property
    def key(self) -> tuple[float, float]:
        """Larger is better; planets without truth are ordered by their σ."""
        return (-np.inf if self.score is None else self.score, -self.sigma_ppm)


class Engine:
    """An open checkpoint and dataset. Make one with `Engine.open`."""

    def __init__(self, network: Network, catalogue: Catalogue, workers: int) -> None:
        self.network, self.catalogue = network, catalogue
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, "fit")
        self._fits: Memo[ClassicalFit] = Memo(FITS_KEPT)
        self._answers: Memo[Answer] = Memo(ANSWERS_KEPT)
        self._attributions: Memo[Attribution] = Memo(ANSWERS_KEPT)
        self._verdicts: Memo[Verdict] = Memo(ANSWERS_KEPT)
        self._parts: Memo[SigmaParts] = Memo(ANSWERS_KEPT)
        self._forecasts: Memo[Forecast] = Memo(ANSWERS_KEPT)
        self._ranks: dict[int, Ranked] = self._known_ranks()
        self._ranked = threading.Event()
        self._ranking = threading.Lock()
        if len(self._ranks) >= min(RANKED, len(catalogue.planets())):
            self._ranked.set()

    @classmethod
    def open(
        cls,
        model: str | None = None,
        dataset: str | None = None,
        *,
        model_revision: str | None = None,
        dataset_revision: str | None = None,
        workers: int | None = None,
        background: bool = False,
    ) -> Engine:
        """Open a checkpoint and a dataset.

        Args:
            model: folder or Hub id; default the checkpoint that comes with `modeling_ariel`.
            dataset: folder, fsspec URL or Hub id; default the bundled simulated sample, made where it is not there.
            model_revision, dataset_revision: branch, tag or commit of a Hub id.
            workers: threads for fits; default one a core, at most 4. Torch is held to one thread in each.
            background: start ranking the planets of a dataset without scores, in its own thread.
        """
        workers = workers or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 4)
        torch.set_num_threads(1)  # fits of small matrices: more threads each are slower than more fits at once
        engine = cls(Network.open(model, model_revision), Catalogue.open(dataset, dataset_revision), workers)
        if background and not engine._ranked.is_set():
            threading.Thread(target=engine._rank_in_background, name="ranking", daemon=True).start()
        return engine

    @property
    def wavelength_um(self) -> np.ndarray:
        """(C,) of the checkpoint."""
        return self.network.wavelength_um

    @property
    def about(self) -> dict[str, Any]:
        """Model, its hash, dataset, its commit, number of planets."""
        return {
            "model": self.network.source,
            "model_sha256": self.network.digest,
            "dataset": self.catalogue.name,
            "dataset_revision": self.catalogue.revision,
            "planets": len(self.catalogue.planets()),
            "simulated_sample": self.catalogue.is_sample,
        }

    # --- planets -------------------------------------------------------------------------------------------------

    def planets(self) -> list[PlanetInfo]:
        """All planets of the dataset, with the scores known so far."""
        return [self._with_score(planet) for planet in self.catalogue.planets()]

    def info(self, planet_id: int) -> PlanetInfo:
        """One planet; CatalogueError if the dataset does not have it."""
        return self._with_score(self.catalogue.info(planet_id))

    def search(self, text: str, limit: int = 50) -> list[PlanetInfo]:
        """Planets whose id, layout, split or note holds every word of ``text``."""
        return [self._with_score(planet) for planet in self.catalogue.search(text, limit)]

    def random(self, seed: int) -> PlanetInfo:
        """A planet; the same for the same seed."""
        return self._with_score(self.catalogue.random(seed))

    def hardest(self, n: int = 5) -> list[PlanetInfo]:
        """Planets with the lowest 2024 scores, worst first; without truths those with the widest σ.

        For a dataset without `scores.json`, 24 planets are predicted first, once.
        """
        return self._by_rank()[:n]

    def best(self, n: int = 5) -> list[PlanetInfo]:
        """Planets with the highest 2024 scores, best first."""
        return self._by_rank()[::-1][:n]

    def ranked(self) -> dict[int, Ranked]:
        """Planets that have been predicted for the ranking so far, in the dataset's order."""
        known = dict(self._ranks)
        return {one.planet_id: known[one.planet_id] for one in self.catalogue.planets() if one.planet_id in known}

    def opening(self) -> int:
        """The planet to open on: its surest molecule stands out by about OPENS_AT; the first before any is ranked."""
        sure = {
            planet: max(rank.verdict.molecules.values())
            for planet, rank in self.ranked().items()
            if rank.verdict and rank.verdict.molecules and rank.score is not None
        }
        first = self.catalogue.planets()[0].planet_id
        return min(sure, key=lambda planet: abs(np.log((sure[planet] + 1e-3) / OPENS_AT)), default=first)

    def visits(self, planet_id: int) -> list[VisitRow]:
        """Rows of a planet's visits; CatalogueError if the dataset does not have it."""
        return self.catalogue.visits(planet_id)

    # --- answers -------------------------------------------------------------------------------------------------

    def spectrum(self, rows: Rows) -> Spectrum:
        """The spectrum of one planet from the rows of its visits.

        Rows are the dataset's, or any that the feature extractor accepts: ``time`` (T,) [h], ``flux`` and ``flux_err``
        (T, C), and optional columns. EngineError where they are refused.
        """
        return self._answer(rows).spectrum

    def verdict(self, rows: Rows) -> Verdict:
        """What the spectrum of one planet says: molecules that stand out, how much of its error is shared."""
        *_, key = self._fitted(rows)
        return self._verdicts.get(key, lambda: verdict(self.spectrum(rows)))

    def light_curves(self, rows: Rows, visit: int = 0) -> LightCurves:
        """Light curves of the visit at place ``visit`` among the rows, with the fit."""
        if not 0 <= visit < len(rows):
            raise EngineError(f"visit: expected 0 to {len(rows) - 1}, found {visit}")
        features, fits, _ = self._fitted(rows)
        row = rows[visit]
        one = {name: features[name][visit] for name in ("time", "flux", "flux_err", "valid")}
        number = int(row.get("visit", visit) or 0)
        return freeze(
            light_curves(
                planet_name(rows),
                number,
                one,
                fits.select(torch.tensor([visit])),
                self.wavelength_um,
                len(row["time"]),
                row.get("centroid"),
            )
        )

    def why(self, rows: Rows) -> Attribution:
        """Which times and wavelengths the mean and the precision of a spectrum come from (see `explain`)."""
        features, _, key = self._fitted(rows)
        answer = self._answer(rows)

        def make() -> Attribution:
            return freeze(attribution(self.network, planet_name(rows), features, answer, self._occlusion_fits))

        return self._attributions.get(key, make)

    def air_map(self, rows: Rows, visit: int = 0) -> AirMap | None:
        """What each wavelength hides beyond the white transit of a visit; None where there is no fit."""
        _, fits, _ = self._fitted(rows)
        return air_map(self.light_curves(rows, visit), fits.depth[visit].numpy())

    @torch.no_grad()
    def parts(self, rows: Rows) -> SigmaParts:
        """What the σ of one planet's spectrum is made of."""
        features, fits, key = self._fitted(rows)
        answer, physics = self._answer(rows), self.network.pipeline.model.physics
        return self._parts.get(key, lambda: sigma_parts(planet_name(rows), features, fits, answer, physics))

    @torch.no_grad()
    def forecast(self, rows: Rows, molecule: str) -> Forecast:
        """How far a molecule is expected to stand out with more transits; ValueError where nothing was fitted."""
        _, fits, key = self._fitted(rows)
        answer, observed, physics = (
            self._answer(rows),
            self.verdict(rows).molecules,
            self.network.pipeline.model.physics,
        )
        return self._forecasts.get(f"{key} {molecule}", lambda: forecast(answer, observed, molecule, fits, physics))

    def raw_view(self, which: int | Rows) -> RawView | None:
        """Detector images of a planet of the dataset, or of an uploaded raw folder's rows; None without any."""
        if isinstance(which, int | np.integer):
            return self.catalogue.raw_view(int(which))
        return next((row["raw_view"] for row in which if row.get("raw_view") is not None), None)

    @functools.cached_property
    def _stored_reliability(self) -> Reliability | None:
        return stored_reliability(self.network.source, self.network.revision)

    def reliability(self) -> Reliability:
        """Coverage as recorded when the checkpoint was calibrated, else measured on the open dataset."""
        return self._stored_reliability or self._measured_reliability

    def uploads_like(self, spectrum: Spectrum) -> str:
        """How right error bars were for light curves of another simulator that are like an upload's; or nothing."""
        return of_uploads_like(spectrum, self.network.source, self.network.revision)

    @functools.cached_property
    def _measured_reliability(self) -> Reliability:
        labelled = [planet for planet in self._first_planets() if planet.labelled]
        if not labelled:
            raise EngineError(f"reliability: expected planets with known truth in {self.catalogue.name}, found none")
        spectra = [self.spectrum(self.visits(planet.planet_id)) for planet in labelled]
        return measured_reliability(spectra, f"{len(spectra)} planets of {self.catalogue.name}")

    # --- work ----------------------------------------------------------------------------------------------------

    def _answer(self, rows: Rows) -> Answer:
        features, fits, key = self._fitted(rows)
        return self._answers.get(key, lambda: self.network.answer(planet_name(rows), rows, features, fits, key))

    def _fitted(self, rows: Rows) -> tuple[dict[str, torch.Tensor], ClassicalFit, str]:
        """Features, the fits of all visits and a hash of everything that the answer depends on."""
        features = self._features(rows)
        fits = self.fits(features)
        digest = hashlib.sha256(planet_name(rows).encode())
        for name in sorted(features):
            digest.update(name.encode() + features[name].numpy().tobytes())
        return features, fits, digest.hexdigest()

    def _features(self, rows: Rows) -> dict[str, torch.Tensor]:
        if not rows:
            raise EngineError("light curves: expected at least one visit, found none")
        if len(rows) > MOST_VISITS:
            raise EngineError(f"light curves: expected at most {MOST_VISITS} visits of a planet, found {len(rows)}")
        planets = {row.get("planet_id") for row in rows}
        if len(planets) > 1:
            raise EngineError(f"light curves: expected the visits of one planet, found those of {len(planets)}")
        together = [{**row, "planet_id": 0} if len(rows) > 1 and row.get("planet_id") is None else row for row in rows]
        try:
            return dict(self.network.pipeline.extractor(together))
        except FeatureError as error:
            raise EngineError(str(error)) from error

    def fits(self, features: Features) -> ClassicalFit:
        """The classical fit of each visit, cached or new; EngineError where the queue is too long."""
        batches = self._batches(features, 1)
        return self._in_pool(self._cached_fit, batches, len(batches))

    def _occlusion_fits(self, features: Features) -> ClassicalFit:
        """Fits of an occlusion, in batches that share their search for the transit; they are not cached.

        At most one batch a thread is submitted at a time, so that another user's fit waits for one batch, not for all.
        """
        return self._in_pool(self._fit, self._batches(features, FITS_PER_BATCH), self._workers)

    def _batches(self, features: Features, size: int) -> list[Features]:
        inputs = fit_inputs(features)
        return [
            {name: value[start : start + size] for name, value in inputs.items()}
            for start in range(0, len(features["time"]), size)
        ]

    def _in_pool(
        self, make: Callable[[Features], ClassicalFit], batches: Sequence[Features], at_once: int
    ) -> ClassicalFit:
        waiting: deque[Future[ClassicalFit]] = deque()
        found = []
        try:
            for batch in batches:
                if len(waiting) == at_once:
                    found.append(waiting.popleft().result(timeout=WAIT_S))
                waiting.append(self._pool.submit(make, batch))
            while waiting:
                found.append(waiting.popleft().result(timeout=WAIT_S))
        except Timeout:
            raise EngineError("the Space is busy with other fits: please try again in a minute") from None
        finally:
            for future in waiting:
                future.cancel()
        return concatenate(found)

    def _cached_fit(self, batch: Features) -> ClassicalFit:
        digest = hashlib.sha256()
        for name, tensor in batch.items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        return self._fits.get(digest.hexdigest(), lambda: self._fit(batch))

    def _fit(self, batch: Features) -> ClassicalFit:
        with torch.no_grad():
            pipeline = self.network.pipeline
            return fit(dict(batch), pipeline.fit_wavelength, pipeline.model.physics.fit_settings)

    # --- ranking -------------------------------------------------------------------------------------------------

    def rank_all(self) -> None:
        """Predict the planets to be ranked and keep their scores; the released checkpoint's are also stored."""
        with self._ranking:
            for planet in self._first_planets():
                if planet.planet_id in self._ranks:
                    continue
                try:
                    self._ranks[planet.planet_id] = self._rank(planet.planet_id)
                except (EngineError, CatalogueError) as error:
                    logger.warning("planet %d is not ranked: %s", planet.planet_id, error)
            if not self._ranked.is_set():
                planets = {str(planet): asdict(rank) for planet, rank in self._ranks.items()}
                if self.network.released:
                    self.catalogue.write_scores({"model_sha256": self.network.digest, "planets": planets})
                self._ranked.set()

    def _rank_in_background(self) -> None:
        try:
            self.rank_all()
        except Exception:  # a background thread; asking for the hardest planets tries again
            logger.exception("planets could not be ranked")

    def _first_planets(self) -> list[PlanetInfo]:
        """The planets that are ranked: RANKED of them, evenly spaced in the dataset."""
        planets = self.catalogue.planets()
        return planets[:: max(len(planets) // RANKED, 1)][:RANKED]

    def _rank(self, planet_id: int) -> Ranked:
        rows = self.visits(planet_id)
        spectrum = self.spectrum(rows)
        bins = spectrum.binned(OUTLINE_R)
        airs = bins.wavelength_um >= FGS1_BELOW_UM
        outline = np.round(1e6 * np.stack([bins.mean[airs], bins.sigma[airs]], axis=1), 1).tolist()
        sigma = 1e6 * float(np.median(spectrum.sigma))
        return Ranked(spectrum.scores().get("score_2024"), sigma, self.verdict(rows), outline)

    def _known_ranks(self) -> dict[int, Ranked]:
        stored = self.catalogue.read_scores()
        if stored.get("model_sha256") != self.network.digest:
            return {}
        found = {}
        for planet, rank in stored.get("planets", {}).items():
            if "verdict" in rank:  # scores of older versions lack it
                told = rank["verdict"]
                found[int(planet)] = Ranked(**{**rank, "verdict": told and Verdict(**told)})
        return found

    def _with_score(self, planet: PlanetInfo) -> PlanetInfo:
        rank = self._ranks.get(planet.planet_id)
        return planet if rank is None else replace(planet, score=rank.score)

    def _by_rank(self) -> list[PlanetInfo]:
        if not self._ranked.is_set():
            self.rank_all()
        return [self.info(planet) for planet, _ in sorted(self._ranks.items(), key=lambda item: item[1].key)]


def planet_name(rows: Rows) -> str:
    """Name of a planet's rows in titles."""
    named = rows[0].get("name")
    if named:
        return str(named)
    planet = rows[0].get("planet_id")
    return "your light curves" if planet is None else f"planet {planet}"
