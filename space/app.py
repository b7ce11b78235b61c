"""The Space: spectra of exoplanets with their error bars, and reasons to believe them or not.

    python space/app.py [--port 7860]

Layout and wiring only: what happens is in page/handlers.py, what is computed in engine/inference.py. Settings are
environment variables: ARIEL_MODEL, ARIEL_DATASET (a folder or a Hub id), ARIEL_MODEL_REVISION, ARIEL_DATASET_REVISION.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported

import argparse
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from engine import sample
from engine.inference import Engine
from engine.spectrum import UNITS
from engine.transients import OBJECTS, SURVEYS
from page import games_tab, telescope_tab
from page.answers import errors_shown
from page.cards import CHOOSE
from page.endpoints import Endpoints
from page.handlers import SIZES, Handlers
from page.head import ABOUT, CSS, HEAD, KEEP_UP, LOOK, OWN, SAVE_PICTURE, SHOW_LINK, THEME, preload
from page.links import LIMITS, VIEWS, Settings
from page.sharing import Cards, Sharing
from page.transient_words import label
from uploads import transients
from uploads.reading import EXTENSIONS, LIMITS_TEXT, MAX_UPLOAD_BYTES

WORKERS = 2  # answers computed at a time: the cores of a basic Space
QUEUE = 100  # waiting requests; further ones are turned away
HOUR = 3600
EXAMPLES = [("CSV", "csv"), ("Parquet", "parquet"), ("FITS", "fits"), ("NPZ", "npz"), ("raw folder (zip)", "zip")]
UNIT_NAMES = {"depth": "depth", "ppm": "ppm", "rp_rs": "Rp/Rs", "scale_heights": "scale heights"}


def build_app(engine: Engine) -> gr.Blocks:
    """The page and its API over an engine."""
    handlers = Handlers(engine)
    # files made for downloads and uploads are deleted after an hour, looked for every half hour
    with gr.Blocks(title="Ariel spectra", delete_cache=(HOUR // 2, HOUR), analytics_enabled=False) as app:
        about = engine.about
        head = HEAD.format(planets=about["planets"], dataset=about["dataset"], model=_short(about["model"]))
        page = SimpleNamespace(
            subject=gr.State(time_to_live=2 * HOUR),
            own=gr.State(time_to_live=2 * HOUR),
            view=gr.State(VIEWS[0]),
            look=gr.State(""),
            last=gr.State(time_to_live=2 * HOUR),
            refresh=gr.State(0),
            own_transient=gr.State(time_to_live=2 * HOUR),
            other=gr.State(time_to_live=2 * HOUR),
            votes=gr.State(time_to_live=2 * HOUR),
        )
        _top(page, handlers.menu(), head)
        with gr.Tabs(elem_id="views") as page.tabs:
            _spectrum_tab(page)
            _curves_tab(page)
            _why_tab(page)
            _what_if_tab(page)
            games_tab.layout(page)
            _transients_tab(page)
            telescope_tab.layout(page)
        _own(page)
        page.link = gr.Textbox(
            label="Link to this view", interactive=False, buttons=["copy"], max_lines=1, elem_id="link"
        )
        page.query = gr.Textbox(visible="hidden", label="query")
        with gr.Accordion("About, API and links", open=False):
            gr.Markdown(ABOUT.format(address=os.environ.get("SPACE_ID") or "http://127.0.0.1:7860"))
        _wire(app, page, handlers)
        games_tab.wire(page, handlers.games, handlers.refresh)
        telescope_tab.wire(page, handlers.refresh)
        _publish(Endpoints(handlers))
    app.queue(max_size=QUEUE, default_concurrency_limit=8)
    return app


def _short(source: str) -> str:
    """The checkpoint's name: a Hub id as it is, a folder by its last part."""
    return f"the {os.path.basename(source.rstrip('/'))} model" if os.path.isdir(source) else source


# --- layout --------------------------------------------------------------------------------------------------------


