"""The report's section on physics rules: how often they are broken, by which planets, and where they pull."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ariel_scripts.opening.penalties import model_penalties, read_penalties
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.report.data import STAR, Array, Study
from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.plots import Figure, Trace, along, line_style, spectral_layout
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.objective import Violations, violations
from modeling_ariel.penalty_rules import Rules
from modeling_ariel.planet_kinds import planet_facts

WORST = 10  # planets listed
OF_SIGMA = ("sigma_bounds", "quantile_order")  # rules that true spectra, which have no sigma, cannot be asked
_NOTHING = 1e-6  # what a rule measures is in 100 ppm; less is rounding


def asked(options: ReportOptions) -> dict[str, Any] | None:
    """The rules of the options' file, or of the first model that has some; None for none."""
    if options.penalties is not None:
        return read_penalties(options.penalties)
    found = (model_penalties(source, options.revision) for source in options.models)
    return next((rules for rules in found if rules is not None), None)


def section(study: Study, penalties: dict[str, Any]) -> Section:
    """What the rules find in each entry, and in the true spectra."""
    facts = planet_facts(torch.from_numpy(_star(study)), torch.from_numpy(study.entries[0].mu))
    judged = {
        entry.name: _violations(entry.mu, entry.sigma, study.wavelength, penalties, facts) for entry in study.entries
    }
    known = study.labelled
    truth = None
    if len(known):
        of_known = {name: values[known] for name, values in facts.items()}
        truth = _violations(study.truth[known], study.entries[0].sigma[known], study.wavelength, penalties, of_known)
    kinds = {name: int(profile.holds(facts).sum()) for name, profile in Rules.of(penalties).profiles.items()}
    worst = {name: _worst(study, found) for name, found in judged.items()}
    data = {
        "planets": len(study.planets),
        "kinds": kinds,
        "rules": _table(judged, truth),
        "worst": {name: table for name, table in worst.items() if table.rows},
        "figures": [_map(study.wavelength, judged)],
    }
    return Section("rules", data)


def _star(study: Study) -> Array:
    """Star tables (P, 8)."""
    star = np.full((len(study.planets), len(STAR_COLUMNS)), np.nan)
    for name in STAR:
        star[:, STAR_COLUMNS.index(name)] = study.star_column(name)
    return star


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
