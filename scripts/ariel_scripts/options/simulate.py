"""Options of `ariel simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.options.fields import values_of


@dataclass(frozen=True)
class SimulateOptions:
    """Simulate planets with known spectra: raw challenge folders, or light curves with --fast.

    A stopped raw run continues when the command is run again. The truths are in OUT's train.csv (2025) or
    train_labels.csv (2024) and, in full and for both splits, in simulation_truth.parquet.

    Example: ariel simulate raw --layout 2025 --planets 4 --frames 750 --full 1 --seed 7

    Example: ariel simulate curves --fast --planets 500 --test-planets 100
    """

    out: Annotated[Path, typer.Argument(help="Folder to write; made where absent.")]
    layout: Annotated[str, typer.Option(help="2024 or 2025; with --fast also both, half of each.")] = "2025"
    planets: Annotated[int, typer.Option(min=1, help="Planets with labels (split train).")] = 4
    test_planets: Annotated[
        int,
        typer.Option(min=0, help="Held-out planets (split test; raw folders hide their labels)."),
    ] = 0
    unlike_planets: Annotated[
        int,
        typer.Option(min=0, help="With --fast: planets and telescopes unlike the population (split unlike)."),
    ] = 0
    without: Annotated[list[str] | None, typer.Option(help="A molecule that no planet has; more by repeating.")] = None
    visits: Annotated[int, typer.Option(min=1, help="Visits a planet (2025).")] = 1
    frames: Annotated[int, typer.Option(help="AIRS frames a visit, spread over 7.5 h; really 11250.")] = 750
    full: Annotated[int, typer.Option(min=0, help="Also this many planets with all frames, in OUT/full.")] = 0
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same planets and frames.")] = 0
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Write light curves as a dataset, without raw frames."),
    ] = False
    bins: Annotated[int, typer.Option(min=8, help="Time bins of --fast light curves.")] = 375
    fewest_frames: Annotated[
        int | None,
        typer.Option(help="With --fast: draw each planet's number of AIRS frames from this to 11250, evenly in ln."),
    ] = None
    spectra: Annotated[
        Path | None,
        typer.Option(help="With --fast: a CSV of spectra (planet_id, wl_1 …): a planet for each, of the 2024 layout."),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant together."""
        if self.fast and self.full:
            raise typer.BadParameter("--full makes raw frames, --fast makes none: choose one")
        if not self.fast and (self.fewest_frames or self.spectra or self.layout == "both"):
            raise typer.BadParameter("--fewest-frames, --spectra and --layout both are for --fast light curves")
        if not self.fast and self.unlike_planets:
            raise typer.BadParameter("--unlike-planets are for --fast light curves")
        if self.spectra and (self.unlike_planets or self.without):
            raise typer.BadParameter("--spectra gives the planets: without --unlike-planets and --without")
        if self.layout != "2025" and self.visits > 1:
            raise typer.BadParameter("only the 2025 layout has more than one visit a planet")

    @property
    def drawn_layout(self) -> str:
        """Layout of the planets; spectra from a file are observed in 2024's."""
        return self.layout if self.spectra is None else "2024"

    def record(self) -> dict[str, Any]:
        """What decides the result, as plain values."""
        values = {name: value for name, value in values_of(self).items() if name != "dry_run"}
        changes = {"out": str(self.out), "layout": self.drawn_layout, "spectra": str(self.spectra)}
        return values | changes
