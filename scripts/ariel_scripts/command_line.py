"""What every command shares on the command line: --config, --quiet, --verbose, --log-json, and
errors as messages."""

from __future__ import annotations

import gc
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
import yaml

from ariel_scripts.logs import set_up_logging
from ariel_scripts.options.fields import OptionsT, options_of, parameters_of
from ariel_scripts.options.yaml_values import read_yaml

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

logger = logging.getLogger("ariel")


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make a YAML file's values the defaults of the command, refusing names that it does not
    have."""
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
        names = ", ".join(sorted(map(str, known)))
        raise typer.BadParameter(f"{path}: unknown option {', '.join(unknown)}; known: {names}")
    context.default_map = {**(context.default_map or {}), **values}
    return path


@dataclass(frozen=True)
class CommonOptions:
    """Options that every command has, after its own."""

    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of option values; the command line wins.",
            is_eager=True,
            callback=_read_config,
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only, no progress bar.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", help="Debug messages, and tracebacks of errors.")] = False
    log_json: Annotated[Path | None, typer.Option(help="Also write the log as JSON lines to this file.")] = None


def command_of(options: type[OptionsT], main: Callable[[OptionsT], object]) -> Callable[..., None]:
    """What Typer calls for a command whose ``main`` takes ``options``, its help the options'
    docstring."""

    def run(values: Mapping[str, Any]) -> None:
        main(options_of(options, values))

    return _command(run, parameters_of(options), options.__doc__)


def with_common_options(main: Callable[..., object]) -> Callable[..., None]:
    """What Typer calls for ``main``, whose parameters are options, or one dataclass of them."""
    hints = get_type_hints(main, include_extras=True)
    signature = inspect.signature(main)
    own = [hints[name] for name in signature.parameters]
    if len(own) == 1 and isinstance(own[0], type) and is_dataclass(own[0]):
        return command_of(own[0], main)
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in signature.parameters.items()
    ]
    return _command(lambda values: main(**values), parameters, main.__doc__)


def run_script(main: Callable[..., object]) -> None:
    """Run one file by itself, with the options that it has under `ariel`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    app()


def _command(
    run: Callable[[Mapping[str, Any]], object],
    parameters: Sequence[inspect.Parameter],
    help_text: str | None,
) -> Callable[..., None]:
    """A function with these parameters and the common ones, for Typer to read, that calls ``run``
    with their values."""
    common = parameters_of(CommonOptions)

    def command(**values: Any) -> None:
        shared = options_of(CommonOptions, {one.name: values.pop(one.name) for one in common})
        set_up_logging(shared.quiet, shared.verbose, shared.log_json)
        try:
            run(values)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            logger.error("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (ValueError, OSError, RuntimeError) as error:
            logger.error("error: %s", error, exc_info=shared.verbose)
            raise typer.Exit(EXIT_FAILED) from None
        except Exception as error:
            what = f"unexpected {type(error).__name__}: {error}"
            logger.error("%s (--verbose shows where)", what, exc_info=shared.verbose)
            raise typer.Exit(EXIT_FAILED) from None
        finally:
            # a stream of `datasets` left early and not collected can hang Python's exit (arrow#45214)
            gc.collect()

    every = [*parameters, *common]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in every}
    command.__doc__ = help_text
    return command
