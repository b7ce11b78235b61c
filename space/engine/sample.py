"""The bundled dataset: 24 simulated planets, some of them hard, one of them reduced from raw frames.

It is a dataset folder (Parquet shards and a card) with `sample.json` (notes on special planets), `raw/PLANET.npz` (the
detector images of the raw planet) and `scores.json` (for the ranking). The same code gives the same planets, so that
"what if" can simulate them again under other conditions. Several processes may make the folder at once: the first to
finish puts it in place, complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.raw_view import make_view, write_view
from hf_dataset.digests import ROW_SOURCES, source_hash
from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import light_curves, planets, raw_folder
from hf_dataset.simulation.telescope import AIRS_EXPOSURES, DriftLaw, wavelengths_um
from hf_dataset.store import shards

logger = logging.getLogger(__name__)

SEED = 20290101  # Ariel is to be launched in 2029
N_PLANETS = 24
N_2024 = 4  # of them as in the challenge of 2024: two host stars, without a star table
N_BINS = 375
RECORD, SCORES, RAW = "sample.json", "scores.json", "raw"
BUNDLED = Path(__file__).resolve().parents[1] / "sample_data"  # in a pushed Space
RAW_FRAMES = 1500  # AIRS-CH0 frames of the raw planet, of really 11,250
MADE = """Simulated light curves of the Space's examples: `hf_dataset.simulation.light_curves` draws planets, stars
and spectra, transits with wavelength-dependent limb darkening, gain drift, pointing jitter, photon and read noise; one
planet is simulated as raw frames and reduced by `hf_dataset`. `sample.json` says what is special about some of
them."""

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Case:
    """A planet and how it is observed: factors on noise and drift; missing data; raw AIRS frames."""

    planet: planets.Planet
    note: str = ""
    noise: float = 1.0
    drift: float = 1.0
    visits: int = 1
    missing_um: tuple[Range, ...] = ()
    missing_h: tuple[Range, ...] = ()
    raw_frames: int | None = None


@cache
def cases() -> dict[int, Case]:
    """All planets of the sample by their id."""
    drawn = [
        *planets.sample_planets(N_PLANETS - N_2024, SEED, "2025"),
        *planets.sample_planets(N_2024, SEED + 1, "2024"),
    ]
    special: dict[int, dict[str, Any]] = {
        1: {"note": "noisy: 3 times the usual", "noise": 3.0},
        2: {"note": "strong drift: 5 times the usual", "drift": 5.0},
        3: {"note": "2.5–2.9 µm missing", "missing_um": ((2.5, 2.9),)},
        4: {"note": "two visits", "visits": 2},
        5: {"note": "a gap over egress", "missing_h": ((0.0, 0.0),)},
        6: {"note": "transit cut off by the window"},
        7: {"note": "raw frames", "raw_frames": RAW_FRAMES},
        8: {"note": "noisy, strong drift, two visits", "noise": 4.0, "drift": 4.0, "visits": 2},
        9: {"note": "FGS1 missing", "missing_um": ((0.0, 1.0),)},
        21: {"note": "two visits", "visits": 2},
    }
    found = {}
    for place, planet in enumerate(drawn):
        settings = dict(special.get(place, {}))
        if "egress" in settings.get("note", ""):
            end = planet.t0 + 0.5 * planet.duration
            settings["missing_h"] = ((end - 0.35, end + 0.25),)
        if "cut off" in settings.get("note", ""):
            planet = replace(planet, t0=7.5 - 0.3 * planet.duration)
        found[planet.planet_id] = Case(planet, **settings)
    return found


def observe(
    case: Case,
    noise: float = 1.0,
    drift: float = 1.0,
    visits: int | None = None,
    missing_um: Sequence[Range] = (),
    n_bins: int = N_BINS,
) -> list[dict[str, Any]]:
    """Rows of the dataset: the case's visits, or ``visits``, with ``noise`` and ``drift`` times the case's own.

    k times the noise is simulated as the light of 1/k² exposures. The draws depend on planet and visit alone, so that
    two observations differ by their conditions only.
    """
    exposures = AIRS_EXPOSURES if case.raw_frames is None else case.raw_frames // 2
    factor = (noise * case.noise) ** 2
    law = DriftLaw()
    amplitude = drift * case.drift
    settings = light_curves.LightCurveSettings(
        noise=light_curves.NoiseModel(airs_exposures=max(round(exposures / factor), 1)),
        drift=replace(
            law,
            airs=tuple(amplitude * a for a in law.airs),  # type: ignore[arg-type]
            fgs1=tuple(amplitude * a for a in law.fgs1),  # type: ignore[arg-type]
        ),
    )
    rows = [
        light_curves.simulate_row(case.planet, visit, n_bins, SEED, settings)
        for visit in range(case.visits if visits is None else visits)
    ]
    for row in rows:
        hide(row, wavelengths_um(case.planet.layout), [*case.missing_um, *missing_um], case.missing_h)
    return rows


def hide(row: dict[str, Any], wavelength: np.ndarray, ranges_um: Sequence[Range], ranges_h: Sequence[Range]) -> None:
    """Mark channels (C,) [um] and times within the ranges as not valid."""
    valid = np.array(row["valid"], bool)
    for low, high in ranges_um:
        valid[:, (wavelength >= low) & (wavelength <= high)] = False
    time = np.asarray(row["time"])
    for low, high in ranges_h:
        valid[(time >= low) & (time <= high)] = False
    row["valid"] = valid


# --- files ---------------------------------------------------------------------------------------------------------


def ensure(folder: Path | None = None) -> Path:
    """The folder of the sample: ``folder``, the bundled one or the cache's; made if it does not exist."""
    if folder is None:
        folder = BUNDLED if (BUNDLED / RECORD).exists() else cache_folder()
    if not (folder / RECORD).exists():
        make(folder)
    return folder


