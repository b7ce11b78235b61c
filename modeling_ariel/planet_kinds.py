"""What tells kinds of planets apart: numbers from the star table and the classical fit, never from the truth.

The equilibrium temperature is that of a black planet that is warm all round (Seager 2010, Exoplanet Atmospheres,
section 3); scale heights are of hydrogen and helium, in which a clear atmosphere shows features of one or two and a
cloudy one less (Stevenson 2016, ApJL 817, L16).
"""

import math

import torch
from torch import Tensor

from .columns import STAR_COLUMNS

FACTS = ("temperature", "features_ppm", "scale_heights")
_BOLTZMANN, _GRAVITY, _DALTON = 1.380649e-23, 6.674e-11, 1.66053907e-27  # SI
_SOLAR_RADIUS, _JUPITER_MASS = 6.957e8, 1.898e27  # m, kg
_MEAN_MASS = 2.3  # dalton, of hydrogen with helium


def planet_facts(star: Tensor, mean: Tensor | None) -> dict[str, Tensor]:
    """FACTS of P planets, each (P,) and NaN where it is not known.

    ``temperature`` [K] in equilibrium; ``features_ppm``, 1 sigma over AIRS channels of the depth; ``scale_heights``,
    the same in changes of depth that one scale height makes.

    Args:
        star: (P, 8) star table, NaN unknown.
        mean: (P, C) depth by the classical fit, FGS1 first; None where there is no fit.
    """
    radius, _, star_temperature, mass, _, _, distance, _ = star.double().unbind(-1)
    temperature = star_temperature / (2.0 * distance).sqrt()
    if mean is None:
        unknown = torch.full_like(temperature, math.nan)
        return {"temperature": temperature, "features_ppm": unknown, "scale_heights": unknown}
    features, depth = mean[:, 1:].double().std(-1), mean.double().mean(-1).clamp_min(0.0)
    weight = _MEAN_MASS * _DALTON * _GRAVITY * _JUPITER_MASS * mass
    one = 2.0 * _BOLTZMANN * temperature * _SOLAR_RADIUS * radius * depth**1.5 / weight
    return {"temperature": temperature, "features_ppm": 1e6 * features, "scale_heights": features / one}


def unknown_star(rows: int, like: Tensor) -> Tensor:
    """A star table (rows, 8) of which nothing is known."""
    return like.new_full((rows, len(STAR_COLUMNS)), math.nan)
