"""What the command's options say of planet, systematics and limb darkening, as the fit takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.fit import FitOptions
from ariel_scripts.options.orbit import OrbitOptions
from ariel_scripts.options.yaml_values import read_mapping, shown
from ariel_scripts.telescope_fit.limb_table import read_limb_table
from modeling_ariel.any_telescope.fitting import FREE_LIMB, FitChoices
from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.scan import scan_direction
from modeling_ariel.any_telescope.systematics import AUTO, SCAN, SIZES, Systematics

_RENAMED = {"eccentricity": "e"}


def orbit_of(options: OrbitOptions) -> Orbit:
    """The orbit; a file's values where options have none. ObservationError for what cannot be."""
    given = {name: value for name, value in values_of(options).items() if name != "planet" and value is not None}
    if options.planet is not None:
        told = _planet(options.planet)
        for one, other in (("b", "inclination"), ("inclination", "b")):
            if one in given:  # instead of the file's
                told.pop(other, None)
        given = told | given
    if "b" in given and "inclination" in given:
        raise ObservationError(f"{options.planet}: expected b or inclination, found both")
    if "a_err" in given:
        if "a" not in given:
            raise ObservationError("orbit: expected a beside a_err, found none")
        given["log_a_err"] = given.pop("a_err") / given["a"]
    return Orbit(**{_RENAMED.get(name, name): value for name, value in given.items()})


def _planet(path: Path) -> dict[str, float]:
    """A file's values by the options' names."""
    known = [name for name in values_of(OrbitOptions()) if name != "planet"]
    found = read_mapping(path, "a planet", "period, a, b, …")
    for name, value in found.items():
        if name not in known:
            raise ObservationError(f"{path}: expected {', '.join(known)}, found {name}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise ObservationError(f"{path}: {name}: expected a number, found {shown(value)}")
    return {str(name): float(value) for name, value in found.items()}


def choices_of(options: FitOptions, observations: Sequence[Observation]) -> FitChoices:
    """Systematics, noise and limb darkening; ObservationError where they do not fit the observations."""
    sizes = options.sizes
    if options.systematics.strip() != AUTO:
        model = Systematics.parse(options.systematics, sizes)
        for one in observations:
            model.design(_with_scan(one))
        known = {name for term in model.terms for name in (term.name, term.name.split("(")[0])}
    else:
        known = {SCAN, *SIZES, *(name for one in observations for name in one.regressors)} - {"regressor"}
    for name in sizes:
        if name not in known and re.sub(r"\(\d+\)$", "", name) not in known:
            raise ObservationError(f"--prior {name}: expected one of {', '.join(sorted(known))}, found {name}")
    limb = limb_of(options.limb_darkening, options.limb_error)
    if isinstance(limb, LimbDarkening):
        for one in observations:
            limb.of(one)
    return FitChoices(options.systematics, sizes, limb, memory=not options.white)


def _with_scan(observation: Observation) -> Observation:
    """The observation as the fit sees it, with its scan directions."""
    direction = scan_direction(observation)
    return observation if direction is None else replace(
        observation, regressors={**observation.regressors, SCAN: direction}
    )  # fmt: skip


def limb_of(text: str, error: float | None) -> LimbDarkening | str | None:
    """Limb darkening of ``default``, ``free``, ``u1,u2`` or a table, with another ``error`` of its coefficients."""
    if text in ("default", FREE_LIMB):
        if error is not None:
            raise ObservationError(f"--limb-error: expected a table or u1,u2 beside it, found {text}")
        return None if text == "default" else FREE_LIMB
    pair = re.fullmatch(r"\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*", text)
    if pair:
        return LimbDarkening.one(float(pair[1]), float(pair[2]), error or 0.0)
    if not Path(text).is_file():
        raise ObservationError(f"--limb-darkening: expected default, free, u1,u2 or a table, found {text!r}")
    table = read_limb_table(Path(text))
    return table if error is None else replace(table, u_err=np.full_like(table.u_err, error))
