"""Options of `ariel fit`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.light_curves import LightCurveOptions
from ariel_scripts.options.orbit import OrbitOptions


@dataclass(frozen=True)
class FitOptions:
    """Fit anybody's transit light curves: from files to a spectrum with its covariance, and a page that shows why.

    CSV, ECSV, FITS, HDF5, NPZ or Parquet, of pipelines or of one's own. Several files are visits or instruments of one
    planet, and are fitted together. Needs the extra `fit`.

    Example: ariel fit visit.csv --out fit --period 3.2 --a 8 --b 0.3 --teff 5500 --t0 2459000.125 --t0-err 0.0005

    Example: ariel fit g141.fits niriss.h5 --out fit --planet wasp-39b.yaml --systematics "polynomial(2) + ramp"
    """

    files: Annotated[list[Path], typer.Argument(help="Light curves.")]
    out: Annotated[Path, typer.Option(help="Folder of the tables and index.html.")]
    each: Annotated[bool, typer.Option("--each", help="Depths for each visit, on one orbit.")] = False
    systematics: Annotated[
        str,
        typer.Option(
            help="auto compares evidences; or terms: polynomial(2) + ramp + x, of polynomial(N), ramp, hook, orbit(N) "
            "and regressors."
        ),
    ] = "auto"
    priors: Annotated[
        list[str] | None,
        typer.Option("--prior", help="Standard deviation of a term's coefficients, ppm: ramp=2000; several times."),
    ] = None
    white: Annotated[bool, typer.Option("--white", help="White noise alone: none with memory.")] = False
    limb_darkening: Annotated[
        str,
        typer.Option(
            help="default (of the star's temperature, smooth in wavelength), free, u1,u2, or a TABLE of wavelength, "
            "u1, u2 and their errors, as ExoTiC-LD or LDTk give them."
        ),
    ] = "default"
    limb_error: Annotated[
        float | None,
        typer.Option(help="Error of u1 and u2 in place of the table's; 0 holds them fixed.", min=0.0, max=1.0),
    ] = None
    orbit: OrbitOptions = field(default_factory=OrbitOptions)
    curves: LightCurveOptions = field(default_factory=LightCurveOptions)
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the files, say what they hold; fit nothing.")] = False

    def __post_init__(self) -> None:
        """Refuse values that do not go together."""
        wanted = [one for one in ("bins", "resolution", "edges") if getattr(self.curves, one) is not None]
        if len(wanted) > 1:
            raise typer.BadParameter("expected one of --bin, --resolution, --edges, found several")
        if self.orbit.b is not None and self.orbit.inclination is not None:
            raise typer.BadParameter("expected --b or --inclination, found both")
        if self.curves.quality not in ("default", "none"):
            raise typer.BadParameter(f"--quality: expected default or none, found {self.curves.quality!r}")

    @property
    def sizes(self) -> dict[str, float]:
        """Priors [relative flux] by name."""
        found = {}
        for text in self.priors or ():
            name, _, size = text.partition("=")
            try:
                found[name.strip()] = 1e-6 * float(size)
            except ValueError:
                raise typer.BadParameter(f"--prior: expected NAME=PPM such as ramp=2000, found {text!r}") from None
            if not 0 < found[name.strip()] < math.inf:
                raise typer.BadParameter(f"--prior: expected a positive size, found {text!r}")
        return found

    def record(self) -> dict[str, Any]:
        """What decides the result."""
        names = [one.name for one in fields(self) if one.name not in ("out", "dry_run", "orbit", "curves", "files")]
        own = {name: getattr(self, name) for name in names}
        paths = {"files": [str(path) for path in self.files]}
        groups = {**values_of(self.orbit), **values_of(self.curves)}
        return paths | own | {name: str(one) if isinstance(one, Path) else one for name, one in groups.items()}
