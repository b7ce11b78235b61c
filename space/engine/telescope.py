"""Light curves of any telescope → transit depths with their errors, as `ariel fit` does: a page and tables in a folder.

No network has a part in it. The answer is the same function's as the command's, so it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.options.fit import FitOptions
from ariel_scripts.options.light_curves import LightCurveOptions
from ariel_scripts.options.orbit import OrbitOptions
from ariel_scripts.report.page import framed
from ariel_scripts.report.telescope.writer import fit_page
from ariel_scripts.telescope_fit.choices import choices_of, orbit_of
from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.reading import distinct, prepared
from ariel_scripts.telescope_fit.summary import verdict
from ariel_scripts.telescope_fit.tables import spectrum_table, write_tables
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from modeling_ariel.any_telescope.together import fit_observations

PAGE, ECSV, CSV = "index.html", "spectrum.ecsv", "spectrum.csv"  # in the folder of a fit
MOST_CHANNELS = 200  # of an observation: pixels are binned to as many, as a fit takes seconds for each hundred


@dataclass(frozen=True)
class Known:
    """What is known of planet and star, None what is not: names and units of `ariel fit`; ``systematics`` to fit."""

    period: float | None = None
    a: float | None = None
    b: float | None = None
    inclination: float | None = None
    t0: float | None = None
    teff: float | None = None
    eccentricity: float | None = None
    omega: float | None = None
    systematics: str = "auto"

    def options(self, file: str, bins: int | None) -> FitOptions:
        """As the command's; ObservationError for b and an inclination, which are the same."""
        given = asdict(self)
        systematics = given.pop("systematics").strip() or "auto"
        if self.b is not None and self.inclination is not None:
            raise ObservationError("planet: expected b or the inclination, found both")
        curves = LightCurveOptions(bins=bins)
        return FitOptions([Path(file)], Path(), systematics=systematics, orbit=OrbitOptions(**given), curves=curves)


def fit(observations: Sequence[Observation], known: Known, file: str, folder: Path) -> str:
    """The fit's verdict; PAGE, CSV and the command's tables are written to the folder.

    ``file`` is the name that light curves had. ObservationError where no transit is in them, or what is known cannot
    be; what is wrong with light curves is the verdict.
    """
    options = known.options(file, MOST_CHANNELS)
    orbit = orbit_of(options.orbit)
    wide = [len(one.wavelength) > MOST_CHANNELS for one in observations]
    binned = [prepared(one, options.curves) if many else one for one, many in zip(observations, wide, strict=True)]
    parts = distinct(binned)
    choices = choices_of(options, parts)
    found = fit_observations(parts, orbit, choices)
    curves = [VisitCurves.of(visit) for visit in found.visits]
    about: dict[str, Any] = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": "the Space of ariel-hf, as `ariel fit`",
        "file": file,
        "known": {name: value for name, value in asdict(known).items() if value is not None},
    }
    write_tables(folder, found, curves, about)
    _write_csv(folder / CSV, spectrum_table(found, about))
    (folder / PAGE).write_text(fit_page(found, orbit, choices, about, curves), encoding="utf-8")
    return verdict(found)


def page_of(folder: Path, plotly: str) -> str:
    """The page of a fit for a frame, with Plotly from an address in place of its own copy."""
    return framed((folder / PAGE).read_text(encoding="utf-8"), plotly)


def _write_csv(path: Path, table: Any) -> None:
    """The spectrum with units in its columns' names."""
    plain = table.copy(copy_data=False)
    for name in plain.colnames:
        plain[name] = np.asarray(getattr(plain[name], "value", plain[name]))
    plain.rename_columns(["wavelength", "half_width"], ["wavelength_um", "half_width_um"])
    plain.write(path, format="ascii.csv", overwrite=True)
