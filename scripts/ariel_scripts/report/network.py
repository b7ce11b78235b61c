"""The report's sections on the network: its states of the planets, and what in a light curve its answers rest on."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from ariel_scripts.report import figures, statistics
from ariel_scripts.report.attribution_figures import attribution_figures
from ariel_scripts.report.attributions import Attribution
from ariel_scripts.report.data import Array, Entry, Study
from ariel_scripts.report.statistics import PPM
from ariel_scripts.report.text import Section

NO_STATES = "<p>Predictions from a file come without the network's states: give --model to see them.</p>"
NO_MODEL = "<p>Predictions from a file come without their model: give --model to see what it does.</p>"


def embeddings(study: Study, methods: Sequence[str], seed: int) -> Section:
    """The network's states of all planets in two dimensions."""
    intro = (
        "How the network sees the planets: the mean of its tokens for each planet, the star's and those of all times, "
        "in two dimensions. Groups that share a colour are told apart by the network; bad scores that gather in one "
        "place name a kind of planet that training lacks. Every number of a state is scaled to a spread of 1 over the "
        "planets; then PCA only rotates: its axes and distances mean something, in t-SNE and UMAP only neighbours "
        f"do.{study.click}"
    )
    section = Section("embeddings", "Latents", intro)
    known = [entry for entry in study.entries if entry.latent is not None]
    if not known:
        section.parts.append(NO_STATES)
    for entry in known:
        latent = np.asarray(entry.latent)
        have = np.flatnonzero(np.isfinite(latent).all(1))
        if len(have) < 3:
            section.parts.append(f"<p>{html.escape(entry.name)}: too few planets for a picture ({len(have)}).</p>")
            continue
        colours = _colours(study, entry, have)
        for method in methods:
            try:
                axes, place = embed(method, latent[have], seed)
            except (ImportError, ValueError) as error:
                section.warnings.append(f"{method} of {entry.name} could not be made: {error}")
                continue
            x, y = place.T
            title = f"{method.upper().replace('TSNE', 't-SNE')} of {entry.name}"
            caption = (
                "" if len(have) == len(latent) else f"The states of {len(latent) - len(have)} planets are unknown."
            )
            section.parts.append(
                figures.scatter(title, caption, (axes[0], x), (axes[1], y), study.planets[have], colours)
            )
    return section


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
    intro = (
        "What in the data moved the network's answer, by integrated gradients from light that never leaves its level. "
        "The network reads the data as the light curve and, where it corrects a classical fit, as the residual of that "
        "fit: both are counted, and summed. The fit's spectrum and error are held as they are: this is what the "
        "network makes of the data beyond them. A channel's level is its median, which in long transits lies inside "
        "the transit: then light outside it counts as well. Positive parts raise the depth (or σ), negative ones lower "
        "it; together they sum to the whole change. Good models look at the transit and just beside it. Below, by "
        "wavelength, with the physics penalties of the predicted spectrum; crosses mark channels beyond their limit "
        "(roughness 1.5, dotted at 1; others 0)."
    )
    section = Section("attributions", "Attributions", intro, [] if found else [NO_MODEL])
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
        heading = f"Planet {one.planet}"
        if study.listed:
            heading = f'<a href="#planet-{one.planet}">{heading}</a>'
        section.parts += [f"<h3>{heading}{html.escape(name)}</h3>", *pair]
    return section


def _sum(one: Attribution, key: str, unit: str) -> str:
    """In words what an output changes by, through which reading of the data, and what the parts' sum misses."""
    change = f"{key} changes by {one.total[key]:.3g} {unit} on average over channels"
    if len(one.by_reading[key]) > 1:
        change += " (" + ", ".join(f"{value:.3g} by the {name}" for name, value in one.by_reading[key].items()) + ")"
    return f"{change}, of which the parts' sum misses {one.missed[key]:.1g}"
