"""The report's sections: what is computed, shown and said in each. A study in, text and figures out."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ariel_scripts import _report_figures as figures
from ariel_scripts import _report_statistics as statistics
from ariel_scripts._report_attributions import Attribution
from ariel_scripts._report_data import Array, Entry, Study
from ariel_scripts._report_figures import Figure
from ariel_scripts._report_statistics import PPM, Estimate
from modeling_ariel.uncertainty_ariel import coverage_curve, z_histogram

LIMITS = {
    "negative_depth": 0.0,
    "roughness": 1.5,
    "sigma_below_floor": 0.0,
}  # beyond: violated; 1.5 is noise of 1 sigma
NO_TRUTH = "The planets of this split have no known spectra: nothing can be compared with the truth here."
NAMES = {
    "score_2024": "score 2024",
    "score_2025": "score 2025",
    "rmse_ppm": "RMSE, ppm",
    "bias_ppm": "bias, ppm",
    "sigma_ppm": "σ (rms), ppm",
    "coverage_50": "in 50 % interval, %",
    "coverage_90": "in 90 % interval, %",
    "z_mean": "mean z",
    "z_spread": "spread of z",
}
DIGITS = {"score_2024": 4, "score_2025": 4, "z_mean": 2, "z_spread": 2}


@dataclass
class Section:
    """A part of the page: ``intro`` is plain text, ``parts`` are figures and pieces of HTML."""

    key: str
    title: str
    intro: str
    parts: list[Figure | str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], key: str = "", sortable: bool = False) -> str:
    """An HTML table in a box that scrolls sideways; cells are plain text, the first names its row."""
    cell = '<th scope="col" aria-sort="none"><button type="button">{}</button></th>' if sortable else "<th>{}</th>"
    columns = "".join(cell.format(html.escape(text)) for text in head)
    body = "\n".join(
        f'<tr><th scope="row">{html.escape(first)}</th>{"".join(f"<td>{html.escape(text)}</td>" for text in rest)}</tr>'
        for first, *rest in rows
    )
    attributes = (f' id="{key}"' if key else "") + (' class="sortable"' if sortable else "")
    return (
        f'<div class="scroll" tabindex="0"><table{attributes}><thead><tr>{columns}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(key: str, one: Estimate) -> str:
    scale = 100 if key.startswith("coverage") else 1
    digits = DIGITS.get(key, 1)
    value, low, high = (f"{scale * x:.{digits}f}" for x in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})".replace("-", "−")


def number(value: float, digits: int = 1) -> str:
    """A number, – where there is none."""
    return "–" if not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


# --- score ---------------------------------------------------------------------------------------------------------


def summary(study: Study, seed: int) -> Section:
    """Both scores and the errors of each entry, with intervals."""
    intro = (
        "How good the spectra are, and how far the number can be trusted: in brackets the 90 % interval of a bootstrap "
        f"over planets ({statistics.N_DRAWS} resamples). A score of 0 is the reference that answers with the mean of all "
        "spectra, 1 is the truth with σ of 10 ppm (2025: 1 ppm for FGS1). Honest σ have a spread of z of 1."
    )
    section = Section("summary", "Score", intro)
    if not len(study.labelled):
        section.parts.append(f"<p>{NO_TRUTH}</p>")
        return section
    found = {entry.name: statistics.summary(*study.judged(entry), seed) for entry in study.entries}
    head = ["", *found]
    section.parts.append(
        table(head, ([NAMES[key], *(_text(key, one[key]) for one in found.values())] for key in NAMES))
    )
    if len(found) > 1:
        rows = {
            NAMES[key]: {name: (one[key].value, one[key].low, one[key].high) for name, one in found.items()}
            for key in ("score_2024", "score_2025")
        }
        caption = "Points: score; bars: 90 % interval over planets. Intervals of entries that err on the same planets "
        caption += "may overlap and yet differ surely: see the comparison in pairs."
        section.parts.append(figures.intervals("Scores", caption, rows))
    return section


def comparison(study: Study, seed: int) -> Section:
    """Every other entry against the first, in pairs of planets."""
    first, *others = study.entries
    intro = (
        f"Each entry less “{first.name}”, on the same planets: the bootstrap draws planets for both together, so that "
        "planets that are hard for both drop out. “Better” is the share of resamples in which the score is higher."
    )
    section = Section("comparison", "Comparison", intro)
    truth, mu, sigma = study.judged(first)
    base = {year: statistics.score_terms(truth, mu, sigma, year) for year in ("2024", "2025")}
    errors = statistics.planet_errors(truth, mu, sigma)
    rows, which = [], study.planets[study.labelled]
    before = statistics.planet_scores(base["2024"])
    for other in others:
        cells = []
        for year in ("2024", "2025"):
            terms = statistics.score_terms(*study.judged(other), year)
            gap, better = statistics.score_difference(base[year], terms, seed)
            cells += [_text(f"score_{year}", gap), f"{100 * better:.0f} %"]
        found = statistics.planet_errors(*study.judged(other))
        ratio = statistics.estimate(np.stack([errors.rmse**2, found.rmse**2], 1), _rmse_ratio, seed)
        after = statistics.planet_scores(statistics.score_terms(*study.judged(other), "2024"))
        cells += [_text("score_2024", ratio), f"{100 * (after > before).mean():.0f} %"]
        rows.append([other.name, *cells])
        x, y = (np.clip(values, -0.5, 1.0) for values in (before, after))
        title = f"{other.name} against {first.name}, planet by planet"
        caption = "Above the line the other entry is better. Scores of lost planets are drawn at −0.5. Click a planet."
        names = (f"score 2024, {figures.label(first.name)}", f"score 2024, {figures.label(other.name)}")
        section.parts.append(
            figures.scatter(title, caption, (names[0], x), (names[1], y), which, {"": np.full(len(which), np.nan)},
                            diagonal=True)
        )  # fmt: skip
    head = ["", "score 2024", "better", "score 2025", "better", "RMSE ratio", "planets better"]
    section.parts.insert(0, table(head, rows))
    return section


def _rmse_ratio(means: Array) -> Array:
    return np.sqrt(means[..., 1] / means[..., 0])


# --- planets -------------------------------------------------------------------------------------------------------


def planets(study: Study) -> Section:
    """The table of planets; the page's script draws the one that is chosen."""
    intro = (
        "Choose a planet in the table to see its spectrum: line and bands are μ with 1 σ and 2 σ, the points below are "
        "(μ − truth)/σ, of which 95 % belong inside ±2. A score below 0 is worse than not having looked. Columns sort."
    )
    if not len(study.labelled):
        intro = "Choose a planet in the table to see its spectrum: line and bands are μ with 1 σ and 2 σ. Columns sort."
    columns = _planet_columns(study)
    order = np.arange(len(study.planets))
    if len(study.labelled):
        key = next(name for name in columns if name.startswith("score 2024"))
        values = np.array([float(text.replace("−", "-")) if text != "–" else np.inf for text in columns[key]])
        order = np.argsort(values, kind="stable")
    rows = ([str(study.planets[i]), *(column[i] for column in columns.values())] for i in order)
    find = (
        '<p class="tools"><label>Find <input type="search" id="find" placeholder="planet id" autocomplete="off"></label>'
        '<button type="button" id="previous">← previous</button><button type="button" id="next">next →</button></p>'
    )
    viewer = (
        '<h3 id="chosen" aria-live="polite"></h3>'
        '<div id="planet-plot" class="plot" role="img" aria-label="Spectrum of the chosen planet"></div>'
    )
    listed = table(["planet", *columns], rows, "planet-table", sortable=True).replace(
        'class="scroll"', 'class="scroll tall"'
    )
    return Section("planets", "Planets", intro, [viewer, find, listed])


