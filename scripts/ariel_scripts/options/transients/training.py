"""Options that training of the models of transients shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

Architecture = Annotated[
    str | None,
    typer.Option(help="transient, transient_lstm, transient_astromer or transient_swin; else the checkpoint's."),
]
MaxMeasurements = Annotated[int, typer.Option(min=8, help="Of an object; more are thinned evenly.")]


@dataclass(frozen=True)
class AugmentationOptions:
    """How much curves are changed each time that they are shown."""

    redshift: Annotated[
        float, typer.Option("--augment-redshift", help="Share moved to another redshift by a Gaussian process.")
    ] = 0.5
    redshift_spread: Annotated[float, typer.Option(help="1σ of ln(1 + z) by which they are moved.")] = 0.1
    thinning: Annotated[float, typer.Option("--augment-thinning", help="Least share of measurements kept.")] = 0.6
    noise: Annotated[float, typer.Option("--augment-noise", help="Largest factor on the errors.")] = 1.5
    redshift_error: Annotated[float, typer.Option(help="1σ of photometric redshifts, in 1 + z.")] = 0.02