def cache_folder() -> Path:
    """The sample's folder in this machine's cache, one for each version of the code."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "ariel-hf" / f"space-sample-{code_hash()}"


def code_hash() -> str:
    """Hash of the sources that decide the sample's rows: this file, the simulation, the reduction."""
    own = hashlib.sha256(Path(__file__).read_bytes())
    own.update(source_hash(sources=("simulation", *ROW_SOURCES)).encode())
    return own.hexdigest()[:12]


def make(folder: Path) -> Path:
    """Write the sample to a new folder, whole or not at all; a folder that another process finished first is kept."""
    folder = Path(folder)
    if (folder / RECORD).exists():
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: expected a new or empty folder, found other files in it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        logger.info("making the simulated sample of %d planets: %s", N_PLANETS, folder)
        _write(stage)
        stage.chmod(0o755)
        if folder.exists():
            folder.rmdir()  # only an empty one can be
        os.rename(stage, folder)
    except OSError:
        if not (folder / RECORD).exists():
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return folder


def _write(stage: Path) -> None:
    # imports `datasets`, which takes a second that a Space with its sample need not wait
    from hf_dataset.store.card import write_card

    def rows() -> Any:
        for case in cases().values():
            yield from observe(case) if case.raw_frames is None else [_raw_row(case, stage)]

    shards.write_rows(stage, "train", rows(), N_BINS, rows_per_shard=64)
    write_card(stage, wavelengths_um("2025"), MADE, {"seed": SEED, "code": code_hash()}, "Ariel Space sample")
    notes = {str(planet): case.note for planet, case in cases().items()}
    record = {"seed": SEED, "code": code_hash(), "notes": notes}
    (stage / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _raw_row(case: Case, stage: Path) -> dict[str, Any]:
    """A row reduced from raw frames in a temporary folder; the detector images are written to ``stage``."""
    with tempfile.TemporaryDirectory(prefix="ariel-raw-") as where:
        root = raw_folder.write_folder(where, [case.planet], "2025", int(case.raw_frames or RAW_FRAMES), SEED)
        visit = layouts.open_folder(root).visit("train", case.planet.planet_id, 0)
        row, _ = reduce_visit(visit, ReductionOptions(n_bins=N_BINS))
        write_view(stage / RAW / f"{case.planet.planet_id}.npz", make_view(visit))
        visit.close()
    return row
