"""What a report is about: the planets of a split, and what models and files predict for them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.opening.datasets import open_split, wavelengths_of
from ariel_scripts.opening.hub import Located
from hf_dataset import folders
from hf_dataset.digests import file_hash
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.predictions import SUFFIXES, Predictions, read_predictions, read_run

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

STAR = ("Rs", "Ms", "Ts", "Mp", "P", "sma", "i")
COLUMNS = ("planet_id", "visit", "layout", "spectrum", "calibration", *STAR)


@dataclass(frozen=True)
class Network:
    """What made predictions: a model to load again, and the hash of its weights where it is known."""

    source: str
    revision: str | None = None
    architecture: str | None = None
    digest: str | None = None


@dataclass
class Entry:
    """Predictions of one model or file: ``mu``, ``sigma`` (P, C) [depth], ``aleatoric`` and ``epistemic`` or None,
    ``status`` and ``notes`` of each planet; ``latent`` (P, D) of the network, NaN where it is not known, or None;
    the ``network``, where one is known to have predicted.
    """

    name: str
    source: str
    mu: Array
    sigma: Array
    aleatoric: Array | None = None
    epistemic: Array | None = None
    status: list[str] | None = None
    notes: list[str] | None = None
    latent: Array | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    network: Network | None = None

    def rows(self, which: NDArray[Any]) -> tuple[Array, Array]:
        """``mu`` and ``sigma`` of some planets."""
        return self.mu[which], self.sigma[which]


@dataclass
class Study:
    """Planets (P,) with the ``truth`` (P, C) [depth], NaN where unlabelled, the ``star`` tables (P, 7), the
    ``calibration`` logs of all visits, and the ``entries`` compared; ``wavelength`` (C,) [um]; ``listed``: whether the
    page has a table of planets, to which figures lead.
    """

    dataset: str
    split: str
    wavelength: Array
    planets: NDArray[np.int64]
    visits: NDArray[np.int64]
    truth: Array
    star: Array
    calibration: dict[int, list[Any]]
    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)
    listed: bool = True

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Numbers of the planets with a known spectrum."""
        return np.flatnonzero(np.isfinite(self.truth).all(1))

    def judged(self, entry: Entry) -> tuple[Array, Array, Array]:
        """Truth, mean and sigma of the labelled planets."""
        which = self.labelled
        return (self.truth[which], *entry.rows(which))

    @property
    def click(self) -> str:
        """A sentence for captions of figures whose points lead to planets."""
        return " Click a planet." if self.listed else ""

    def star_column(self, name: str) -> Array:
        """A column (P,) of the star table."""
        return self.star[:, STAR.index(name)]

    def keep(self, which: NDArray[Any]) -> None:
        """Drop all other planets."""
        self.planets, self.visits = self.planets[which], self.visits[which]
        self.truth, self.star = self.truth[which], self.star[which]
        self.calibration = {int(planet): self.calibration[int(planet)] for planet in self.planets}


def stars(study: Study) -> Array:
    """Star tables (P, 8), NaN where unknown."""
    found = np.full((len(study.planets), len(STAR_COLUMNS)), np.nan)
    for name in STAR:
        found[:, STAR_COLUMNS.index(name)] = study.star_column(name)
    return found


