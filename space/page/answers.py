"""What all events answer with: figures as the browser takes them, errors as messages."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components.plot import PlotData

logger = logging.getLogger(__name__)

SERVER_ERROR = "Something went wrong on the server; it has been logged. Try again, or another planet."
PLOT_CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}


def errors_shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show errors as messages: the engine's own text where it refuses, else a general one, with the error logged."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except gr.Error:
            raise
        except ValueError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error
        except Exception as error:
            logger.exception("%r", function)
            raise gr.Error(SERVER_ERROR, print_exception=False) from error

    return wrapped


def plot(figure: go.Figure, name: str) -> PlotData:
    """A figure in the browser's format, with the settings of its tool bar."""
    content = json.loads(figure.to_json())
    options = {**PLOT_CONFIG["toImageButtonOptions"], "filename": name}  # type: ignore[dict-item]
    content["config"] = {**PLOT_CONFIG, "toImageButtonOptions": options}
    return PlotData(type="plotly", plot=json.dumps(content))