def _top(page: SimpleNamespace, menu: list[tuple[str, str]], head: str) -> None:
    """What this is, choice of a planet, what its spectrum says."""
    with gr.Row(elem_id="menu"):
        gr.Markdown(head, elem_id="head")
        page.planet = gr.Dropdown(
            choices=menu,
            value=None,
            label="Planet (type to search)",
            container=False,
            min_width=150,
            elem_id="planet",
        )
        page.bring = gr.Button("Your own …", size="sm", min_width=100, elem_id="bring")
    page.cards = gr.HTML(js_on_load=CHOOSE, elem_id="cards")
    page.trouble = gr.Markdown(visible=False, elem_id="trouble")
    with gr.Column(elem_id="says"):
        page.status = gr.Markdown("Opening …", elem_id="status")
        page.verdict = gr.Markdown(elem_id="verdict")


def _own(page: SimpleNamespace) -> None:
    """Upload of light curves."""
    with gr.Accordion("Bring your own light curves", open=False, elem_id="own"), gr.Row():
        page.upload = gr.File(
            label="Light curves, or a raw folder as zip",
            file_types=list(EXTENSIONS),
            scale=2,
            height=165,
            elem_id="upload",
        )
        with gr.Column(scale=3):
            gr.Markdown(LIMITS_TEXT)
            page.example_kind = gr.Radio(EXAMPLES, value=None, label="Make an example file", elem_id="example-kind")
            page.example = gr.File(label="Example", visible=False, interactive=False, elem_id="example")


def _spectrum_tab(page: SimpleNamespace) -> None:
    with gr.Tab("Spectrum", id=VIEWS[0]) as page.spectrum_tab:
        page.spectrum = gr.Plot(show_label=False, elem_id="spectrum-plot", elem_classes="plot")
        with gr.Row(elem_id="bar"):
            page.unit = gr.Radio(
                [(UNIT_NAMES[unit], unit) for unit in ("ppm", "depth", "rp_rs", "scale_heights")],
                value="ppm",
                label="Unit",
                container=False,
                min_width=280,
                elem_id="unit",
            )
            page.resolution = gr.Slider(
                *LIMITS["resolution"], value=0, step=5, label="Bins of λ/Δλ (0: none)", min_width=200,
                elem_id="resolution",
            )  # fmt: skip
            page.csv = gr.DownloadButton("Table (CSV)", size="sm", min_width=90, elem_id="csv")
            page.png = gr.Button("Picture (PNG)", size="sm", min_width=90, elem_id="png")
        page.spectrum_words = gr.Markdown(elem_classes="words", elem_id="spectrum-words")


def _curves_tab(page: SimpleNamespace) -> None:
    with gr.Tab("Light curves", id=VIEWS[1]) as page.curves_tab:
        page.visit = gr.Radio([("visit 1", 0)], value=0, label="Visit", visible=False, elem_id="visit")
        page.bands = gr.CheckboxGroup([], label="Bands", elem_id="bands")
        page.curves = gr.Plot(show_label=False, elem_id="curves-plot", elem_classes="plot")
        page.curves_words = gr.Markdown(elem_classes="words")
        gr.Markdown("### Time × wavelength: the planet's air")
        page.air_words = gr.Markdown(elem_classes="words", elem_id="air-words")
        page.air = gr.Plot(show_label=False, elem_id="air-plot", elem_classes="plot")
        gr.Markdown("### Before and after the drift")
        page.image = gr.Plot(show_label=False, elem_id="image-plot", elem_classes="plot")
        gr.Markdown("### Detector")
        page.raw_words = gr.Markdown(elem_classes="words", elem_id="raw-words")
        page.step = gr.Radio([], label="Calibration step", visible=False, elem_id="step")
        page.detector = gr.Plot(show_label=False, visible=False, elem_id="detector-plot", elem_classes="plot")
        page.spot = gr.Plot(show_label=False, visible=False, elem_id="spot-plot", elem_classes="plot")


