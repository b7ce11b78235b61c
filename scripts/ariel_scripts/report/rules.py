"""The report's section on physics rules: how often they are broken, by which planets, and where they pull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ariel_scripts.opening.penalties import model_penalties, read_penalties
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.report import statistics
from ariel_scripts.report.data import Array, Study, stars
from ariel_scripts.report.maps import Shade, broken_spectrum, planet_map
from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.plots import Figure, Trace, along, line_style, spectral_layout
from ariel_scripts.report.text import PENALTY_NAMES
from modeling_ariel.objective import Violations, violations
from modeling_ariel.penalty_rules import Rules
from modeling_ariel.planet_kinds import planet_facts

WORST = 10  # planets listed
DRAWN = 6  # planets whose spectra are drawn with what they break
_STRONG = 0.25  # of a rule's greatest pull
OF_SIGMA = ("sigma_bounds", "quantile_order")  # rules that true spectra, which have no sigma, cannot be asked
_NOTHING = 1e-6  # what a rule measures is in 100 ppm; less is rounding


def asked(options: ReportOptions) -> dict[str, Any] | None:
    """The rules of the options' file, or of the first model that has some; None for none."""
    if options.penalties is not None:
        return read_penalties(options.penalties)
    found = (model_penalties(source, options.revision) for source in options.models)
    return next((rules for rules in found if rules is not None), None)


@dataclass
class Broken:
    """Of an entry: which of the rules ``names`` its planets break (P, R), and in which channels ``where`` (R, P, C).

    ``asked``: whether they are a model's rules or a file's, and not those that all spectra are held to.
    """

    names: list[str]
    broken: NDArray[np.bool_]
    where: NDArray[np.bool_]
    asked: bool

    @property
    def count(self) -> Array:
        """How many rules each planet (P,) breaks."""
        return self.broken.sum(1).astype(np.float64)


def judged_by(study: Study, penalties: dict[str, Any]) -> dict[str, Violations]:
    """What the rules find in each entry."""
    facts = _facts(study)
    return {entry.name: _violations(entry.mu, entry.sigma, study.wavelength, penalties, facts)
            for entry in study.entries}  # fmt: skip


def broken_by(study: Study, judged: dict[str, Violations] | None) -> dict[str, Broken]:
    """The same as `Broken`, by entry; without rules those that every spectrum is held to, PENALTIES."""
    if judged is not None:
        return {name: _of_rules(found) for name, found in judged.items()}
    found = {}
    for entry in study.entries:
        terms = statistics.penalty_terms(entry.mu, entry.sigma)
        limits = statistics.PENALTIES
        broken = np.stack([np.nanmean(terms[name], 1) > limit for name, limit in limits.items()], 1)
        where = np.stack([np.nan_to_num(terms[name]) > limit for name, limit in limits.items()])
        found[entry.name] = Broken([PENALTY_NAMES[name] for name in limits], broken, where & broken.T[..., None], False)
    return found


def _of_rules(found: Violations) -> Broken:
    """Channels are those that a broken rule pulls at with a quarter or more of its greatest pull."""
    broken, size = found.broken.numpy(), found.gradient.abs().numpy()
    strong = (size > 0.0) & (size >= _STRONG * size.max(-1, keepdims=True))
    return Broken([name.replace("_", " ") for name in found.names], broken, strong & broken.T[..., None], True)


def section(study: Study, penalties: dict[str, Any], judged: dict[str, Violations]) -> Section:
    """What the rules find in each entry, and in the true spectra."""
    facts, known, truth = _facts(study), study.labelled, None
    if len(known):
        of_known = {name: values[known] for name, values in facts.items()}
        truth = _violations(study.truth[known], study.entries[0].sigma[known], study.wavelength, penalties, of_known)
    kinds = {name: int(profile.holds(facts).sum()) for name, profile in Rules.of(penalties).profiles.items()}
    worst = {name: _worst(study, found) for name, found in judged.items()}
    broken = [drawn_over(study, broken_by(study, judged)), pulls(study, judged)]
    data = {
        "planets": len(study.planets),
        "kinds": kinds,
        "rules": _table(judged, truth),
        "worst": {name: table for name, table in worst.items() if table.rows},
        "figures": [*(figure for figure in broken if figure is not None), _map(study.wavelength, judged)],
    }
    return Section("rules", data)


