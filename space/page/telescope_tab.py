"""The tab of other telescopes: upload or example, what is known of the planet, and the page of the fit.

The page is a document of its own in a sandboxed frame: it can neither see nor change the app around it.
"""

from __future__ import annotations

import math
import secrets
import tempfile
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import plotly
from gradio.utils import get_upload_folder

from engine import sample
from engine.telescope import CSV, ECSV, PAGE, Known, page_of
from engine.telescope_examples import EXAMPLES, KNOWN, write_example
from page import words
from page.answers import errors_shown
from page.links import VIEWS
from uploads.telescope import ENDINGS, LIMITS_TEXT, fit_upload

PLOTLY = Path(plotly.__file__).parent / "package_data/plotly.min.js"
ABOUT = (
    "Light curves of Hubble, Webb, TESS, a telescope on the ground or Ariel in other channels: a transit and the "
    "instrument's systematics are fitted to them, as the command `ariel fit` does. No network has a part in it, so "
    "nothing of what the model learned of Ariel is needed."
)
FITTED = "**{name}** is fitted: a page of its own, with its numbers to download."
VIEW = VIEWS[-1]
OTHER = (
    "**{name}** is not what the model of Ariel reads ({why}). It is fitted here by its light curves alone. "
    "Period, a/R*, b (or the inclination) and the star's temperature make the answer better: fill in what you know and "
    "press *Fit*."
)
TIME_UNITS = ("h", "min", "s", "d", "bjd", "bmjd", "btjd", "bkjd", "jd", "mjd", "hjd")
WAVE_UNITS = ("um", "nm", "angstrom")
NUMBERS: dict[str, tuple[str, float, float]] = {  # of Known → label, least and most
    "period": ("Period, d", 0.0, math.inf),
    "a": ("a, stellar radii", 0.0, math.inf),
    "b": ("Impact parameter b", 0.0, math.inf),
    "inclination": ("or inclination, °", 0.0, 180.0),
    "t0": ("Mid-transit, BJD_TDB or h", -math.inf, math.inf),
    "teff": ("Star's temperature, K", 0.0, math.inf),
    "eccentricity": ("Eccentricity", 0.0, 0.95),
    "omega": ("ω of periastron, °", -360.0, 360.0),
}
FIELDS = {  # options that readers' sentences name → what the page calls them
    "--time-unit": "*Times count*",
    "--wavelength-unit": "*Wavelengths in*",
    "--flux": "*Column of flux*",
    "--regressor": "*Columns to follow*",
}
DOWNLOADS = ("csv", "ecsv", "html", "zip")


def layout(page: SimpleNamespace) -> None:
    """The tab's components, in ``page.telescope``."""
    gr.set_static_paths([PLOTLY])
    own = page.telescope = SimpleNamespace()
    with gr.Tab("Other telescopes", id=VIEW, elem_id="telescopes-tab"):
        gr.Markdown(ABOUT)
        with gr.Row():
            own.file = gr.File(
                label="Light curves of any instrument", file_types=list(ENDINGS), scale=2, height=165,
                elem_id="telescope-upload",
            )  # fmt: skip
            with gr.Column(scale=3):
                gr.Markdown(LIMITS_TEXT)
                with gr.Row():
                    own.examples = {
                        name: gr.Button(f"Try: {label}", size="sm", min_width=140, elem_id=f"telescope-{name}")
                        for name, (label, _) in EXAMPLES.items()
                    }
        with gr.Accordion("What you know: planet, star, file", open=False, elem_id="telescope-known"):
            _fields(own)
        own.fit = gr.Button("Fit", variant="primary", elem_id="telescope-fit")
        own.why = gr.Markdown(visible=False, elem_classes="words", elem_id="telescope-why")
        own.words = gr.Markdown(elem_classes="words", elem_id="telescope-words")
        with gr.Row(visible=False) as own.downloads:
            labels = ("Spectrum (CSV)", "Spectrum (ECSV)", "Page (HTML)", "All tables, covariance (zip)")
            own.files = [
                gr.DownloadButton(label, size="sm", min_width=120, elem_id=f"telescope-{name}")
                for name, label in zip(DOWNLOADS, labels, strict=True)
            ]
        own.frame = gr.HTML(visible=False, elem_id="telescope-page")


def _fields(own: SimpleNamespace) -> None:
    """All are optional."""
    own.numbers = []
    for part in (list(NUMBERS)[:4], list(NUMBERS)[4:]):
        with gr.Row():
            own.numbers += [  # texts, as an empty number is a 0 in Gradio
                gr.Textbox("", label=NUMBERS[name][0], min_width=150, elem_id=f"telescope-{name}-value")
                for name in part
            ]
    with gr.Row():
        own.systematics = gr.Textbox(
            "auto", label="Systematics", min_width=220, info="auto, or terms: polynomial(2) + ramp + hook + x",
            elem_id="telescope-systematics",
        )  # fmt: skip
        own.time_unit = gr.Dropdown(
            [("as the file says", ""), *((unit, unit) for unit in TIME_UNITS)], value="", label="Times count",
            allow_custom_value=True, min_width=140, info="or such as bjd-2450000", elem_id="telescope-time-unit",
        )  # fmt: skip
        own.wave_unit = gr.Dropdown(
            [("as the file says", ""), *((unit, unit) for unit in WAVE_UNITS)], value="", label="Wavelengths in",
            min_width=140, elem_id="telescope-wave-unit",
        )  # fmt: skip
        own.flux = gr.Textbox("", label="Column of flux", min_width=140, info="where there are several")
        own.regressors = gr.Textbox("", label="Columns to follow", min_width=140, info="such as x, y, airmass")


