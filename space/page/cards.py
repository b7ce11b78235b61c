"""Cards of planets: a small spectrum with its band, what kind of planet it is, what is special about its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from engine.inference import Ranked
from engine.records import PlanetInfo
from page.verdicts import name

WIDTH, HEIGHT = 120, 34  # of the small spectrum [px]
LEAST_PPM = 300.0  # range of its ordinate, so that a flat spectrum looks flat
CHOOSE = """
element.addEventListener('click', event => {
  const card = event.target.closest('button[data-planet]');
  if (card) trigger('click', {planet: card.dataset.planet});
});
const show = () => element.querySelector('[aria-pressed=true]')?.scrollIntoView({block: 'nearest', inline: 'nearest'});
watch('value', show);
"""


def cards(planets: Sequence[PlanetInfo], ranked: Mapping[int, Ranked], chosen: int | None) -> str:
    """A row of buttons, one for each planet that was ranked, those of the surest molecules first, the chosen marked."""
    known = sorted((one for one in planets if one.planet_id in ranked), key=lambda one: -_surest(ranked[one.planet_id]))
    buttons = (_card(one, ranked[one.planet_id], one.planet_id == chosen) for one in known)
    return f'<div role="group" aria-label="Planets">{"".join(buttons)}</div>'


def _surest(rank: Ranked) -> float:
    return max(rank.verdict.molecules.values(), default=0.0) if rank.verdict else 0.0


def _card(planet: PlanetInfo, rank: Ranked, chosen: bool) -> str:
    title = name(rank.verdict) or f"planet {planet.planet_id}"
    return (
        f'<button type="button" data-planet="{planet.planet_id}" aria-pressed="{str(chosen).lower()}">'
        f"{_outline(rank.outline)}<b>{escape(title)}</b><small>{escape(planet.note)}</small></button>"
    )


def _outline(outline: Sequence[tuple[float, float]]) -> str:
    """The spectrum as a line in its 1σ band."""
    if not outline:
        return ""
    mean, sigma = np.asarray(outline).T
    spread = max(float((mean + sigma).max() - (mean - sigma).min()), LEAST_PPM)
    middle = 0.5 * float((mean + sigma).max() + (mean - sigma).min())
    x = np.linspace(0, WIDTH, len(mean))

    def points(x: np.ndarray, values: np.ndarray) -> str:
        y = HEIGHT * (0.5 - (values - middle) / spread)
        return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))

    band = points(np.concatenate([x, x[::-1]]), np.concatenate([mean + sigma, (mean - sigma)[::-1]]))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{band}"/><polyline points="{points(x, mean)}"/></svg>'
    )