def _why_tab(page: SimpleNamespace) -> None:
    with gr.Tab("Why this σ", id=VIEWS[2]) as page.why_tab:
        page.parts_words = gr.Markdown(elem_classes="words", elem_id="parts-words")
        page.stack = gr.Plot(show_label=False, elem_id="stack-plot", elem_classes="plot")
        page.parts = gr.Plot(show_label=False, elem_id="parts-plot", elem_classes="plot")
        gr.Markdown("### Where the precision comes from: parts of the data hidden in turn")
        page.why_words = gr.Markdown(elem_classes="words", elem_id="why-words")
        page.occlusion = gr.Plot(show_label=False, elem_id="occlusion-plot", elem_classes="plot")
        gr.Markdown("### Were this checkpoint's error bars right?")
        page.reliability_words = gr.Markdown(elem_classes="words")
        page.reliability = gr.Plot(show_label=False, elem_id="reliability-plot", elem_classes="plot")


def _what_if_tab(page: SimpleNamespace) -> None:
    with gr.Tab("What if", id=VIEWS[3]) as page.what_if_tab, gr.Row(elem_classes="beside"):
        with gr.Column(scale=3, min_width=300):
            gr.Markdown("The same planet under other conditions, fitted and predicted again.")
            page.noise = gr.Slider(*LIMITS["noise"], value=1, step=0.5, label="Noise, × the usual", elem_id="noise")
            page.transits = gr.Slider(
                *LIMITS["transits"], value=0, step=1, label="Transits (0: as observed)", elem_id="transits"
            )
            page.drift = gr.Slider(*LIMITS["drift"], value=1, step=0.5, label="Drift, × the usual", elem_id="drift")
            page.missing_width = gr.Slider(
                *LIMITS["missing_width"], value=0, step=0.05, label="Missing channels: width, µm",
                elem_id="missing-width",
            )  # fmt: skip
            page.missing_from = gr.Slider(
                *LIMITS["missing_from"], value=2.5, step=0.05, label="… from, µm", elem_id="missing-from"
            )
        with gr.Column(scale=7, min_width=300):
            page.what_if_words = gr.Markdown(elem_classes="words", elem_id="what-if-words")
            page.what_if = gr.Plot(show_label=False, elem_id="what-if-plot", elem_classes="plot")
            page.what_if_about = gr.Markdown(elem_classes="words", elem_id="what-if-about")


def _transients_tab(page: SimpleNamespace) -> None:
    with gr.Tab("Transients", id=VIEWS[6]) as page.transients_tab:
        gr.Markdown(
            "Another question of the sky: is a new point of light a star torn apart by a black hole (TDE), a supernova "
            "or an active galactic nucleus? Light curves as LSST or ZTF see them, not planets."
        )
        page.transient = gr.Dropdown(
            choices=[(label(name, kind), name) for name, kind in OBJECTS.items()],
            value=Settings.transient,
            label="Simulated object",
            elem_id="transient",
        )
        with gr.Accordion("Bring your own object", open=False, elem_id="own-transient"), gr.Row():
            page.transient_upload = gr.File(
                label="One object's light curve (CSV)", file_types=[".csv", ".txt"], scale=2, height=165,
                elem_id="transient-upload",
            )  # fmt: skip
            with gr.Column(scale=3):
                page.survey = gr.Radio(
                    [(name.upper(), name) for name in SURVEYS], value="lsst", label="Whose bands", elem_id="survey"
                )
                gr.Markdown(transients.LIMITS_TEXT)
        page.transient_status = gr.Markdown(elem_classes="words", elem_id="transient-status")
        page.transient_words = gr.Markdown(elem_classes="words", elem_id="transient-words")
        page.transient_plot = gr.Plot(show_label=False, elem_id="transient-plot", elem_classes="plot")


# --- events --------------------------------------------------------------------------------------------------------


