"""The page of a fit: a verdict, its sections, and what is recorded of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ariel_scripts.report.page import NO_PLANETS, page, without_folders
from ariel_scripts.report.telescope.sections import make_sections
from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.summary import verdict
from modeling_ariel.any_telescope.fitting import FitChoices
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.together import TelescopeFit


def fit_page(
    found: TelescopeFit,
    orbit: Orbit,
    choices: FitChoices,
    run: Mapping[str, Any],
    curves: list[VisitCurves] | None = None,
) -> str:
    """The HTML of a fit; ``run`` is what made it, shown at the end."""
    curves = curves or [VisitCurves.of(visit) for visit in found.visits]
    names = list(dict.fromkeys(visit.observation.name for visit in found.visits))
    title = f"Transit fit of {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    sections = make_sections(found, orbit, choices, curves)
    return page(title, verdict(found), sections, NO_PLANETS, without_folders(run))
