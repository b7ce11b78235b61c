"""`ariel COMMAND`: finds the commands, one a file of this folder, and prints the version."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import DISTRIBUTION, config_hash, versions, with_common_options

app = typer.Typer(
    name="ariel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ariel telescope: raw frames → light-curve dataset → transit spectra with uncertainties.",
)


def command_functions() -> dict[str, Callable[..., Any]]:
    """`main` of every command, by command name: `commands/build_dataset.py` is `build-dataset`."""
    names = sorted(path.stem for path in (Path(__file__).parent / "commands").glob("[a-z]*.py"))
    return {name.replace("_", "-"): importlib.import_module(f"ariel_scripts.commands.{name}").main for name in names}


def default_config_hash() -> str:
    """Hash of every command's default options: it changes when a default does."""
    defaults = {
        name: {p.name: str(p.default) for p in inspect.signature(main).parameters.values()}
        for name, main in command_functions().items()
    }
    return config_hash(defaults)


def _print_version(wanted: bool) -> None:
    if wanted:
        found = versions()
        typer.echo(f"ariel {found.pop(DISTRIBUTION)} (default config {default_config_hash()})")
        typer.echo("  ".join(f"{name} {version}" for name, version in found.items()))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print versions and the hash of the defaults.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def call(*arguments: object) -> int:
    """Run `ariel ARGUMENTS` in this process and return its exit code."""
    _add_commands()
    return int(app([str(argument) for argument in arguments], standalone_mode=False) or 0)


def run() -> None:
    """Entry point of the `ariel` command."""
    _add_commands()
    app()


def _add_commands() -> None:
    known = {command.name for command in app.registered_commands}
    for name, main in command_functions().items():
        if name not in known:
            app.command(name)(with_common_options(main))


if __name__ == "__main__":
    run()
