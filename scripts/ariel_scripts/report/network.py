"""The report's sections on the network: its states of the planets, and what in a light curve its answers rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ariel_scripts.report import figures, honesty, statistics
from ariel_scripts.report.attribution_figures import UNITS, attribution_figures, summary_figures
from ariel_scripts.report.attributions import Attributed, Attribution
from ariel_scripts.report.data import Array, Entry, Study, stars
from ariel_scripts.report.page import Section, without_folders
from ariel_scripts.report.rules import Broken
from ariel_scripts.report.statistics import PPM
from modeling_ariel.planet_kinds import planet_facts
from modeling_ariel.status import TRUSTED

FEW = 3  # planets that make a picture
METHODS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
NEIGHBOURS = {
    "pca": "Each point is a planet as the network sees it; axes and distances mean something.",
    "umap": "Each point is a planet as the network sees it; only neighbours mean something.",
    "tsne": "Each point is a planet as the network sees it; only neighbours mean something.",
}
TIME_READING = (
    "Line: what each moment of the light curve (dots) adds to the answer; a good model looks at the transit and just "
    "beside it, a line that is large elsewhere means drift taken for depth."
)


def embeddings(study: Study, methods: Sequence[str], seed: int, broken: Mapping[str, Broken]) -> Section | None:
    """The network's states of all planets in two dimensions; None where no network's are known."""
    shown, warnings = [], []
    for entry in study.entries:
        if entry.latent is None:
            continue
        latent = np.asarray(entry.latent)
        have = np.flatnonzero(np.isfinite(latent).all(1))
        pictures = []
        colours = {name: values[have] for name, values in _colours(study, entry, broken[entry.name]).items()}
        for method in methods if len(have) >= FEW else ():
            try:
                axes, place = embed(method, latent[have], seed)
            except (ImportError, ValueError) as error:
                warnings.append(f"{method} of {entry.name} could not be made: {error}")
                continue
            x, y = place.T
            title = f"{METHODS[method]} of {entry.name}"
            unknown = len(latent) - len(have)
            caption = (
                f"{NEIGHBOURS[method]} A colour that gathers in one place is something the network knows; errors that "
                "gather there are a kind of planet that training lacks."
            )
            caption += f" The states of {unknown} planets are unknown." if unknown else ""
            points = (axes[0], x), (axes[1], y), study.planets[have]
            pictures.append(figures.scatter(title, caption, *points, colours))
        if pictures:
            shown.append({"name": entry.name, "planets": len(have), "figures": pictures})
    if not (shown or warnings):
        return None
    return Section("embeddings", {"entries": shown, "click": study.click}, warnings)


def _colours(study: Study, entry: Entry, broken: Broken) -> dict[str, NDArray[Any]]:
    """Numbers and kinds (P,) by which planets are coloured."""
    colours: dict[str, NDArray[Any]] = {}
    known = study.labelled
    if len(known):
        truth, mu, sigma = study.judged(entry)
        error = statistics.planet_errors(truth, mu, sigma)
        score = np.clip(statistics.planet_scores(statistics.score_terms(truth, mu, sigma, "2024")), -0.5, 1.0)
        for name, values in (
            ("log10 error, ppm", np.log10(error.rmse)),
            ("error, σ (rms of z)", error.z_spread),
            ("score 2024", score),
        ):
            colours[name] = np.full(len(study.planets), np.nan)
            colours[name][known] = values
    colours["rules broken"] = broken.count
    colours["entropy, nats"] = honesty.entropy(entry.sigma)
    colours["kind of spectrum"] = kinds_of(study, entry)
    colours["depth, ppm"] = PPM * entry.mu.mean(1)
    if np.isfinite(temperature := study.star_column("Ts")).any():
        colours["star temperature, K"] = temperature
    return colours


def kinds_of(study: Study, entry: Entry) -> NDArray[np.str_]:
    """Kind of each planet's spectrum (P,): how its fit ended where that is not well, else how clear the atmosphere is.

    Scale heights as in `modeling_ariel.planet_kinds`; features within sigma are none.
    """
    facts = planet_facts(torch.from_numpy(stars(study)), torch.from_numpy(entry.mu))
    heights, features = facts["scale_heights"].numpy(), facts["features_ppm"].numpy()
    kind = np.where(heights >= 1.0, "clear", np.where(heights < 0.5, "cloudy", "in between")).astype("<U32")
    kind[~np.isfinite(heights)] = "with features"
    kind[features < PPM * np.median(entry.sigma, 1)] = "flat within σ"
    for row, status in enumerate(entry.status or ()):
        if status not in TRUSTED:
            kind[row] = f"fit {status.replace('_', ' ')}"
    return kind


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


def attributions(study: Study, found: Sequence[Attributed]) -> Section | None:
    """Integrated gradients over the planets, and of some one by one; None where no network is known."""
    if not found:
        return None
    shown, over, warnings = [], [], []
    for attributed in found:
        entry, planets = attributed.entry, attributed.planets
        name = f" · {entry.name}" if len(study.entries) > 1 else ""
        if attributed.lack:
            warnings.append(without_folders(f"No attributions of {entry.name}: {attributed.lack}"))
        if len(planets) > 1:
            over += summary_figures(name, study.wavelength, planets)
        for place in _in_detail(len(planets)):
            shown.append(_one(study, entry, planets[place], name))
    return Section("attributions", {"planets": shown, "over": over, "listed": study.listed}, warnings)


def _in_detail(count: int) -> list[int]:
    """Places of the planets that are shown one by one: the first, the middle and the last."""
    return sorted({0, (count - 1) // 2, count - 1}) if count else []


def _one(study: Study, entry: Entry, one: Attribution, name: str) -> dict[str, Any]:
    """A planet's attributions beside the penalties of its spectrum."""
    row = int(np.flatnonzero(study.planets == one.planet)[0])
    terms = statistics.penalty_terms(entry.mu[row : row + 1], entry.sigma[row : row + 1])
    sums = "; ".join(_sum(one, key, UNITS[key]) for key in one.total).replace("-", "−")
    pair = attribution_figures(
        f"Planet {one.planet}{name}",
        f"{TIME_READING} {sums.capitalize()}.",
        study.wavelength,
        list(one.time),
        {key: list(values) for key, values in one.by_time.items()},
        list(one.white),
        one.by_channel,
        {key: values[0] for key, values in terms.items()},
        statistics.PENALTIES,
        UNITS,
    )
    return {"planet": one.planet, "name": name, "figures": pair}


def _sum(one: Attribution, key: str, unit: str) -> str:
    """In words what an output changes by, through which reading of the data, and what the parts' sum misses."""
    change = f"{key} changes by {one.total[key]:.3g} {unit} on average over channels"
    if len(one.by_reading[key]) > 1:
        change += " (" + ", ".join(f"{value:.3g} by the {name}" for name, value in one.by_reading[key].items()) + ")"
    return f"{change}, of which the parts' sum misses {one.missed[key]:.1g}"