@dataclass
class NamedPredictions:
    """Predictions as they came, under the ``name`` that the report calls them; ``latents`` (D,) by planet, if any."""

    name: str
    source: str
    predictions: Predictions
    latents: dict[int, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    network: Network | None = None


def read_study(where: Located, split: str, limit: int | None) -> Study:
    """The first ``limit`` planets of a split, by number, without predictions."""
    dataset = where.name
    found: dict[int, list[dict[str, Any]]] = {}
    for row in open_split(where, split, COLUMNS):
        planet = int(row["planet_id"])
        if planet in found or limit is None or len(found) < limit:
            found.setdefault(planet, []).append(row)
    if not found:
        raise ValueError(f"{dataset}: split {split!r} has no rows")
    found = dict(sorted(found.items()))  # the order of rows in a dataset is to change nothing
    first = [rows[0] for rows in found.values()]
    wavelength = np.asarray(wavelengths_of(where, str(first[0]["layout"])), np.float64)
    unknown = np.full(len(wavelength), np.nan)
    truth = [np.asarray(row["spectrum"], np.float64) if row["spectrum"] else unknown for row in first]
    for planet, spectrum in zip(found, truth, strict=True):
        if len(spectrum) != len(wavelength):
            raise ValueError(
                f"{dataset}: planet {planet}: expected a spectrum of {len(wavelength)} channels, found {len(spectrum)}"
            )
    return Study(
        dataset=dataset,
        split=split,
        wavelength=wavelength,
        planets=np.array(list(found), np.int64),
        visits=np.array([len(rows) for rows in found.values()], np.int64),
        truth=np.stack(truth),
        star=np.array([[np.nan if row[name] is None else row[name] for name in STAR] for row in first], np.float64),
        calibration={planet: [_log(row["calibration"]) for row in rows] for planet, rows in found.items()},
    )


def _log(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def add_entries(study: Study, named: Sequence[NamedPredictions]) -> None:
    """Put predictions in the order of the planets that all of them have.

    The planets that are lost so are kept by name in ``left_out``; ValueError where none is left.
    """
    wanted = study.planets.tolist()
    common = set(wanted)
    for one in named:
        have = set(one.predictions.planet_id.tolist())
        if missing := [planet for planet in wanted if planet not in have]:
            study.left_out[one.name] = missing
            logger.warning(
                "%s: no prediction for %d of %d planets: %s", one.name, len(missing), len(wanted), missing[:5]
            )
        common &= have
    if not common:
        raise ValueError(
            f"{study.dataset}: split {study.split!r}: expected planets that every prediction is of, found none"
        )
    study.keep(np.array([place for place, planet in enumerate(wanted) if planet in common]))
    study.entries += [_entry(study, one) for one in named]


def _entry(study: Study, named: NamedPredictions) -> Entry:
    predictions, latents = named.predictions, named.latents
    place = {int(planet): row for row, planet in enumerate(predictions.planet_id)}
    rows = [place[int(planet)] for planet in study.planets]

    def column(key: str) -> Array | None:
        values = predictions.extra.get(key)
        return None if values is None else np.asarray(values, np.float64)[rows]

    latent = None
    if latents:
        unknown = np.full(len(next(iter(latents.values()))), np.nan)
        latent = np.stack([latents.get(int(planet), unknown) for planet in study.planets]).astype(np.float64)

    def texts(key: str) -> list[str] | None:
        values = predictions.extra.get(key)
        return None if values is None else [str(values[row]) for row in rows]

    return Entry(
        name=named.name,
        source=named.source,
        mu=predictions.mu[rows].astype(np.float64),
        sigma=np.maximum(predictions.sigma[rows].astype(np.float64), 1e-15),
        aleatoric=column("sigma_aleatoric"),
        epistemic=column("sigma_epistemic"),
        status=texts("status"),
        notes=texts("notes"),
        latent=latent,
        facts=named.facts,
        network=named.network,
    )


def read_file(path: Path) -> tuple[Predictions, dict[str, Any], Network | None]:
    """A predictions file, what is known of how it was made: its hash, and the record in it or beside it; the network.

    Of an ensemble, the network is its first one.
    """
    facts: dict[str, Any] = {"file": path.name, "sha256": file_hash(path)}
    found = read_predictions(path)
    record = read_run(path) or folders.read_json(path.with_name(f"{path.stem}.run.json")) or {}
    facts |= {name: record[name] for name in ("command", "config_hash", "seeds", "git_commit") if name in record}
    for name, known in (("models", "model_sha256"), ("sources", "sources"), ("dataset", "dataset")):
        if value := record.get("metrics", {}).get(name):
            facts[known] = value
    if applied := record.get("metrics", {}).get("conformal"):
        facts["sigma"] = f"multiplied by the conformal q of alpha {applied['alpha']:g}"
    return found, facts, _network(record)


def _network(record: dict[str, Any]) -> Network | None:
    """The one that the record of a prediction names."""
    config = record.get("config", {})
    if record.get("command") != "predict" or not config.get("models"):
        return None
    digests = record.get("metrics", {}).get("models") or [None]
    return Network(config["models"][0], config.get("revision"), config.get("architecture"), digests[0])


def names_of(sources: Sequence[str]) -> list[str]:
    """A short name for each source, the last part of its path, made different by as many parts as that takes."""
    paths = (Path(source).with_suffix("") if source.endswith(SUFFIXES) else Path(source) for source in sources)
    parts = [path.parts for path in paths]
    names = []
    for place, own in enumerate(parts):
        length = 1
        others = parts[:place] + parts[place + 1 :]
        while length < len(own) and any(other[-length:] == own[-length:] for other in others):
            length += 1
        names.append("/".join(own[-length:]))
    return [f"{name} ({place + 1})" if names.count(name) > 1 else name for place, name in enumerate(names)]
