"""Options of `ariel report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelRevision
from ariel_scripts.plugins import REPORT_SECTIONS, plugins

SECTIONS = (
    "verdict",
    "summary",
    "comparison",
    "planets",
    "wavelengths",
    "coverage",
    "likelihood",
    "shapes",
    "rules",
    "embeddings",
    "attributions",
    "calibration",
)
METHODS = ("pca", "umap", "tsne")


@dataclass(frozen=True)
class ReportOptions:
    """Write a page about predicted spectra: scores, errors, honesty, planets, what the network looks at, and why.

    Predictions that are not given are made, as by ariel predict, and kept in OUT's folder: a second report reads them,
    an interrupted one continues. The page is one file that opens from disk.

    Example: ariel report light-curves --split test --out run/report.html

    Example: ariel report light-curves --model fold0 --predictions run/classical.parquet --out run/report.html
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")]
    out: Annotated[Path, typer.Option(help="The page, HTML; predictions and run record are kept beside it.")]
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model folder or Hub id, or released; several times to compare. Default: released."),
    ] = None
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Predictions to report on as they are, Parquet, CSV or NPZ; several times to compare."),
    ] = None
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    revision: ModelRevision = None
    dataset_revision: DatasetRevision = None
    penalties: Annotated[
        Path | None,
        typer.Option(help="YAML of physics rules that the spectra are held to; else those of a model's training."),
    ] = None
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None
    skip: Annotated[
        list[str] | None, typer.Option(help=f"Section to leave out: {', '.join(SECTIONS)}, or another package's.")
    ] = None
    embed: Annotated[str, typer.Option(help="Pictures of the latents, with commas: pca, umap, tsne.")] = "umap,tsne,pca"
    attributions: Annotated[
        int, typer.Option(help="Planets with attributions for each model, from worst to best; 0 for none.", min=0)
    ] = 8
    planet: Annotated[list[int] | None, typer.Option(help="A planet to attribute besides; several times.")] = None
    export: Annotated[Path | None, typer.Option(help="Folder for figures and tables, each as PNG, JSON and CSV.")] = (
        None
    )
    open: Annotated[bool, typer.Option("--open", help="Open the page in a browser when it is written.")] = False
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …, or auto.")] = "auto"
    seed: Annotated[int, typer.Option(help="Of the bootstrap and the embeddings.", min=0)] = 0

    def __post_init__(self) -> None:
        """Refuse pictures and sections that there are not."""
        if unknown := sorted(set(self.embeddings) - set(METHODS)):
            raise typer.BadParameter(f"--embed: expected some of {', '.join(METHODS)}, found {', '.join(unknown)}")
        known = (*SECTIONS, *plugins(REPORT_SECTIONS, SECTIONS))
        if unknown := sorted(self.skipped - set(known)):
            raise typer.BadParameter(f"--skip: expected {', '.join(known)}, found {', '.join(unknown)}")

    @property
    def models(self) -> tuple[str, ...]:
        """Models to predict with: the released one where nothing else is to be reported on."""
        return tuple(self.model or ([] if self.predictions else ["released"]))

    @property
    def files(self) -> tuple[Path, ...]:
        """Predictions to report on as they are."""
        return tuple(self.predictions or ())

    @property
    def asked(self) -> tuple[int, ...]:
        """Planets to attribute besides."""
        return tuple(self.planet or ())

    @property
    def skipped(self) -> frozenset[str]:
        """Sections to leave out."""
        return frozenset(self.skip or ())

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Methods by which the latents are pictured, each once."""
        names = (name.strip() for name in self.embed.split(","))
        return tuple(dict.fromkeys(name for name in names if name))

    def record(self) -> dict[str, Any]:
        """The options as plain values."""
        return {
            "dataset": self.dataset,
            "out": self.out,
            "models": self.models,
            "predictions": self.files,
            "split": self.split,
            "revision": self.revision,
            "dataset_revision": self.dataset_revision,
            "penalties": self.penalties,
            "limit": self.limit,
            "skip": sorted(self.skipped),
            "embed": self.embeddings,
            "attributions": self.attributions,
            "planets": self.asked,
            "workers": self.workers,
            "device": self.device,
            "seed": self.seed,
        }
