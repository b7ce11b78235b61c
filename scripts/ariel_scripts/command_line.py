"""What every command shares on the command line: --config, --print-config, --quiet, --verbose, --log-json, and errors
as messages."""

from __future__ import annotations

import gc
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ariel_scripts.config_files import config_text, merged, read_config
from ariel_scripts.invocation import invoked
from ariel_scripts.logs import set_up_logging
from ariel_scripts.options.fields import OptionsT, options_of, parameters_of

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

logger = logging.getLogger("ariel")


@dataclass(frozen=True)
class CommonOptions:
    """Options that every command has, after its own."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only, no progress bar.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", help="Debug messages, and tracebacks of errors.")] = False
    log_json: Annotated[Path | None, typer.Option(help="Also write the log as JSON lines to this file.")] = None


def command_of(options: type[OptionsT], main: Callable[[OptionsT], object]) -> Callable[..., None]:
    """What Typer calls for a command whose ``main`` takes ``options``, its help the options'
    docstring."""

    def check(values: Mapping[str, Any]) -> OptionsT:
        return options_of(options, values)

    return _command(lambda values: invoked(main, check(values)), parameters_of(options), options.__doc__, check)


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


def _config_parameters(options: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    """--config and --print-config of a command that has these ``options``."""

    def read(context: typer.Context, paths: list[Path] | None) -> list[Path] | None:
        for path in paths or ():
            values = read_config(path, options)
            for option in context.command.params:
                if values.get(str(option.name)) is not None:
                    check_value(option, context, values[str(option.name)], str(path))
            context.default_map = merged(context.default_map or {}, values)
        return paths

    def lift(context: typer.Context, wanted: bool) -> bool:
        for option in context.command.params:
            option.required = option.required and not wanted
        return wanted

    config = typer.Option(help="YAML of option values; repeatable: later files win.", is_eager=True, callback=read)
    show = typer.Option(
        "--print-config", help="Print the options as YAML for --config; run nothing.", is_eager=True, callback=lift
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter("config", keyword, default=None, annotation=Annotated[list[Path] | None, config]),
        inspect.Parameter("print_config", keyword, default=False, annotation=Annotated[bool, show]),
    ]


def check_value(option: Any, context: typer.Context, value: Any, where: str) -> None:
    """Refuse a value of a file that the option would not take on the command line, such as one out of its range."""
    try:
        option.process_value(context, value)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{where}: {option.name}: found {value}: {error.message}") from None


def _print_config(
    check: Callable[[Mapping[str, Any]], object], parameters: Sequence[inspect.Parameter], values: Mapping[str, Any]
) -> None:
    """Print the values of the options; why they can't be run yet goes to stderr."""
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    missing = [name for name in needed if values[name] is None]
    typer.echo(config_text({one.name: values[one.name] for one in parameters if one.name not in missing}), nl=False)
    try:
        if missing:
            raise ValueError(f"expected {', '.join(missing)} too, found none")
        check(values)
    except (typer.BadParameter, ValueError) as error:
        typer.echo(f"not complete: {error}", err=True)


def _command(
    run: Callable[[Mapping[str, Any]], object],
    parameters: Sequence[inspect.Parameter],
    help_text: str | None,
    check: Callable[[Mapping[str, Any]], object] = dict,
) -> Callable[..., None]:
    """A function with these parameters and the common ones, for Typer to read, that calls ``run`` with their values.

    check: what refuses values that don't go together.
    """
    common = parameters_of(CommonOptions)
    config = _config_parameters([*parameters, *common])

    def command(**values: Any) -> None:
        shared = options_of(CommonOptions, {one.name: values.pop(one.name) for one in common})
        shown, _ = values.pop("print_config"), values.pop("config")
        _refuse_infinite(values)
        if shown:
            _print_config(check, parameters, values)
            return
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

    every = [*parameters, *config, *common]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in every}
    command.__doc__ = help_text
    return command


def _refuse_infinite(values: Mapping[str, Any]) -> None:
    """Refuse numbers that are none: nan passes every limit."""
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise typer.BadParameter(f"--{name.replace('_', '-')}: expected a finite number, found {value}")