def _planet_columns(study: Study) -> dict[str, list[str]]:
    """Texts (P,) of the table's columns."""
    columns: dict[str, list[str]] = {}
    several = len(study.entries) > 1
    size, labelled = len(study.planets), study.labelled

    def put(name: str, entry: Entry, values: Array, digits: int) -> None:
        placed = np.full(size, np.nan)
        placed[labelled if len(values) != size else slice(None)] = values
        columns[f"{name} · {entry.name}" if several else name] = [number(value, digits) for value in placed]

    for entry in study.entries:
        if len(labelled):
            truth, mu, sigma = study.judged(entry)
            found = statistics.planet_errors(truth, mu, sigma)
            put("score 2024", entry, statistics.planet_scores(statistics.score_terms(truth, mu, sigma, "2024")), 3)
            if not several:
                put("score 2025", entry, statistics.planet_scores(statistics.score_terms(truth, mu, sigma, "2025")), 3)
            put("RMSE, ppm", entry, found.rmse, 1)
            if not several:
                put("bias, ppm", entry, found.bias, 1)
            put("spread of z", entry, found.z_spread, 2)
            if not several:
                put("in 90 %, %", entry, 100 * found.coverage, 0)
        put("σ, ppm", entry, PPM * np.median(entry.sigma, 1), 1)
        if not several and entry.epistemic is not None and entry.epistemic.any():
            put("σ epistemic, ppm", entry, PPM * np.median(entry.epistemic, 1), 1)
    columns["depth, ppm"] = [number(value, 0) for value in PPM * study.entries[0].mu.mean(1)]
    if np.isfinite(study.star_column("Ts")).any():
        columns["star, K"] = [number(value, 0) for value in study.star_column("Ts")]
    columns["visits"] = [str(count) for count in study.visits]
    for entry in study.entries:
        if entry.status is not None and (not several or set(entry.status) != {"ok"}):
            columns[f"fit · {entry.name}" if several else "fit"] = list(entry.status)
    return columns


