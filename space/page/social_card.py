"""The picture of a link, as messengers and timelines show it: title, spectrum or light curve, a sentence, an address.

Drawn without pyplot, whose figures are global; sizes are set one by one, for rcParams are global too.
"""

from __future__ import annotations

import io
import textwrap
import threading
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, StrMethodFormatter

from engine.spectrum import FGS1_BELOW_UM, Spectrum
from engine.transients import TransientView
from engine.verdict import STANDS_OUT, Verdict
from modeling_ariel.molecules import MOLECULES
from page.theme import BLUE, GREEN, LIGHT, MOLECULE_COLOURS, ORANGE, PURPLE, RED
from page.verdicts import FORMULAS

NAME = "Ariel spectra"
SIZE = (1200, 630)  # [px], the shape that Open Graph's readers cut to
TITLE, SENTENCE, AXIS, FOOT = 48, 31, 24, 27  # heights of letters [px]: at 500 px width still 10 or more
LINES, LETTERS = 2, 71  # of the sentence
RESOLUTION = 60.0  # of the bins: channels would be a smear in a thumbnail
LEAST_PPM = 300.0  # range of the ordinate, so that a flat spectrum looks flat
DPI = 100
_drawing = threading.Lock()  # Matplotlib's caches of fonts and texts are shared


def spectrum_card(found: Spectrum, verdict: Verdict, title: str, sentence: str, address: str) -> bytes:
    """PNG of a spectrum with its 1σ and 2σ bands, the truth where it is known, molecules that stand out named."""
    with _drawing:
        figure, axes = _page(title, sentence, address)
        _spectrum(axes, found.binned(RESOLUTION), verdict)
        return _png(figure, title, sentence, address)


def transient_card(found: TransientView, title: str, sentence: str, address: str) -> bytes:
    """PNG of a transient: measurements and the process of each band."""
    with _drawing:
        figure, axes = _page(title, sentence, address)
        palette = (PURPLE, BLUE, GREEN, ORANGE, RED, LIGHT.ink)
        for place, band in enumerate(found.bands):
            colour = palette[place % len(palette)]
            mean, error = found.flux[:, place], found.error[:, place]
            axes.fill_between(found.time, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
            axes.plot(found.time, mean, color=colour, linewidth=3)
            time, flux, _ = found.measured[band]
            axes.plot(time, flux, ".", color=colour, markersize=11, markeredgewidth=0)
        fluxes = np.concatenate([flux for _, flux, _ in found.measured.values()])
        low, high = np.quantile(fluxes, [0.005, 0.995])
        axes.set_xlim(*found.window)
        axes.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
        axes.set_xlabel("days since the brightest", fontsize=_points(AXIS), color=LIGHT.text)
        axes.set_ylabel("flux, µJy", fontsize=_points(AXIS), color=LIGHT.text)
        return _png(figure, title, sentence, address)


def _points(pixels: float) -> float:
    return pixels * 72.0 / DPI


def _page(title: str, sentence: str, address: str) -> tuple[Figure, Axes]:
    """The card without its data."""
    width, height = SIZE
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    size = TITLE * min(1.0, 38 / max(len(title), 1))
    figure.text(0.035, 0.955, title, fontsize=_points(size), weight="bold", va="top", color=LIGHT.ink)
    lines = "\n".join(textwrap.wrap(sentence, LETTERS, max_lines=LINES, placeholder=" …"))
    figure.text(0.035, 0.845, lines, fontsize=_points(SENTENCE), va="top", color=LIGHT.text, linespacing=1.25)
    figure.text(0.035, 0.045, NAME, fontsize=_points(FOOT), weight="bold", color=RED)
    figure.text(0.975, 0.045, address, fontsize=_points(FOOT), ha="right", color=LIGHT.text)
    axes = figure.add_axes((0.115, 0.215, 0.86, 0.46))
    axes.tick_params(labelsize=_points(AXIS), colors=LIGHT.text, length=0, pad=6)
    axes.grid(color=LIGHT.grid, linewidth=1.5)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    return figure, axes


def _spectrum(axes: Axes, found: Spectrum, verdict: Verdict) -> None:
    airs = found.wavelength_um >= FGS1_BELOW_UM
    x, mean, sigma = (found.wavelength_um[airs], *(1e6 * part[airs] for part in (found.mean, found.sigma)))
    for n, alpha in ((2.0, 0.22), (1.0, 0.45)):
        axes.fill_between(x, mean - n * sigma, mean + n * sigma, color=ORANGE, alpha=alpha, linewidth=0)
    axes.plot(x, mean, color=RED, linewidth=4)
    low, high = (mean - 2 * sigma).min(), (mean + 2 * sigma).max()
    if found.truth is not None:
        axes.plot(x, 1e6 * found.truth[airs], color=LIGHT.ink, linewidth=1.5)
        low, high = np.nanmin([low, *1e6 * found.truth[airs]]), np.nanmax([high, *1e6 * found.truth[airs]])
    spread, middle = max(high - low, LEAST_PPM), 0.5 * (low + high)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(middle - 0.55 * spread, middle + 0.8 * spread)  # room for the molecules' names
    for name in verdict.between(STANDS_OUT)[:2]:
        for start, end in MOLECULES[name]:
            axes.axvspan(max(start, x[0]), min(end, x[-1]), color=MOLECULE_COLOURS[name], alpha=0.13, linewidth=0)
        start, end = max(MOLECULES[name], key=lambda band: band[1] - band[0])
        place = {"x": 0.5 * (start + end), "y": middle + 0.75 * spread, "s": FORMULAS[name]}
        axes.text(**place, fontsize=_points(SENTENCE), weight="bold", ha="center", va="top", color=LIGHT.text)
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    key = "wavelength, µm; orange: 1σ and 2σ" + ("; black: the truth" if found.truth is not None else "")
    axes.set_xlabel(key, fontsize=_points(AXIS), color=LIGHT.text)
    axes.set_ylabel("depth, ppm", fontsize=_points(AXIS), color=LIGHT.text)


def _png(figure: Figure, title: str, sentence: str, address: str) -> bytes:
    """The figure's bytes; the same figure gives the same ones."""
    about: Mapping[str, str] = {"Title": title, "Description": sentence, "Source": address or NAME}
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={**about, "Software": NAME})
    return buffer.getvalue()
