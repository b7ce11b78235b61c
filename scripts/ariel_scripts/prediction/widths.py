"""How wide intervals are that hold equally many truths: those of a learned calibration against each channel's own.

Width alone rewards intervals that fail where errors are large; the interval score adds what truths outside lie away
(Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.prediction.reliability import Judged
from modeling_ariel.uncertainty import LEVELS, bounds

Array = NDArray[np.float64]
N_DRAWS = 100
_SHOWN = "0.9"


def compared_widths(judged: Judged, plain: Array) -> dict[str, Any]:
    """Both intervals' mean width [ppm] at equal coverage; ratios of it and of the interval score, learned over plain.

    For each level and band, both sets of half-widths are multiplied by what makes them hold exactly that share of the
    truths, which neither was fitted on. Ratios are [value, low, high] over planets. ``narrower`` says whether that of
    widths is below 1 beyond its error at 90 %.

    Args:
        judged: planets with the learned half-widths (L, P, C).
        plain: half-widths (L, P, C) of each channel by itself, in sigmas, of planets that others calibrate.
    """
    truth, mean, sigma = judged.after
    error, found = np.abs(mean - truth), dict[str, Any]()
    draws = np.random.default_rng(0).integers(0, len(truth), (N_DRAWS, len(truth)))
    for row, level in enumerate(LEVELS):
        of_level, halves = {}, [half[row] * sigma for half in (plain, judged.half_widths)]
        for name, inside in judged.bands().items():
            pairs = [(error[:, inside], half[:, inside]) for half in halves]
            conformal, graph = (_width_and_score(*pair, level) for pair in pairs)
            drawn = [[_width_and_score(e[own], half[own], level) for e, half in pairs] for own in draws]
            ratio, others = graph / conformal, np.array([b / a for a, b in drawn])
            of_level[name] = {
                "conformal_ppm": round(1e6 * float(conformal[0]), 2),
                "graph_ppm": round(1e6 * float(graph[0]), 2),
                "ratio": _interval(ratio[0], others[:, 0]),
                "score_ratio": _interval(ratio[1], others[:, 1]),
            }
        found[f"{level:g}"] = of_level
    return {**found, "narrower": bool(found[_SHOWN]["overall"]["ratio"][2] < 1.0)}


def _width_and_score(error: Array, half: Array, level: float) -> Array:
    """Mean width and interval score of half-widths (P, C), once they hold ``level`` of the errors (P, C)."""
    half = half * np.quantile(error / half, level)
    width = 2.0 * half.mean()
    return np.array([width, width + 2.0 / (1.0 - level) * np.maximum(error - half, 0.0).mean()])


def _interval(value: float, draws: Array) -> list[float]:
    return [round(float(x), 4) for x in (value, *bounds(draws))]


def widths_as_text(found: Mapping[str, Any]) -> str:
    """The widths of 90 % intervals as a plain table, and what they say."""
    lines = [f"{'':<16}{'width where 90 % are held, ppm':^36}{'(90 % over planets)':^20}{'interval score':>16}"]
    lines.append(f"{'':<16}{'conformal':>12}{'graph':>12}{'ratio':>12}{'':<20}{'ratio':>16}")
    for name, one in found[_SHOWN].items():
        ratio, low, high = one["ratio"]
        cells = f"{one['conformal_ppm']:>12.1f}{one['graph_ppm']:>12.1f}{ratio:>12.3f}"
        lines.append(f"{name:<16}{cells}{f'({low:.3f} to {high:.3f})':^20}{one['score_ratio'][0]:>16.3f}")
    verdict = "narrower than" if found["narrower"] else "not shown to be narrower than"
    return "\n".join([*lines, f"intervals learned over the graph are {verdict} those of each channel by itself"])
