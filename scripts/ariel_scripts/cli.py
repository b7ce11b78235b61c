"""`ariel COMMAND`: all commands by their options; what runs one is imported when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ariel_scripts.command_line import command_of
from ariel_scripts.options.ablate import AblateOptions
from ariel_scripts.options.adapt import AdaptOptions
from ariel_scripts.options.build_dataset import BuildDatasetOptions
from ariel_scripts.options.calibrate import CalibrateOptions
from ariel_scripts.options.curriculum import CurriculumOptions
from ariel_scripts.options.download import DownloadOptions
from ariel_scripts.options.evaluate import EvaluateOptions
from ariel_scripts.options.events import EventsOptions
from ariel_scripts.options.explore import ExploreOptions
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.options.fit import FitOptions
from ariel_scripts.options.inspect import InspectOptions
from ariel_scripts.options.lineage import LineageOptions
from ariel_scripts.options.map import MapOptions
from ariel_scripts.options.predict import PredictOptions
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.options.push import PushOptions
from ariel_scripts.options.quickstart import QuickstartOptions
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.options.reproduce import ReproduceOptions
from ariel_scripts.options.retrieve import RetrieveOptions
from ariel_scripts.options.run import RunOptions
from ariel_scripts.options.score_table import ScoreTableOptions
from ariel_scripts.options.selftest import SelftestOptions
from ariel_scripts.options.simulate import SimulateOptions
from ariel_scripts.options.space import SpaceOptions
from ariel_scripts.options.study import StudyOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.options.templates import TemplatesOptions
from ariel_scripts.options.transients.boost import BoostOptions as TransientsBoostOptions
from ariel_scripts.options.transients.build import BuildOptions as TransientsBuildOptions
from ariel_scripts.options.transients.download import DownloadOptions as TransientsDownloadOptions
from ariel_scripts.options.transients.ensemble import EnsembleOptions as TransientsEnsembleOptions
from ariel_scripts.options.transients.evaluate import EvaluateOptions as TransientsEvaluateOptions
from ariel_scripts.options.transients.features import FeaturesOptions as TransientsFeaturesOptions
from ariel_scripts.options.transients.finetune import FinetuneOptions as TransientsFinetuneOptions
from ariel_scripts.options.transients.predict import PredictOptions as TransientsPredictOptions
from ariel_scripts.options.transients.pretrain import PretrainOptions as TransientsPretrainOptions
from ariel_scripts.options.transients.push import PushOptions as TransientsPushOptions
from ariel_scripts.options.transients.report import ReportOptions as TransientsReportOptions
from ariel_scripts.options.transients.simulate import SimulateOptions as TransientsSimulateOptions
from ariel_scripts.options.transients.submit import SubmitOptions as TransientsSubmitOptions
from ariel_scripts.options.verify import VerifyOptions
from ariel_scripts.versions import DISTRIBUTION, git_commit, lock_hash, versions
from hf_dataset.digests import config_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# `build-dataset` is run by `main` of commands/build_dataset.py, `transients build` of commands/transients/build.py
COMMANDS: dict[str, type[DataclassInstance]] = {
    "build-dataset": BuildDatasetOptions,
    "ablate": AblateOptions,
    "adapt": AdaptOptions,
    "calibrate": CalibrateOptions,
    "curriculum": CurriculumOptions,
    "download": DownloadOptions,
    "evaluate": EvaluateOptions,
    "events": EventsOptions,
    "explore": ExploreOptions,
    "finetune": FinetuneOptions,
    "fit": FitOptions,
    "inspect": InspectOptions,
    "lineage": LineageOptions,
    "map": MapOptions,
    "predict": PredictOptions,
    "pretrain": PretrainOptions,
    "push": PushOptions,
    "quickstart": QuickstartOptions,
    "report": ReportOptions,
    "reproduce": ReproduceOptions,
    "retrieve": RetrieveOptions,
    "run": RunOptions,
    "score-table": ScoreTableOptions,
    "selftest": SelftestOptions,
    "simulate": SimulateOptions,
    "space": SpaceOptions,
    "study": StudyOptions,
    "submit": SubmitOptions,
    "templates": TemplatesOptions,
    "transients boost": TransientsBoostOptions,
    "transients build": TransientsBuildOptions,
    "transients download": TransientsDownloadOptions,
    "transients ensemble": TransientsEnsembleOptions,
    "transients evaluate": TransientsEvaluateOptions,
    "transients features": TransientsFeaturesOptions,
    "transients finetune": TransientsFinetuneOptions,
    "transients predict": TransientsPredictOptions,
    "transients pretrain": TransientsPretrainOptions,
    "transients push": TransientsPushOptions,
    "transients report": TransientsReportOptions,
    "transients simulate": TransientsSimulateOptions,
    "transients submit": TransientsSubmitOptions,
    "verify": VerifyOptions,
}

GROUPS = {
    "transients": "Light curves of transients: raw survey tables → dataset; which are tidal disruption events? `boost` "
    "trains trees on features, `finetune` networks on light curves."
}

app = typer.Typer(
    name="ariel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ariel telescope: raw frames → light-curve dataset → transit spectra with uncertainties.",
)


def module_of(name: str) -> str:
    """A command's module in commands/, its options' in options/: `transients.build` of `transients build`."""
    return name.replace("-", "_").replace(" ", ".")


def main_of(name: str) -> Callable[[DataclassInstance], object]:
    """What runs a command; only now its module and the libraries that it needs are imported."""
    module = importlib.import_module(f"ariel_scripts.commands.{module_of(name)}")
    main: Callable[[DataclassInstance], object] = module.main
    return main


def default_config_hash() -> str:
    """Hash of every command's default options: it changes when a default does."""
    defaults = {
        name: {parameter.name: str(parameter.default) for parameter in parameters_of(options)}
        for name, options in COMMANDS.items()
    }
    return config_hash(defaults)


def _print_version(wanted: bool) -> None:
    if wanted:
        found = versions()
        code = {
            "commit": git_commit() or "unknown",
            "default config": default_config_hash(),
            "lock": lock_hash() or "none",
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        typer.echo(f"ariel {found.pop(DISTRIBUTION)}")
        typer.echo("\n".join(f"{name} {value}" for name, value in code.items()))
        typer.echo("  ".join(f"{name} {version}" for name, version in found.items()))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print versions, commit, hashes of the defaults and of the lock file, and the time.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass


def _add_command(name: str, options: type[DataclassInstance]) -> None:
    def main(values: DataclassInstance) -> None:
        main_of(name)(values)

    group, _, last = name.rpartition(" ")
    (_groups[group] if group else app).command(last)(command_of(options, main))


_groups = {name: typer.Typer(no_args_is_help=True, help=text) for name, text in GROUPS.items()}
for _name, _group in _groups.items():
    app.add_typer(_group, name=_name)
for _name, _of_command in COMMANDS.items():
    _add_command(_name, _of_command)


def call(*arguments: object) -> int:
    """Run `ariel ARGUMENTS` in this process and return its exit code."""
    return int(app([str(argument) for argument in arguments], standalone_mode=False) or 0)


def run() -> None:
    """Entry point of the `ariel` command."""
    app()


if __name__ == "__main__":
    run()
