"""What every command shares: options (YAML config, logging), errors without stack traces, and the run record."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import hashlib
import importlib.metadata
import inspect
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
import yaml

from hf_dataset import folders
from hf_dataset.digests import config_hash
from hf_dataset.folders import Folder

DISTRIBUTION = "ariel-hf"
KEY_LIBRARIES = ("numpy", "scipy", "pyarrow", "datasets", "datatrove", "torch", "transformers", "accelerate",
                 "exoplanet-core", "huggingface_hub")  # fmt: skip
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

logger = logging.getLogger("ariel")


# --- configuration -------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML in which 12:00:00 is a text, as Slurm's times are; YAML 1.1 counts it to base 60."""


_TIME = ("tag:yaml.org,2002:str", re.compile(r"\d+(:\d\d)+$"))
_Loader.yaml_implicit_resolvers = {
    first: [_TIME, *others] if first.isdigit() else others for first, others in _Loader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text."""
    return yaml.load(text, _Loader)


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make a YAML file's values the defaults of the command, refusing names that it does not have."""
    if path is None:
        return None
    try:
        values = read_yaml(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{path}: expected a mapping of option names to values, found {type(values).__name__}")
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    known = {parameter.name for parameter in context.command.params}
    if unknown := sorted(set(values) - known):
        raise typer.BadParameter(
            f"{path}: unknown option {', '.join(unknown)}; known: {', '.join(sorted(map(str, known)))}"
        )
    context.default_map = {**(context.default_map or {}), **values}
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(help="YAML file of option values; the command line wins.", is_eager=True, callback=_read_config),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only, no progress bar.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Debug messages, and tracebacks of errors.")]
LogJsonOption = Annotated[Path | None, typer.Option(help="Also write the log as JSON lines to this file.")]
_COMMON = {"config": ConfigOption, "quiet": QuietOption, "verbose": VerboseOption, "log_json": LogJsonOption}
_COMMON_DEFAULTS: dict[str, Any] = {"config": None, "quiet": False, "verbose": False, "log_json": None}


def with_common_options(main: Callable[..., Any]) -> Callable[..., Any]:
    """The command `main` with --config, --quiet, --verbose and --log-json, its errors turned into messages."""

    @functools.wraps(main)
    def command(**arguments: Any) -> None:
        shared = {name: arguments.pop(name) for name in _COMMON}
        set_up_logging(shared["quiet"], shared["verbose"], shared["log_json"])
        try:
            main(**arguments)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            logger.error("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (ValueError, OSError, RuntimeError) as error:
            logger.error("error: %s", error, exc_info=shared["verbose"])
            raise typer.Exit(EXIT_FAILED) from None
        except Exception as error:
            what = f"unexpected {type(error).__name__}: {error}"
            logger.error("%s (--verbose shows where)", what, exc_info=shared["verbose"])
            raise typer.Exit(EXIT_FAILED) from None
        finally:
            gc.collect()  # a stream of `datasets` left early and not collected can hang Python's exit (arrow#45214)

    signature, hints = inspect.signature(main), get_type_hints(main, include_extras=True)
    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in signature.parameters.values()
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_COMMON_DEFAULTS[name], annotation=annotation)
        for name, annotation in _COMMON.items()
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {**hints, **_COMMON}
    del command.__wrapped__  # inspect would follow it past the new signature
    return command


def run_script(main: Callable[..., Any]) -> None:
    """Run one command file by itself, with the options it has under `ariel`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    app()


# --- logging -------------------------------------------------------------------------------------------------------


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": stamp, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(quiet: bool = False, verbose: bool = False, json_file: Path | None = None) -> None:
    """Text on standard error, and JSON lines in a file where asked."""
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"
    text = logging.StreamHandler(sys.stderr)
    text.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [text]
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        lines = logging.FileHandler(json_file, encoding="utf-8")
        lines.setFormatter(_JsonFormatter())
        handlers.append(lines)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    for name in ("ariel", "ariel_scripts", "hf_dataset", "modeling_ariel", "__main__"):
        logging.getLogger(name).setLevel(level)


# --- run record ----------------------------------------------------------------------------------------------------


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for name in (DISTRIBUTION, *KEY_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the checkout this file is in, with `+changes` where it differs; None outside one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


@dataclasses.dataclass
class Run:
    """What `run.json` will hold; `metrics` is filled by the command, `status` is that of a run without errors."""

    command: str
    config: dict[str, Any]
    seed: int | None = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    durations: dict[str, float] = dataclasses.field(default_factory=dict)
    status: str = "done"

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent in the block to `durations[name]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.durations[name] = self.durations.get(name, 0.0) + time.perf_counter() - start


def write_json(path: Folder, content: Any) -> None:
    """Write JSON whole or not at all."""
    folders.write_json(path, content, indent=2)


@contextlib.contextmanager
def run_record(
    out_dir: Folder, command: str, config: dict[str, Any], seed: int | None = None, name: str = "run.json"
) -> Iterator[Run]:
    """Write `out_dir/run.json` when the block ends, also when it fails (`status` says how)."""
    run, started, status = Run(command, config, seed), datetime.now(UTC), "failed"
    try:
        with run.timed("total"):
            yield run
        status = run.status
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        record = {
            "command": command,
            "status": status,
            "started": started.isoformat(timespec="seconds"),
            "config": config,
            "config_hash": config_hash(config),
            "seeds": [] if seed is None else [seed],
            "versions": versions(),
            "git_commit": git_commit(),
            "durations": {key: round(value, 3) for key, value in run.durations.items()},
            "metrics": run.metrics,
        }
        write_json(out_dir / name, record)