def planet_data(study: Study) -> dict[str, Any]:
    """What the page's script draws planets from."""
    several = len(study.entries) > 1
    titles = ["transit depth, ppm", "(μ − truth)/σ"] if len(study.labelled) else ["transit depth, ppm"]
    layout = figures.spectral_layout(study.wavelength, titles, (2.4, 1) if len(titles) > 1 else None)
    if len(titles) > 1:
        for value in (-2, 2):
            layout["shapes"].append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "y0": value,
                                     "y1": value, "line": {"color": "§muted", "width": 1, "dash": "dot"}})  # fmt: skip
    return {
        "ids": study.planets.tolist(),
        "wavelength": figures.packed(study.wavelength),
        "truth": figures.packed(PPM * study.truth) if len(study.labelled) else None,
        "entries": [
            {"name": figures.label(entry.name), "mu": figures.packed(PPM * entry.mu),
             "sigma": figures.packed(PPM * entry.sigma), "wide": not several,
             "dash": figures.DASHES[place % len(figures.DASHES)]}
            for place, entry in enumerate(study.entries)
        ],
        "layout": layout,
    }  # fmt: skip


# --- errors --------------------------------------------------------------------------------------------------------


def wavelengths(study: Study, seed: int) -> Section:
    """Errors and sigma by channel and by molecular band."""
    intro = (
        "Where in the spectrum the errors are, and whether σ knows: root mean square error and σ over planets for each "
        "channel, the mean error (bias), and the spread of z; below, the same in the bands where molecules absorb."
    )
    section = Section("wavelengths", "Errors by wavelength", intro)
    rms = {entry.name: PPM * np.sqrt((entry.sigma**2).mean(0)) for entry in study.entries}
    if not len(study.labelled):
        section.parts += [f"<p>{NO_TRUTH}</p>", figures.sigma_by_wavelength(study.wavelength, rms)]
        return section
    curves = {}
    for entry in study.entries:
        truth, mu, sigma = study.judged(entry)
        error = PPM * (mu - truth)
        curves[entry.name] = {
            "sigma": PPM * np.sqrt((sigma**2).mean(0)),
            "rmse": statistics.by_channel(error**2, root=True, seed=seed),
            "bias": statistics.by_channel(error, seed=seed),
            "z_spread": statistics.by_channel(((mu - truth) / sigma) ** 2, root=True, seed=seed),
        }
    section.parts.append(figures.errors_by_wavelength(study.wavelength, curves))
    keys = ("rmse_ppm", "sigma_ppm", "bias_ppm", "coverage_90", "z_spread")
    for entry in study.entries:
        rows = []
        for name, inside in statistics.bands(study.wavelength).items():
            found = statistics.errors(*(values[:, inside] for values in study.judged(entry)), seed=seed)
            title = name.split()[0].translate(figures.SUBSCRIPT) + "".join(f" {part} µm" for part in name.split()[1:])
            rows.append([title, str(int(inside.sum())), *(_text(key, found[key]) for key in keys)])
        heading = f"<h3>Bands{f' · {html.escape(entry.name)}' if len(study.entries) > 1 else ''}</h3>"
        section.parts.append(heading + table(["band", "channels", *(NAMES[key] for key in keys)], rows))
    return section


def honesty(study: Study) -> Section:
    """Coverage curves and histograms of z."""
    intro = (
        "Whether σ means what it says. A stated 90 % interval should hold 90 % of the truths, and z = (μ − truth)/σ "
        "should be distributed as N(0, 1), tails included."
    )
    judged = {entry.name: study.judged(entry) for entry in study.entries}
    curves = figures.coverage({name: coverage_curve(*values) for name, values in judged.items()})
    z = figures.z_histograms({name: z_histogram(*values) for name, values in judged.items()})
    return Section("coverage", "Coverage and z-scores", intro, [curves, z])


