"""Options of `ariel build-dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ariel_scripts.options.yaml_values import read_yaml


def _yaml(text: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"expected YAML, found {text!r}: {getattr(error, 'problem', error)}") from error


def _mapping(value: str | dict[str, Any]) -> dict[str, Any]:
    """A YAML mapping, as text on the command line or already read from a config file."""
    found = _yaml(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise typer.BadParameter(f"expected a mapping such as '{{n_bins: 187}}', found {value!r}")
    return found


def _planets(value: str | int | list[int]) -> list[int]:
    """Planet ids: `1,2,3`, `@FILE` with an id a line, or a list from a config file."""
    found: Any = value if isinstance(value, list) else [value]
    try:
        if isinstance(value, str):
            text = Path(value[1:]).read_text() if value.startswith("@") else value
            found = text.replace(",", " ").split()
        if wrong := [one for one in found if isinstance(one, bool) or not isinstance(one, (int, str))]:
            raise ValueError(f"found {wrong[0]}")
        planets = [int(planet) for planet in found]
    except (TypeError, ValueError, OSError) as error:
        raise typer.BadParameter(f"expected whole numbers or @FILE: {error}") from error
    if not planets:
        raise typer.BadParameter(f"expected at least one planet, {value!r} names none")
    return planets


@dataclass(frozen=True)
class BuildDatasetOptions:
    """Build a dataset of light curves from a raw challenge folder.

    A stopped build continues when the command is run again. A planet that cannot be reduced is reported and left out.

    Exit codes: 0 built, 1 failed (or visits left out, with --strict), 2 wrong usage, 130 interrupted.

    Example: ariel build-dataset /kaggle/input/ariel-data-challenge-2025 light-curves
    """

    root: Annotated[Path, typer.Argument(help="Raw challenge folder, 2024 or 2025 layout.")]
    out: Annotated[
        str,
        typer.Argument(help="Folder or URL (s3://…) for the dataset; an unfinished build in it continues."),
    ]
    bins: Annotated[int | None, typer.Option(help="Time bins a visit (375).")] = None
    reduction: Annotated[
        dict[str, Any] | None,
        typer.Option(parser=_mapping, metavar="YAML", help="Settings of calibration and extraction."),
    ] = None
    planets: Annotated[
        Sequence[int] | None,
        typer.Option(parser=_planets, metavar="IDS", help="Only these planets: 1,2,3 or @FILE."),
    ] = None
    limit: Annotated[int | None, typer.Option(help="At most this many planets a split.")] = None
    validation_fraction: Annotated[float, typer.Option(help="Training planets held out as split `validation`.")] = 0.0
    seed: Annotated[int, typer.Option(help="Of the choice of validation planets.")] = 0
    planets_per_shard: Annotated[int | None, typer.Option(help="Planets a file (8, fewer in small folders).")] = None
    workers: Annotated[int | None, typer.Option(help="Processes, about 1 GB each (one a core).")] = None
    engine: Annotated[str, typer.Option(help="local, slurm, ray or jobs.")] = "local"
    engine_options: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=_mapping,
            metavar="YAML",
            help="Options of datatrove's executor: partition, time, …",
        ),
    ] = None
    engine_option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of these options, above them; repeatable."),
    ] = None
    keep_frames: Annotated[
        Path | None,
        typer.Option(help="Keep calibrated frames here too, 0.24 GB a full visit: choose --planets or --limit."),
    ] = None
    restart: Annotated[bool, typer.Option("--restart", help="Delete the build in OUT and start over.")] = False
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any visit was left out.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be built; write nothing.")] = False

    def settings(self) -> dict[str, Any]:
        """Settings of the reduction, --bins among them."""
        return {**(self.reduction or {}), **({} if self.bins is None else {"n_bins": self.bins})}

    def executor_options(self) -> dict[str, Any]:
        """Options of the executor, those of --engine-option above the others."""
        return {**(self.engine_options or {}), **self._named()}

    def _named(self) -> dict[str, Any]:
        """`NAME=VALUE`s of --engine-option, the values in YAML."""
        texts = self.engine_option or []
        for text in texts:
            if "=" not in text:
                raise typer.BadParameter(f"--engine-option: expected NAME=VALUE, found {text!r}")
        pairs = (text.partition("=") for text in texts)
        return {name: _yaml(value) for name, _, value in pairs}