def drawn_over(study: Study, broken: dict[str, Broken]) -> Figure | None:
    """Spectra of the planets that break most, a variant for each, crosses where; None where nothing is broken."""
    variants = {}
    for entry in study.entries:
        found = broken[entry.name]
        order = np.lexsort((-found.where.sum((0, 2)), -found.count))
        for row in [row for row in order[:DRAWN] if found.count[row]]:
            one = f"{study.planets[row]}" + (f" · {entry.name}" if len(study.entries) > 1 else "")
            places = np.flatnonzero(found.broken[row])
            marks = {found.names[place]: found.where[place, row] for place in places}
            truth = study.truth[row] if np.isfinite(study.truth[row]).all() else None
            variants[one] = broken_spectrum(study.wavelength, entry.mu[row], entry.sigma[row], truth, marks)
    if not variants:
        return None
    caption = (
        "Crosses mark the channels in which a rule is broken; crosses where the spectrum follows the truth mean a rule "
        "that asks too much, elsewhere a model that draws what no atmosphere does."
    )
    return Figure("Broken rules over spectra", caption, variants, 400, "planet")


def pulls(study: Study, judged: dict[str, Violations]) -> Figure | None:
    """Where broken rules pull, by planet and wavelength; None where no planet breaks one."""
    size = {name: (found.gradient.abs() * found.broken.T[..., None]).sum(0).numpy() for name, found in judged.items()}
    rows = np.flatnonzero(sum(one.sum(1) for one in size.values()))
    if not len(rows):
        return None
    rows = rows[np.argsort(-sum(one[rows].sum(1) for one in size.values()), kind="stable")]
    top = max(float(np.percentile(one[rows], 99)) for one in size.values()) or 1.0
    values = {name: np.minimum(one[rows] / top, 1.0) for name, one in size.items()}
    caption = (
        "Rows are the planets that break rules, most broken first; dark is where a rule pulls hardest, of the largest: "
        "a dark column is a wavelength that the model gets wrong in many planets."
    )
    return planet_map(
        "Gradients of broken rules", caption, study.wavelength, study.planets[rows], values, Shade("pull", 1.0, 0.005)
    )


def _facts(study: Study) -> dict[str, torch.Tensor]:
    """What tells kinds of planets apart, by the first entry."""
    return planet_facts(torch.from_numpy(stars(study)), torch.from_numpy(study.entries[0].mu))


def _violations(
    mean: Array, sigma: Array, wavelength: Array, penalties: dict[str, Any], facts: dict[str, torch.Tensor]
) -> Violations:
    return violations(torch.from_numpy(mean), torch.from_numpy(sigma), wavelength.tolist(), penalties, facts)


def _table(judged: dict[str, Violations], truth: Violations | None) -> Table:
    """A row for each rule: its limit, and mean and planets beyond of each entry and of the truth."""
    columns = judged | ({} if truth is None else {"truth": truth})
    head = ["", "limit", *(cell for name in columns for cell in (f"{name}: mean", "planets beyond"))]
    first = next(iter(judged.values()))
    rows = []
    for place, rule in enumerate(first.names):
        low, high = (f"{float(one):.3g}" for one in first.limit[:, place].aminmax())
        cells = [rule.replace("_", " "), low if low == high else f"{low} to {high}"]
        for found in columns.values():
            value = found.value[:, place]
            known = bool(value.isfinite().all()) and not (found is truth and rule in OF_SIGMA)
            mean = float(value.mean())
            shown = "0" if abs(mean) < _NOTHING else f"{mean:.3g}"
            cells += [shown, str(int(found.broken[:, place].sum()))] if known else ["–", "–"]
        rows.append(cells)
    return Table(head, rows)


def _worst(study: Study, found: Violations) -> Table:
    """The planets that go farthest beyond limits, with the rule that each breaks most."""
    excess = found.excess.numpy()
    total = excess.sum(1)
    rows = []
    for planet in np.argsort(-total, kind="stable")[:WORST]:
        if total[planet] > 0.0:
            most = int(excess[planet].argmax())
            names = [name.replace("_", " ") for name, one in zip(found.names, excess[planet], strict=True) if one > 0.0]
            value = f"{float(found.value[planet, most]):.3g}"
            rows.append([str(study.planets[planet]), found.names[most].replace("_", " "), value, ", ".join(names)])
    return Table(["planet", "rule broken most", "measured", "rules broken"], rows)


def _map(wavelength: Array, judged: dict[str, Violations]) -> Figure:
    """Mean size of the rules' gradients (C,), a variant for each entry."""
    variants = {}
    for entry, found in judged.items():
        size = found.gradient.abs().mean(1).numpy()
        pulling = [place for place in range(len(found.names)) if size[place].any()]
        data: list[Trace] = []
        for shown, place in enumerate(pulling):
            line = line_style(shown, width=1.5)
            strength = np.where(size[place] > 0.0, size[place], np.nan)
            data += along(wavelength, strength, 0, shown, found.names[place].replace("_", " "), line=line)
        layout = spectral_layout(wavelength, ("|∂L/∂μ| per 100 ppm",))
        layout["yaxis"] |= {"type": "log", "exponentformat": "power"}
        variants[entry] = {"data": data, "layout": layout}
    caption = "Mean over planets, by the weights of the rules. Rules that pull nowhere are left out."
    return Figure("Where rules pull", caption, variants, 420, "of")
