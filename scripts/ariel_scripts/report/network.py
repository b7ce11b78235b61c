"""The report's sections on the network: its states of the planets, and what in a light curve its answers rest on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ariel_scripts.report import figures, statistics
from ariel_scripts.report.attribution_figures import attribution_figures
from ariel_scripts.report.attributions import Attribution
from ariel_scripts.report.data import Array, Entry, Study
from ariel_scripts.report.page import Section
from ariel_scripts.report.statistics import PPM

FEW = 3  # planets that make a picture


def embeddings(study: Study, methods: Sequence[str], seed: int) -> Section:
    """The network's states of all planets in two dimensions."""
    shown, warnings = [], []
    for entry in study.entries:
        if entry.latent is None:
            continue
        latent = np.asarray(entry.latent)
        have = np.flatnonzero(np.isfinite(latent).all(1))
        pictures = []
        colours = _colours(study, entry, have)
        for method in methods if len(have) >= FEW else ():
            try:
                axes, place = embed(method, latent[have], seed)
            except (ImportError, ValueError) as error:
                warnings.append(f"{method} of {entry.name} could not be made: {error}")
                continue
            x, y = place.T
            title = f"{method.upper().replace('TSNE', 't-SNE')} of {entry.name}"
            unknown = len(latent) - len(have)
            caption = f"The states of {unknown} planets are unknown." if unknown else ""
            points = (axes[0], x), (axes[1], y), study.planets[have]
            pictures.append(figures.scatter(title, caption, *points, colours))
        shown.append({"name": entry.name, "planets": len(have), "figures": pictures})
    return Section("embeddings", {"entries": shown, "few": FEW, "click": study.click}, warnings)


def _colours(study: Study, entry: Entry, have: np.ndarray) -> dict[str, Array]:
    colours: dict[str, Array] = {}
    if len(study.labelled):
        score = np.full(len(study.planets), np.nan)
        terms = statistics.score_terms(*study.judged(entry), "2024")
        score[study.labelled] = np.clip(statistics.planet_scores(terms), -0.5, 1.0)
        colours["score 2024"] = score[have]
    colours["depth, ppm"] = PPM * entry.mu.mean(1)[have]
    if np.isfinite(temperature := study.star_column("Ts")[have]).any():
        colours["star temperature, K"] = temperature
    colours["log10 σ, ppm"] = np.log10(PPM * np.median(entry.sigma, 1)[have])
    return colours


def embed(method: str, latent: Array, seed: int) -> tuple[tuple[str, str], Array]:
    """Names of two axes and coordinates (P, 2) of rows (P, D), by "pca", "tsne" or "umap"."""
    scaled = (latent - latent.mean(0)) / np.maximum(latent.std(0), 1e-9)
    if method == "pca":
        place, share = statistics.principal_components(scaled)
        return (f"PC 1 ({100 * share[0]:.0f} % of the variance)", f"PC 2 ({100 * share[1]:.0f} %)"), place
    if method == "tsne":
        from sklearn.manifold import TSNE  # of the extra `report`: the page goes without the picture

        perplexity = min(30.0, (len(latent) - 1) / 3)
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
        return ("t-SNE 1", "t-SNE 2"), np.asarray(found, np.float64)
    if method == "umap":
        import umap  # of the extra `report` too

        neighbours = min(15, len(latent) - 1)
        found = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(scaled)
        return ("UMAP 1", "UMAP 2"), np.asarray(found, np.float64)
    raise ValueError(f"--embed: expected pca, tsne or umap, found {method!r}")


def attributions(study: Study, found: Sequence[tuple[Entry, Attribution]]) -> Section:
    """Integrated gradients with the penalties of the predicted spectrum."""
    shown = []
    units = {"depth": "ppm", "sigma": "%"}
    for entry, one in found:
        row = int(np.flatnonzero(study.planets == one.planet)[0])
        terms = statistics.penalty_terms(entry.mu[row : row + 1], entry.sigma[row : row + 1])
        name = f" · {entry.name}" if len(study.entries) > 1 else ""
        sums = "; ".join(_sum(one, key, units[key]) for key in one.total).replace("-", "−")
        by_time = {key: list(values) for key, values in one.by_time.items()}
        title, caption = f"Planet {one.planet}{name}", f"{sums.capitalize()}."
        pair = attribution_figures(
            title,
            caption,
            study.wavelength,
            list(one.time),
            by_time,
            list(one.white),
            one.by_channel,
            {key: values[0] for key, values in terms.items()},
            statistics.PENALTIES,
            units,
        )
        shown.append({"planet": one.planet, "name": name, "figures": pair})
    return Section("attributions", {"planets": shown, "listed": study.listed})


def _sum(one: Attribution, key: str, unit: str) -> str:
    """In words what an output changes by, through which reading of the data, and what the parts' sum misses."""
    change = f"{key} changes by {one.total[key]:.3g} {unit} on average over channels"
    if len(one.by_reading[key]) > 1:
        change += " (" + ", ".join(f"{value:.3g} by the {name}" for name, value in one.by_reading[key].items()) + ")"
    return f"{change}, of which the parts' sum misses {one.missed[key]:.1g}"
