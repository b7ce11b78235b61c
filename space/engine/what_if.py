"""What if: the same planet with more noise, more transits, another drift or missing channels.

Planets of the bundled sample are simulated again with the same draws, so that only the conditions differ. Other light
curves, and those reduced from raw frames, can only lose data: noise is added, channels and visits are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import sample
from engine.rebin import rebinned

if TYPE_CHECKING:
    from engine.inference import Engine
    from engine.spectrum import Spectrum

NOISE, TRANSITS, DRIFT, BINS = (0.1, 20.0), (1, 10), (0.0, 20.0), (60, 500)  # least and most
MOST_RANGES = 20

Row = Mapping[str, Any]
Range = tuple[float, float]


class WhatIfError(ValueError):
    """Conditions that are impossible; the message is for the user."""


def what_if(
    engine: Engine,
    planet: int | Sequence[Row],
    *,
    noise: float = 1.0,
    transits: int | None = None,
    drift: float = 1.0,
    missing_um: Sequence[Range] = (),
    bins: int | None = None,
    seed: int = 0,
) -> Spectrum:
    """The spectrum under other conditions; arguments as in `observe`. The same arguments give the same spectrum."""
    return engine.spectrum(
        observe(
            engine, planet, noise=noise, transits=transits, drift=drift, missing_um=missing_um, bins=bins, seed=seed
        )
    )


def observe(
    engine: Engine,
    planet: int | Sequence[Row],
    *,
    noise: float = 1.0,
    transits: int | None = None,
    drift: float = 1.0,
    missing_um: Sequence[Range] = (),
    bins: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows of visits under other conditions, for the engine.

    Args:
        engine: whose dataset holds the planet.
        planet: its id, or rows of light curves.
        noise: factor on the noise, photon, read and pointing noise alike.
        transits: visits; default as many as there are.
        drift: factor on the gain drift.
        missing_um: ranges of wavelength [um] whose channels are left out.
        bins: time bins of a visit; default unchanged.
        seed: of the noise that is added to light curves that are not simulated.

    WhatIfError where the conditions are impossible.
    """
    _check(noise, transits, drift, missing_um, bins)
    rows = engine.visits(planet) if isinstance(planet, int | np.integer) else [dict(row) for row in planet]
    case = simulated_case(engine, planet)
    n_transits = len(rows) if transits is None else int(transits)
    usual = noise == 1.0 and drift == 1.0 and n_transits <= len(rows)
    if case is not None and not (usual and bins is None):
        simulated = sample.observe(case, noise, drift, n_transits, tuple(missing_um), bins or sample.N_BINS)
        return _with_note(simulated, _describe(noise, n_transits, drift, missing_um, bins, "Simulated anew"))
    if drift != 1.0:
        raise WhatIfError("drift: expected a planet that is simulated as light curves, found some whose drift is given")
    if n_transits > len(rows):
        raise WhatIfError(
            f"transits: expected at most the {len(rows)} observed, as these light curves are not simulated, found "
            f"{n_transits}"
        )
    if noise < 1.0:
        raise WhatIfError(f"noise: expected 1 or more, as noise cannot be taken out of these data, found {noise:g}")
    changed = [_degraded(row, engine.wavelength_um, noise, missing_um, bins, seed) for row in rows[:n_transits]]
    if usual and n_transits == len(rows) and not missing_um and bins is None:
        return changed
    return _with_note(changed, _describe(noise, n_transits, drift, missing_um, bins, "The same light curves"))


def simulated_case(engine: Engine, planet: int | Sequence[Row]) -> sample.Case | None:
    """The case of a planet that can be simulated again; None where data can only be left out.

    None for all planets but the sample's, and for its planet with raw frames: simulated as light curves it would have
    other noise and other draws, so that not only the conditions would differ.
    """
    if not (isinstance(planet, int | np.integer) and engine.catalogue.is_sample):
        return None
    case = sample.cases().get(int(planet))
    return None if case is None or case.raw_frames is not None else case


def _check(noise: float, transits: int | None, drift: float, missing_um: Sequence[Range], bins: int | None) -> None:
    for name, value, (least, most) in (
        ("noise", noise, NOISE),
        ("transits", transits, TRANSITS),
        ("drift", drift, DRIFT),
        ("bins", bins, BINS),
    ):
        if value is not None and not least <= value <= most:
            raise WhatIfError(f"{name}: expected {least:g} to {most:g}, found {value:g}")
    if len(missing_um) > MOST_RANGES:
        raise WhatIfError(f"missing channels: expected at most {MOST_RANGES} ranges, found {len(missing_um)}")
    for pair in missing_um:
        if len(pair) != 2 or not all(np.isfinite(pair)) or not pair[0] <= pair[1]:
            raise WhatIfError(f"missing channels: expected ranges from a shorter to a longer wavelength, found {pair}")


def _degraded(
    row: Row, wavelength: np.ndarray, noise: float, missing_um: Sequence[Range], bins: int | None, seed: int
) -> dict[str, Any]:
    """A row in fewer bins, with noise added and channels left out."""
    out = dict(row)
    if bins is not None:
        out.update(rebinned(row, bins))
    if noise > 1.0:
        flux, error = (np.asarray(out[name], np.float64) for name in ("flux", "flux_err"))
        digest = hashlib.sha256(f"{seed} {row.get('planet_id')} {row.get('visit')}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        extra = error * np.sqrt(noise**2 - 1.0) * rng.standard_normal(flux.shape)
        out["flux"], out["flux_err"] = flux + extra, error * noise
    if missing_um:
        own = wavelength if row.get("wavelength") is None else np.asarray(row["wavelength"], np.float64)
        out["valid"] = np.ones(np.shape(out["flux"]), bool) if out.get("valid") is None else out["valid"]
        sample.hide(out, own, missing_um, ())
    return out


def _describe(
    noise: float, transits: int, drift: float, missing_um: Sequence[Range], bins: int | None, start: str
) -> str:
    parts = [f"noise × {noise:g}" * (noise != 1.0), f"drift × {drift:g}" * (drift != 1.0)]
    parts += [f"{transits} transit{'s' * (transits > 1)}"]
    parts += [f"without {low:.2f}–{high:.2f} µm" for low, high in missing_um]
    parts += [f"at most {bins} bins"] if bins is not None else []
    return f"{start}: {', '.join(part for part in parts if part)}."


def _with_note(rows: list[dict[str, Any]], words: str) -> list[dict[str, Any]]:
    """The rows, with the note on the first."""
    return [{**row, "notes": ((words,) if place == 0 else ())} for place, row in enumerate(rows)]