def _wire(app: gr.Blocks, page: SimpleNamespace, handlers: Handlers) -> None:
    """Connect events. Choices only record what is wanted; one event computes the visible view."""
    plots = [page.spectrum, page.curves, page.image, page.parts, page.what_if, page.transient_plot]
    plots += [page.more_plot, page.guess_plot]
    whatifs = [page.noise, page.transits, page.drift, page.missing_from, page.missing_width]
    _wire_answers(page, handlers, whatifs, plots)
    _wire_choices(app, page, handlers, whatifs, plots)


def _wire_answers(page: SimpleNamespace, handlers: Handlers, whatifs: list[Any], plots: list[Any]) -> None:
    """The event that computes the visible view.

    A choice made while that event runs makes it run once more afterwards, with the values of that time. So answers
    come in order, the last choice counts, and a session never holds both workers.
    """
    inputs = [page.subject, page.view, page.look, page.last, page.unit, page.resolution, page.visit, page.bands]
    inputs += [page.step, *whatifs, page.transient, page.own_transient]
    inputs += [page.molecule, page.more, page.series, page.number, page.votes]
    curves = [page.visit, page.bands, page.curves, page.image, page.curves_words, page.raw_words]
    views = {
        "spectrum": [page.spectrum, page.spectrum_words, page.csv],
        "light-curves": [*curves, page.step, page.detector, page.spot, page.air, page.air_words],
        "why": [page.parts_words, page.stack, page.parts, page.reliability, page.reliability_words],
        "what-if": [page.what_if, page.what_if_words, page.what_if_about, page.last],
        "transients": [page.transient_status, page.transient_plot, page.transient_words],
        "more-transits": [page.more_words, page.more_plot],
        "guess": [page.guess_plot, page.guess_words, page.picks, page.guess, page.score],
    }
    outputs: list[Any] = [component for name in SIZES for component in views[name]]
    private: dict[str, Any] = {"api_visibility": "private"}

    controls = (page.unit, page.resolution, page.visit, page.bands, page.step, *whatifs, page.transient)
    controls += (page.molecule, page.more)
    shown = gr.on(
        [page.refresh.change, *(control.input for control in controls)],
        errors_shown(handlers.show),
        inputs,
        [*outputs, page.verdict, page.query],
        trigger_mode="always_last",
        concurrency_limit=WORKERS,
        concurrency_id="answers",
        show_progress_on=plots,
        **private,
    )
    shown.then(None, page.query, page.link, js=SHOW_LINK, **private)
    # what takes longest comes last, one at a time, so that it belongs to what is shown
    shown.then(
        errors_shown(handlers.occlusion),
        [page.subject, page.view, page.look],
        [page.occlusion, page.why_words],
        concurrency_limit=1,
        show_progress_on=[page.occlusion],
        **private,
    )


def _wire_choices(
    app: gr.Blocks, page: SimpleNamespace, handlers: Handlers, whatifs: list[Any], plots: list[Any]
) -> None:
    """Links, planets, uploads, tabs and pictures: they say what is wanted."""
    private: dict[str, Any] = {"api_visibility": "private"}
    opened = [page.subject, page.view, page.look, page.planet, page.tabs, page.unit, page.resolution, page.visit]
    opened += [*whatifs, page.transient, page.molecule, page.more, page.series, page.number]
    opened += [page.picks, page.status, page.trouble, page.cards, page.refresh]
    asked = [gr.Textbox(visible=False), gr.Textbox(visible=False), page.own]
    back = gr.Button(visible="hidden", elem_id="back")
    gr.on([app.load, back.click], errors_shown(handlers.open_page), asked, opened, js=LOOK, **private)

    chosen = [page.subject, page.planet, page.visit, page.last, page.status, page.trouble, page.cards, page.refresh]
    page.planet.input(errors_shown(handlers.choose), page.planet, chosen, trigger_mode="always_last", **private)
    page.cards.click(errors_shown(handlers.choose_card), None, chosen, trigger_mode="always_last", **private)
    page.bring.click(None, js=OWN, **private)
    brought = [*chosen, page.own, page.other]
    page.upload.upload(errors_shown(handlers.open_upload), [page.upload, page.subject], brought, **private)
    own = [page.own_transient, page.transient, page.transient_status, page.refresh]
    gr.on(
        [page.transient_upload.upload, page.survey.input],
        errors_shown(handlers.open_transient),
        [page.transient_upload, page.survey],
        own,
        **private,
    )
    # one event for all tabs: a tab's own also fires when the page is built and may be answered after the link's;
    # progress is shown on the figures, where KEEP_UP looks for unfinished answers
    page.tabs.select(
        errors_shown(handlers.select),
        None,
        [page.view, page.refresh],
        trigger_mode="multiple",
        concurrency_limit=1,
        show_progress_on=plots,
        **private,
    )
    page.example_kind.input(
        errors_shown(handlers.example), page.example_kind, page.example, concurrency_limit=1, **private
    )
    page.png.click(None, page.query, None, js=SAVE_PICTURE, **private)

    nudge = gr.Button(visible="hidden", elem_id="nudge")
    nudge.click(lambda: None, trigger_mode="multiple", concurrency_limit=None, show_progress="hidden", **private)
    app.load(None, js=KEEP_UP, **private)