def wire(page: SimpleNamespace, refresh: Callable[[], int]) -> None:
    """Connect events. Fits wait for one another, in a queue of their own, so that other tabs answer meanwhile."""
    own, private = page.telescope, {"api_visibility": "private"}
    fields = [own.file, *own.numbers, own.systematics, own.time_unit, own.wave_unit, own.flux, own.regressors]
    found = [own.words, own.downloads, *own.files, own.frame]
    queue: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "fits", "show_progress_on": own.words}

    def fitted(after: Any) -> None:
        after(errors_shown(fit), fields, found, **queue, **private)

    own.file.upload(lambda: gr.Markdown(visible=False), None, own.why, **private)
    fitted(own.file.upload)
    fitted(own.fit.click)
    for name, button in own.examples.items():
        fitted(button.click(lambda name=name: example(name), None, [own.why, *fields], **private).success)
    handed = [page.tabs, page.view, own.file, own.why, page.refresh]
    fitted(page.other.change(lambda other: (*handed_over(*other), refresh()), page.other, handed, **private).success)


# --- events ----------------------------------------------------------------------------------------------------------


def handed_over(path: str, why: str, _: int) -> tuple[Any, ...]:
    """The tab, the view, the file and why it is here: a file of another telescope that came by the first upload."""
    said = OTHER.format(name=words.literal(Path(path).name), why=words.literal(why.rstrip(".")))
    return gr.Tabs(selected=VIEW), VIEW, path, gr.Markdown(said, visible=True)


def example(name: str) -> tuple[Any, ...]:
    """No sentence why; values of all fields for one of EXAMPLES."""
    folder = Path(tempfile.gettempdir()) / f"ariel-space-examples-{sample.code_hash()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}.csv"
    if not path.exists():
        write_example(name, folder)
    numbers = ["" if getattr(KNOWN, field) is None else f"{getattr(KNOWN, field):.12g}" for field in NUMBERS]
    return gr.Markdown(visible=False), str(path), *numbers, "auto", "", "", "", ""


def fit(path: str | None, *values: Any) -> tuple[Any, ...]:
    """Words, downloads and the page of a fit; where it is refused, a sentence alone."""
    nothing = [gr.Row(visible=False), *[gr.skip()] * len(DOWNLOADS), gr.HTML("", visible=False)]
    if not path:
        return "⚠ Choose a file first, or one of the examples.", *nothing
    numbers, (systematics, time_unit, wave_unit, flux, regressors) = values[: len(NUMBERS)], values[len(NUMBERS) :]
    options = {
        "time_unit": time_unit or None,
        "wavelength_unit": wave_unit or None,
        "flux": flux.strip() or None,
        "regressors": tuple(one.strip() for one in regressors.split(",") if one.strip()),
    }
    folder = Path(get_upload_folder()) / f"fit-{secrets.token_hex(16)}"
    folder.mkdir(parents=True)
    try:
        known = Known(
            **{name: number(name, text) for name, text in zip(NUMBERS, numbers, strict=True)}, systematics=systematics
        )
        fit_upload(Path(path), known, folder, **options)
    except ValueError as error:
        return f"⚠ There is no fit. {sentence(str(error))}", *nothing
    files = [gr.DownloadButton(value=str(one)) for one in (folder / CSV, folder / ECSV, folder / PAGE, _zip(folder))]
    said = FITTED.format(name=words.literal(Path(path).name))
    return said, gr.Row(visible=True), *files, gr.HTML(frame(folder), visible=True)


def number(name: str, text: str) -> float | None:
    """A field of NUMBERS, None where it is empty; ValueError with its label where it is no such number."""
    label, least, most = NUMBERS[name]
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not (least <= value <= most and math.isfinite(value)):
        limits = f" of {least:g} to {most:g}" if math.isfinite(most) else " of 0 or more" if least == 0 else ""
        raise ValueError(f"{label}: expected a number{limits}, found {text.strip()[:40]!r}.")
    return value


def sentence(text: str) -> str:
    """A refusal as Markdown, with options by the names of the page's fields."""
    said = words.literal(text)
    for option, field in FIELDS.items():
        said = said.replace(words.literal(option), field)
    return said


def frame(folder: Path) -> str:
    """The page of a fit as a frame without a way out of it, which loads Plotly from the app, once for all fits."""
    page = escape(page_of(folder, f"gradio_api/file={PLOTLY}"))
    return f'<iframe title="The fit" sandbox="allow-scripts allow-downloads" srcdoc="{page}"></iframe>'


def _zip(folder: Path) -> Path:
    """Everything of a fit in one file beside it."""
    path = folder.with_name(f"{folder.name}-tables") / "fit.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.iterdir()):
            if one.name != PAGE:
                archive.write(one, one.name)
    return path