def likelihood(study: Study) -> Section:
    """The heat map of log-likelihoods."""
    intro = (
        "Where the score is won and lost: the log-likelihood of every true depth over what the reference gives it. "
        "Planets are sorted by the first entry's score; a click shows the planet."
    )
    terms = statistics.score_terms(*study.judged(study.entries[0]), "2024")
    order = np.argsort(statistics.planet_scores(terms), kind="stable")
    gains = {entry.name: statistics.gain(*study.judged(entry))[order] for entry in study.entries}
    shown = figures.gain_map(study.wavelength, study.planets[study.labelled][order], gains)
    return Section("likelihood", "Log-likelihood map", intro, [shown])


def shapes(study: Study) -> Section:
    """Smoothness, power and physics penalties."""
    intro = (
        "Whether predicted spectra look like spectra. Power over AIRS channels tells broad features (left) from fine "
        "structure and noise (right). Roughness is the scatter between neighbouring channels. The penalties are 0 or "
        "small where nothing is wrong: depths below 0 and σ below 1 ppm count by their size; roughness in σ is below 1 "
        "for smooth spectra and 1.5 where neighbours scatter by their own σ."
    )
    known = study.labelled
    curves: list[tuple[str, Array, int | None, str]] = []
    rows, penalties = [], []
    frequency, _ = statistics.power(np.zeros((1, len(study.wavelength) - 1)))
    if len(known):
        truth = PPM * study.truth[known, 1:]
        curves.append(("truth", statistics.power(truth)[1], None, "solid"))
        rows.append(["truth", number(np.median(statistics.roughness(truth)), 2), "–"])
    for place, entry in enumerate(study.entries):
        curves.append((f"{entry.name}: μ", statistics.power(PPM * entry.mu[:, 1:])[1], place, "solid"))
        residual = np.nan
        if len(known):
            errors = PPM * (entry.mu[known, 1:] - study.truth[known, 1:])
            curves.append((f"{entry.name}: μ − truth", statistics.power(errors)[1], place, "dot"))
            residual = float(np.median(statistics.roughness(errors)))
        smooth = np.median(statistics.roughness(PPM * entry.mu[:, 1:]))
        rows.append([entry.name, number(smooth, 2), number(residual, 2)])
        terms = statistics.penalty_terms(entry.mu, entry.sigma)
        cells = []
        for name, limit in LIMITS.items():
            each = np.nanmean(terms[name], 1)
            cells += [f"{each.mean():.3g}", str(int((each > limit).sum()))]
        penalties.append([entry.name, *cells])
    head = ["", "roughness of μ (median), ppm", "of μ − truth, ppm"]
    named = [cell for name in LIMITS for cell in (name.replace("_", " "), "planets beyond")]
    return Section(
        "shapes",
        "Smoothness and penalties",
        intro,
        [figures.power_spectra(frequency, curves), table(head, rows),
         "<h3>Physics penalties, mean over planets</h3>" + table(["", *named], penalties)],
    )  # fmt: skip


# --- inside the model ----------------------------------------------------------------------------------------------


def embeddings(study: Study, methods: Sequence[str], seed: int) -> Section:
    """The network's states of all planets in two dimensions."""
    intro = (
        "How the network sees the planets: the mean of its temporal tokens for each planet, in two dimensions. Groups "
        "that share a colour are told apart by the network; a bad score that gathers in one place names a kind of planet "
        "that training lacks. PCA is a rotation, its axes and distances mean something; in t-SNE and UMAP only "
        "neighbours do. Click a planet."
    )
    section = Section("embeddings", "Latents", intro)
    known = [entry for entry in study.entries if entry.latent is not None]
    if not known:
        section.parts.append(
            "<p>Predictions from a file come without the network's states: give --model to see them.</p>"
        )
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
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(latent) - 1) / 3)
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
        return ("t-SNE 1", "t-SNE 2"), np.asarray(found, np.float64)
    if method == "umap":
        import umap

        neighbours = min(15, len(latent) - 1)
        found = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(scaled)
        return ("UMAP 1", "UMAP 2"), np.asarray(found, np.float64)
    raise ValueError(f"--embed: expected pca, tsne or umap, found {method!r}")


