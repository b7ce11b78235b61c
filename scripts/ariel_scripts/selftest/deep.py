"""Do the parts of this installation fit together? Classes, checkpoint, configurations, submission, schemas.

A check takes a scratch folder, says in a few words what it found, and raises an error where something is wrong. What it
needs is imported by it.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from ariel_scripts import cli
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.options.yaml_values import read_mapping
from ariel_scripts.shipped import shipped

if TYPE_CHECKING:
    from hf_dataset.simulation.planets import Planet

CONFIGS = shipped("configs")
BINS = 125
CLASSES = {
    "AutoConfig": "ArielConfig",
    "AutoFeatureExtractor": "ArielFeatureExtractor",
    "AutoModel": "ArielForSpectrumPrediction",
    "AutoModelForPreTraining": "ArielForPreTraining",
}


def check_auto_classes(folder: Path) -> str:
    """The auto classes of transformers know the released checkpoint, and load it."""
    import transformers

    import modeling_ariel.modeling_ariel  # noqa: F401, makes the classes known
    from modeling_ariel.pipeline_ariel import RELEASED_FOLDER, quiet

    config = transformers.AutoConfig.from_pretrained(RELEASED_FOLDER)
    with quiet():
        found = {
            "AutoConfig": config,
            "AutoFeatureExtractor": transformers.AutoFeatureExtractor.from_pretrained(RELEASED_FOLDER),
            "AutoModel": transformers.AutoModel.from_pretrained(RELEASED_FOLDER),
            "AutoModelForPreTraining": transformers.AutoModelForPreTraining.from_config(config),
        }
    for auto, one in found.items():
        if type(one).__name__ != CLASSES[auto]:
            raise ValueError(f"{auto}: expected {CLASSES[auto]}, found {type(one).__name__}")
    return ", ".join(CLASSES)


def check_checkpoint(folder: Path) -> str:
    """The released checkpoint gives a simulated planet a finite spectrum, and calls it ok."""
    from hf_dataset.simulation.light_curves import simulate_row
    from modeling_ariel.pipeline_ariel import RELEASED, ArielPipeline

    row = simulate_row(_planets()[0], n_bins=BINS, seed=1)
    spectra = ArielPipeline.from_pretrained(RELEASED)([row])
    if not (np.isfinite(spectra.mean).all() and np.isfinite(spectra.sigma).all() and (spectra.sigma > 0).all()):
        raise ValueError(f"{RELEASED}: expected finite depths and errors above 0, found others")
    if spectra.status != ["ok"]:
        raise ValueError(f"{RELEASED}: expected status ok, found {spectra.status[0]}: {spectra.notes[0]}")
    return f"mean depth {spectra.mean.mean() * 1e6:.0f} ppm, true {np.mean(row['spectrum']) * 1e6:.0f}; status ok"


def check_configs(folder: Path) -> str:
    """Every configuration of the checkout has options of its command; defaults print and read back the same."""
    from ariel_scripts.stages import read_stages
    from ariel_scripts.training.ablation import read_plan
    from modeling_ariel.penalty_rules import Rules

    for name in cli.COMMANDS:
        printed = _printed(name)
        path = folder / f"{name}.yaml"
        path.write_text(printed, encoding="utf-8")
        if (again := _printed(name, path)) != printed:
            raise ValueError(f"ariel {name}: expected its defaults read back, found {again}")
    files = sorted(CONFIGS.glob("*.yaml"))
    for path in files:
        if path.stem == "objective":
            Rules.of(read_mapping(path, "penalties", "rules"))
        elif path.stem in ("curriculum", "study"):
            read_stages(path, folder)
        elif path.stem == "architectures":
            read_plan(path, "light-curves")
        else:
            _printed(_command_of(path.stem), path)
    return f"defaults of {len(cli.COMMANDS)} commands, {len(files)} files of configs/"


def check_submission(folder: Path) -> str:
    """A submission written against a sample has its header and planets, and the predictions' values."""
    from hf_dataset.simulation.raw_folder import write_tables

    planets = _planets()
    write_tables(folder, "2025", {"train": planets, "test": planets}, seed=1)
    predictions, sample, out = folder / "p.parquet", folder / "sample_submission.csv", folder / "submission.csv"
    mu, sigma = _write_predictions(predictions)
    cli.main_of("submit")(SubmitOptions(predictions, sample, out))
    header, *rows = csv.reader(out.read_text(encoding="utf-8").splitlines())
    expected, *wanted = csv.reader(sample.read_text(encoding="utf-8").splitlines())
    if header != expected or [row[0] for row in rows] != [row[0] for row in wanted]:
        raise ValueError(f"{out.name}: expected the header and planets of {sample.name}, found others")
    if not np.array_equal(np.array([row[1:] for row in rows], np.float32), np.hstack([mu, sigma])):
        raise ValueError(f"{out.name}: expected the values of {predictions.name}, found others")
    return f"{len(rows)} planets, {len(header)} columns"