def _publish(endpoints: Endpoints) -> None:
    """Named endpoints. They share the page's workers; `/upload` takes a file, so it needs components."""
    group: dict[str, Any] = {"concurrency_limit": WORKERS, "concurrency_id": "answers"}
    gr.api(endpoints.planets, api_name="planets")
    gr.api(endpoints.reliability, api_name="reliability", **group)
    for name in ("spectrum", "light_curves", "why", "what_if", "more_transits", "guess", "reveal"):
        gr.api(getattr(endpoints, name), api_name=name, **group)
    file = gr.File(visible=False, label="file", file_types=list(EXTENSIONS))
    unit = gr.Radio(list(UNITS), value="ppm", visible=False, label="unit")
    resolution = gr.Number(0, visible=False, label="resolution")
    gr.Button(visible=False).click(
        endpoints.upload, [file, unit, resolution], gr.JSON(visible=False, label="answer"), api_name="upload", **group
    )


# --- start ---------------------------------------------------------------------------------------------------------


def open_engine() -> Engine:
    """The engine configured by the environment."""
    setting = {
        name: os.environ.get(f"ARIEL_{name.upper()}") or None
        for name in ("model", "dataset", "model_revision", "dataset_revision")
    }
    return Engine.open(**setting, background=True)  # type: ignore[arg-type]


def warm_up(engine: Engine) -> None:
    """Compute the spectrum that the page opens on, so that the first visitor need not wait."""
    try:
        engine.verdict(engine.visits(engine.opening()))
    except Exception:  # a background thread; users see the error when they open the planet
        logging.getLogger(__name__).exception("the first planet could not be predicted")


def launch(app: gr.Blocks, engine: Engine, port: int | None = None, **options: Any) -> Any:
    """Serve the app and the cards of its links; ``options`` are passed on to Gradio."""
    return app.launch(
        server_port=port,
        theme=THEME,
        css=CSS,
        max_file_size=MAX_UPLOAD_BYTES,
        show_error=True,
        ssr_mode=False,
        footer_links=["api", "settings"],
        max_threads=16,
        head=preload(),
        app_kwargs={"middleware": [Middleware(Sharing, Cards(Handlers(engine)))]},
        **options,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=None, help="of the server; default GRADIO_SERVER_PORT or 7860")
    logging.basicConfig(format="%(message)s")
    logging.getLogger(sample.__name__).setLevel(logging.INFO)  # a checkout's first start makes the sample
    port, engine = parser.parse_args().port, open_engine()
    app = build_app(engine)
    try:
        launch(app, engine, port, prevent_thread_lock=True)  # Gradio gives up if its own page takes over 3 s
    except OSError:
        sys.exit(f"error: --port: expected a free port, found {port or 'all from 7860 on'} in use")
    threading.Thread(target=warm_up, args=(engine,), daemon=True).start()
    app.block_thread()