def attributions(study: Study, found: Sequence[tuple[Entry, Attribution]]) -> Section:
    """Integrated gradients with the penalties of the predicted spectrum."""
    intro = (
        "What in the light curve moved the network's answer, by integrated gradients from a light curve without any light "
        "missing; the classical fit that it starts from is held as it is. Positive parts raise the depth (or σ), "
        "negative ones lower it; together they sum to the whole change. Good models look at the transit and just beside "
        "it. Below, by wavelength, with the physics penalties of the predicted spectrum; crosses mark channels beyond "
        "their limit (roughness 1.5, dotted at 1; others 0)."
    )
    section = Section("attributions", "Attributions", intro)
    units = {"depth": "ppm", "sigma": "%"}
    for entry, one in found:
        row = int(np.flatnonzero(study.planets == one.planet)[0])
        terms = statistics.penalty_terms(entry.mu[row : row + 1], entry.sigma[row : row + 1])
        name = f" · {entry.name}" if len(study.entries) > 1 else ""
        sums = "; ".join(
            f"mean {key} changes by {one.total[key]:.3g} {units[key]}, of which the sum misses {one.missed[key]:.2g}"
            for key in one.total
        )
        by_time = {key: list(values) for key, values in one.by_time.items()}
        pair = figures.attributions(
            f"Planet {one.planet}{name}", f"{sums}.", study.wavelength, list(one.time), by_time, list(one.white),
            one.by_channel, {key: values[0] for key, values in terms.items()}, LIMITS, units,
        )  # fmt: skip
        section.parts += [f'<h3><a href="#planet-{one.planet}">Planet {one.planet}</a>{html.escape(name)}</h3>', *pair]
    return section


# --- calibration ---------------------------------------------------------------------------------------------------


def calibration(study: Study) -> Section:
    """Statistics of the calibration steps from the dataset's own column."""
    intro = (
        "What the reduction did to the raw frames of each planet: medians over the detector before and after each step, "
        "cosmic hits and bad pixels. A planet far from the others here may be a bad reduction rather than a bad model."
    )
    section = Section("calibration", "Calibration steps", intro)
    values = step_values(study)
    if not values:
        section.parts.append(
            "<p>The light curves have no log of calibration steps: they were simulated without raw frames.</p>"
        )
        return section
    rows = []
    for (instrument, step, name), found in values.items():
        cells = []
        for state in ("before", "after"):
            known = found[state][np.isfinite(found[state])]
            cells.append(f"{np.median(known):.5g}" if len(known) else "–")
        known = found["after"][np.isfinite(found["after"])]
        spread = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "–"
        rows.append([f"{instrument} {step}", name.replace("_", " "), *cells, spread])
    quantities: dict[str, dict[str, Array]] = {}
    for (instrument, step, name), found in values.items():
        last = found["after"] if np.isfinite(found["after"]).any() else found["before"]
        if step in ("hits", "fill", "extraction") and np.isfinite(last).any():
            quantities.setdefault(f"{step}: {name.replace('_', ' ')}", {})[instrument] = last
    caption = "Mean over a planet's visits. Click a planet."
    section.parts.append(figures.strip("Planet by planet", caption, quantities, study.planets))
    head = ["step", "quantity", "before (median)", "after (median)", "after, from … to …"]
    section.parts.append(f"<details><summary>All steps</summary>{table(head, rows)}</details>")
    return section


def step_values(study: Study) -> dict[tuple[str, str, str], dict[str, Array]]:
    """Numbers "before" and "after" (P,) by (instrument, step, quantity), a mean over visits, NaN where not logged."""
    found: dict[tuple[str, str, str], dict[str, list[list[float]]]] = {}
    size = len(study.planets)
    for place, planet in enumerate(study.planets):
        for log in study.calibration[int(planet)]:
            instruments = log.get("instruments", {}) if isinstance(log, dict) else {}
            for instrument, steps in instruments.items():
                for step in steps:
                    for state in ("before", "after"):
                        for name, value in (step.get(state) or {}).items():
                            if isinstance(value, (int, float)) and not isinstance(value, bool):
                                states = found.setdefault(
                                    (str(instrument), str(step["step"]), str(name)),
                                    {"before": [[] for _ in range(size)], "after": [[] for _ in range(size)]},
                                )
                                states[state][place].append(float(value))
    return {
        key: {
            state: np.array([np.mean(values) if values else np.nan for values in lists])
            for state, lists in states.items()
        }
        for key, states in found.items()
    }


Maker = Callable[[], Section]
