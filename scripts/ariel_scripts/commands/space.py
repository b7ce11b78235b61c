"""`ariel space`: the demo, from a checkout or from an installed wheel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import typer

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.space import SpaceOptions
from ariel_scripts.shipped import shipped

NEEDED = ("astropy", "gradio", "h5py", "pandas")  # the extra `space`


def main(options: SpaceOptions) -> None:
    """Run the app in a process of its own until it ends, as its modules lie on a path of their own."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise typer.BadParameter(
            f"expected the extra space (pip install 'ariel-hf[space]'), found no {', '.join(missing)}"
        )
    settings = {
        f"ARIEL_{name.upper()}": value for name, value in values_of(options).items() if value and name != "port"
    }
    port = [] if options.port is None else ["--port", str(options.port)]
    command = [sys.executable, str(shipped("space") / "app.py"), *port]
    app = subprocess.Popen(command, env={**os.environ, **settings})
    signal.signal(signal.SIGTERM, lambda *_: app.terminate())  # what ends this process ends the app
    try:
        code = app.wait()
    except KeyboardInterrupt:  # the app has had it too
        return
    raise typer.Exit(code)
