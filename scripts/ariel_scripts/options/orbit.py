"""Options of a planet's orbit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

ORBIT = "The planet; what is not given is fitted as far as the light curves tell it"


@dataclass(frozen=True)
class OrbitOptions:
    """What is known of the planet's orbit and star."""

    planet: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON of the names below; options win over it.", rich_help_panel=ORBIT),
    ] = None
    period: Annotated[float | None, typer.Option(help="In days.", rich_help_panel=ORBIT)] = None
    period_err: Annotated[float | None, typer.Option(help="In days.", min=0.0, rich_help_panel=ORBIT)] = None
    a: Annotated[float | None, typer.Option("--a", help="Semi-major axis, stellar radii.", rich_help_panel=ORBIT)] = (
        None
    )
    a_err: Annotated[
        float | None, typer.Option(help="How far it is trusted (default 2 %).", min=1e-6, rich_help_panel=ORBIT)
    ] = None
    inclination: Annotated[
        float | None, typer.Option(help="In degrees.", min=0.0, max=180.0, rich_help_panel=ORBIT)
    ] = None
    b: Annotated[float | None, typer.Option("--b", help="Or the impact parameter.", min=0.0, rich_help_panel=ORBIT)] = (
        None
    )
    b_err: Annotated[
        float | None, typer.Option(help="How far it is trusted (default 0.03).", min=1e-6, rich_help_panel=ORBIT)
    ] = None
    eccentricity: Annotated[float | None, typer.Option(rich_help_panel=ORBIT)] = None
    omega: Annotated[float | None, typer.Option(help="Of periastron, degrees.", rich_help_panel=ORBIT)] = None
    t0: Annotated[
        float | None,
        typer.Option(
            "--t0", help="Of a mid-transit, BJD_TDB; hours where the file's times have no zero.", rich_help_panel=ORBIT
        ),
    ] = None
    t0_err: Annotated[
        float | None, typer.Option("--t0-err", help="In days, or hours as t0.", min=0.0, rich_help_panel=ORBIT)
    ] = None
    teff: Annotated[float | None, typer.Option(help="Of the star, K: for limb darkening.", rich_help_panel=ORBIT)] = (
        None
    )
