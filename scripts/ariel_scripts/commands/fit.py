"""`ariel fit FILE … --out FOLDER`: anybody's transit light curves to a spectrum, its tables and its page."""

from __future__ import annotations

import dataclasses
import logging
import math
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from ariel_scripts.options.fit import FitOptions
from ariel_scripts.report.telescope.writer import fit_page
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.telescope_fit import reading
from ariel_scripts.telescope_fit.choices import choices_of, orbit_of
from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.summary import verdict, white_depths
from ariel_scripts.telescope_fit.tables import prior_text, write_tables
from ariel_scripts.versions import git_commit, versions
from hf_dataset.words import number_of
from modeling_ariel.any_telescope.observation import Observation
from modeling_ariel.any_telescope.orbit import Orbit, transits
from modeling_ariel.any_telescope.together import MOST_TIMES, TelescopeFit, fit_observations
from modeling_ariel.status import OK

logger = logging.getLogger(__name__)

NEEDED = ("astropy", "h5py")


def main(options: FitOptions) -> None:
    """Read, fit, write tables and page; a fit that fails is written too, with its reason."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise RuntimeError(f"ariel fit: expected {', '.join(missing)}, found none: pip install 'ariel-hf[fit]'")
    orbit = orbit_of(options.orbit)
    if options.dry_run:
        observations = reading.read_all(options.files, options.curves)
        choices_of(options, observations)
        for one in observations:
            logger.info("%s", described(one, orbit))
        return
    with run_record(options.out, "fit", options.record()) as run:
        with run.timed("read"):
            observations = reading.read_all(options.files, options.curves)
            choices = choices_of(options, observations)
        with run.timed("fit"):
            found = fit_observations(observations, orbit, choices, options.each, options.curves.times or MOST_TIMES)
        curves = [VisitCurves.of(visit) for visit in found.visits]
        with run.timed("tables"):
            write_tables(options.out, found, curves, _about(options, found, orbit, run))
        with run.timed("page"):
            text = fit_page(found, orbit, choices, _known(options, run), curves).encode()
            (options.out / "index.html").write_bytes(text)
        run.metrics.update(_metrics(found), bytes=len(text))
    tell = logger.info if found.status == OK else logger.warning
    tell("%s: %s", options.out / "index.html", verdict(found))


def described(observation: Observation, orbit: Orbit) -> str:
    """What a file holds, in a line; ObservationError where it holds no transit."""
    times, channels = observation.shape
    waves = observation.wavelength
    found = [f"{observation.name}: {number_of(times, 'time')} of {number_of(channels, 'channel')}"]
    if math.isfinite(waves[0]):
        found.append(f"{waves[0]:.3f} to {waves[-1]:.3f} um" if channels > 1 else f"{waves[0]:.3f} um")
    zero = "" if observation.bjd0 is None else f" from BJD_TDB {observation.bjd0:.1f} on"
    found.append(f"{observation.time[0]:.2f} to {observation.time[-1]:.2f} h{zero}")
    if observation.instrument:
        found.append(observation.instrument)
    if observation.regressors:
        found.append(f"regressors {', '.join(observation.regressors)}")
    visits = transits(observation, orbit)
    if len(visits) > 1:
        found.append(number_of(len(visits), "transit"))
    if not math.isnan(orbit.t0):
        due = ", ".join(f"{orbit.due(visit)[0]:.2f}" for visit in visits)
        found.append(f"mid-transit due at {due} h")
    return "; ".join([", ".join(found), *observation.notes])


def _about(options: FitOptions, found: TelescopeFit, orbit: Orbit, run: Run) -> dict[str, Any]:
    """What the spectrum's header says of where it comes from."""
    known = {name: value for name, value in dataclasses.asdict(orbit).items() if not math.isnan(value)}
    return {
        "command": "ariel fit",
        "files": [path.name for path in options.files],
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "git_commit": run.commit or "not a checkout",
        "orbit": known,
        "limb_darkening": options.limb_darkening.rpartition("/")[2],
        "noise_with_memory": not options.white,
        "visits": [_visit(visit) for visit in found.visits],
    }


def _visit(visit: Any) -> dict[str, Any]:
    observation, fit = visit.observation, visit.fit
    taken = [one for one in visit.tried if one.share > 0.02] or list(visit.tried[:1])
    return {
        "name": observation.name,
        "instrument": observation.instrument,
        "status": fit.status[0],
        "notes": fit.notes[0],
        "systematics": [
            {"terms": one.systematics.name, "share": round(one.share, 4), "prior_ppm": prior_text(one.systematics)}
            for one in taken
        ],
    }


def _metrics(found: TelescopeFit) -> dict[str, Any]:
    return {
        "status": found.status,
        "notes": found.notes,
        "visits": {visit.observation.name: visit.fit.status[0] for visit in found.visits},
        "white_depths": [dataclasses.asdict(one) for one in white_depths(found)],
    }


def _known(options: FitOptions, run: Run) -> dict[str, Any]:
    """Provenance, shown at the page's end."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": ", ".join(path.name for path in options.files),
        "git commit": git_commit() or "not a checkout",
        "command": {name: value for name, value in options.record().items() if value is not None},
        "versions": versions(),
        "seconds": {one: round(seconds, 1) for one, seconds in run.durations.items()},
    }
