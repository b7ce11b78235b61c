"""Options of reading anybody's light curves, for commands that take files of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

READING = "How files are read"


@dataclass(frozen=True)
class LightCurveOptions:
    """What a file may leave open, and which part of it is wanted."""

    time_unit: Annotated[
        str | None,
        typer.Option(help="h, min, s, d, bjd, bmjd, btjd, bkjd, jd, mjd, bjd-2450000, …", rich_help_panel=READING),
    ] = None
    wavelength_unit: Annotated[str | None, typer.Option(help="um, nm or angstrom.", rich_help_panel=READING)] = None
    wavelength: Annotated[
        float | None, typer.Option(help="Of a white light curve, in um.", min=0.01, rich_help_panel=READING)
    ] = None
    instrument: Annotated[
        str | None, typer.Option(help="Its name; files of one instrument share depths.", rich_help_panel=READING)
    ] = None
    exposure: Annotated[
        float | None,
        typer.Option(help="In s; by default the file's, or the time step.", min=0.0, rich_help_panel=READING),
    ] = None
    flux: Annotated[str | None, typer.Option(help="Column or array of the flux.", rich_help_panel=READING)] = None
    regressors: Annotated[
        list[str] | None,
        typer.Option(
            "--regressor", help="Column that systematics may follow, as x or airmass; several times.",
            rich_help_panel=READING,
        ),
    ] = None  # fmt: skip
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="Names, in order, of a table without a header.", rich_help_panel=READING),
    ] = None
    quality: Annotated[str, typer.Option(help="none keeps points that the file flags.", rich_help_panel=READING)] = (
        "default"
    )
    first: Annotated[
        float | None, typer.Option("--from", help="First hour, as --dry-run counts them.", rich_help_panel=READING)
    ] = None
    last: Annotated[float | None, typer.Option("--to", help="Last hour.", rich_help_panel=READING)] = None
    bins: Annotated[
        int | None, typer.Option("--bin", help="Bin pixels to this many channels.", min=1, rich_help_panel=READING)
    ] = None
    resolution: Annotated[
        float | None, typer.Option(help="Or to this resolving power.", min=1.0, rich_help_panel=READING)
    ] = None
    edges: Annotated[
        Path | None,
        typer.Option(help="Or to channels between these edges: a text file, um.", rich_help_panel=READING),
    ] = None
    times: Annotated[
        int | None,
        typer.Option(
            help="Average a transit's exposures to at most this many (800).", min=20, max=800, rich_help_panel=READING
        ),
    ] = None