def check_schemas(folder: Path) -> str:
    """Dataset, card and extractor have the same columns, predictions and submissions the same channels."""
    import pyarrow.parquet as pq
    from datasets import Features
    from datasets.info import DatasetInfosDict

    from hf_dataset import schema
    from hf_dataset.simulation.dataset import Observation, write_dataset
    from hf_dataset.store.shards import find_shards
    from modeling_ariel import columns
    from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

    out, expected = folder / "curves", schema.features(BINS)
    write_dataset(out, {"train": _planets(), "test": []}, "2025", Observation(bins=BINS), {}, lambda rows: None)
    shard = pq.ParquetFile(find_shards(out)["train"][0])
    _same("the shard's columns", Features.from_arrow_schema(shard.schema_arrow), expected)
    for name, info in DatasetInfosDict.from_directory(str(out)).items():
        _same(f"the card's columns of {name}", info.features, expected)
    _same("the model's star columns", columns.STAR_COLUMNS, schema.STAR_COLUMNS)
    features = ArielFeatureExtractor()(shard.read().to_pylist()[:1])
    _same("the extractor's inputs", {*features} - {"labels"}, {*ArielFeatureExtractor.model_input_names})
    _write_predictions(folder / "p.parquet")
    predicted = pq.read_schema(folder / "p.parquet")
    for name in ("mu", "sigma"):
        _same(f"the channels of {name}", predicted.field(name).type.list_size, schema.N_CHANNELS)
    return f"{len(expected)} columns, {schema.N_CHANNELS} channels"


CHECKS: dict[str, Callable[[Path], str]] = {
    "auto classes": check_auto_classes,
    "released checkpoint": check_checkpoint,
    "configurations": check_configs,
    "submission": check_submission,
    "schemas": check_schemas,
}


def _planets() -> list[Planet]:
    from hf_dataset.simulation.planets import sample_planets

    return sample_planets(2, 1, "2025")


def _command_of(config: str) -> str:
    """The command that a file of configs/ is for; its name says it."""
    if config.startswith("build-"):
        return "build-dataset"
    return "pretrain" if config == "pretrain" else "finetune"


def _printed(command: str, config: Path | None = None) -> str:
    """What `ariel COMMAND --print-config` prints; ValueError where it refuses the file."""
    words = () if config is None else ("--config", config)
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.call(*command.split(), *words, "--print-config")
        except typer.BadParameter as error:
            raise ValueError(error.message) from None
    return text.getvalue()


def _write_predictions(path: Path) -> tuple[Any, Any]:
    """Predictions of the planets as a file; mu and sigma (planet, channel)."""
    from modeling_ariel.predictions import Predictions, write_predictions

    planets = _planets()
    mu = np.stack([planet.spectrum for planet in planets]).astype(np.float32)
    sigma = np.full_like(mu, 1e-4)
    write_predictions(path, Predictions(np.array([planet.planet_id for planet in planets]), mu, sigma))
    return mu, sigma


def _same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise ValueError(f"{what}: expected {expected}, found {found}")
