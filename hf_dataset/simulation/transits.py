"""Transit light curves: orbit geometry, quadratic limb darkening that depends on wavelength, finite exposures.

The limb-darkened overlap itself is exoplanet-core's (MIT; Agol, Luger & Foreman-Mackey 2020, AJ 159, 123). The orbit
follows Winn 2010 (arXiv:1001.2010), equations 2-7 and 14, with the planet passing in front of the star at periastron
where the orbit is eccentric (omega = 90 degrees).
"""

import exoplanet_core
import numpy as np
from exoplanet_core.numpy import ops
from numpy.typing import NDArray

HOURS_PER_DAY = 24.0

Array = NDArray[np.float64]


def sky_separation(
    time_h: Array, t0_h: float, period_d: float, a_over_rs: float, inclination_deg: float, eccentricity: float = 0.0
) -> Array:
    """Distance of planet and star on the sky [R*], shaped as `time_h`; inf while the planet is behind the star."""
    cos_i = np.cos(np.radians(inclination_deg))
    mean_anomaly = 2 * np.pi * (time_h - t0_h) / (period_d * HOURS_PER_DAY)
    if eccentricity == 0.0:
        phase, radius = mean_anomaly, np.full_like(mean_anomaly, a_over_rs)
    else:
        sin_f, cos_f = exoplanet_core.kepler(mean_anomaly, np.full_like(mean_anomaly, eccentricity))
        phase = np.arctan2(sin_f, cos_f)
        radius = a_over_rs * (1 - eccentricity**2) / (1 + eccentricity * cos_f)
    separation = radius * np.sqrt(np.sin(phase) ** 2 + (cos_i * np.cos(phase)) ** 2)
    return np.where(np.cos(phase) > 0, separation, np.inf)


def transit_duration(
    k: float, period_d: float, a_over_rs: float, inclination_deg: float, eccentricity: float = 0.0
) -> float:
    """First to fourth contact [h]; 0 where the planet misses the star. `k` is the radius ratio."""
    inclination = np.radians(inclination_deg)
    b = a_over_rs * np.cos(inclination) * (1 - eccentricity)
    if b >= 1 + k:
        return 0.0
    chord = np.sqrt((1 + k) ** 2 - b**2) / (a_over_rs * np.sin(inclination))
    speed = np.sqrt(1 - eccentricity**2) / (1 + eccentricity)
    return float(period_d * HOURS_PER_DAY / np.pi * np.arcsin(min(1.0, chord)) * speed)


def limb_darkening(wavelength_um: Array, ts_k: float, rng: np.random.Generator | None = None) -> Array:
    """Quadratic coefficients u1, u2: (channel, 2).

    A smooth approximation to the ATLAS grid of Claret & Bloemen 2011 (A&A 529, A75; log g = 4.5, solar metallicity):
    about (0.40, 0.25) in the optical and (0.07, 0.15) at 3.6 um for a 5500 K star, u1 falling with temperature.
    With `rng`, one planet differs from the next by 0.03 in u1 and u2, mostly in common over the channels.
    """
    bluer = 0.7 / wavelength_um
    hotter = (ts_k - 5500.0) / 1000.0
    u1 = (0.02 + 0.38 * bluer**1.1) * np.exp(-0.18 * hotter)
    u2 = 0.27 - 0.033 * wavelength_um + 0.01 * hotter
    if rng is not None:
        tilt = np.log(wavelength_um / 2.7) / np.log(0.7 / 2.7)
        offset, slope = 0.03 * rng.standard_normal((2, 2))
        u1 = u1 * (1 + 4 * offset[0]) + 0.3 * slope[0] * tilt
        u2 = u2 + offset[1] + 0.3 * slope[1] * tilt
    u1, u2 = np.clip(u1, 0.0, 0.9), np.clip(u2, 0.0, 0.5)
    return np.stack([u1, np.minimum(u2, 1 - u1)], axis=-1)


def light_curves(separation: Array, depth: Array, u: Array) -> Array:
    """Relative flux (time, channel), 1 outside transit.

    separation: (time,) [R*]; depth: (channel,) squared radius ratio; u: (channel, 2).
    """
    flux = np.ones((separation.size, depth.size))
    k = np.sqrt(depth)
    inside = np.flatnonzero(separation < 1 + k.max())
    if inside.size:
        shape = (inside.size, depth.size)
        z = np.ascontiguousarray(np.broadcast_to(separation[inside, None], shape))
        overlap = ops.quad_solution_vector(z, np.ascontiguousarray(np.broadcast_to(k, shape)))
        flux[inside] = np.einsum("tcs,cs->tc", overlap, _green_basis(u))
    return flux


def _green_basis(u: Array) -> Array:
    """Limb darkening in the basis of `quad_solution_vector`, normalised to a star of flux 1: (channel, 3).

    As `exoplanet_core.quad_limbdark_light_curve` does it for one channel; Agol et al. 2020, section 2.
    """
    u1, u2 = u.T
    c = np.stack([1 - u1 - 1.5 * u2, u1 + 2 * u2, -0.25 * u2], axis=-1)
    return c / (np.pi * (c[:, 0] + c[:, 1] / 1.5))[:, None]


def exposure_averaged(
    time_h: Array,
    exposure_h: float,
    t0_h: float,
    period_d: float,
    a_over_rs: float,
    inclination_deg: float,
    depth: Array,
    u: Array,
    eccentricity: float = 0.0,
    samples: int = 5,
) -> Array:
    """Light curves averaged over exposures (or bins) `exposure_h` long centred on `time_h`: (time, channel).

    Only the bins that hold a contact are sampled more than once, at Gauss-Legendre nodes: elsewhere the curve is
    so smooth that its middle value is within 1e-7 of the mean over 72 s.
    """
    orbit = (t0_h, period_d, a_over_rs, inclination_deg, eccentricity)
    separation = sky_separation(time_h, *orbit)
    flux = light_curves(separation, depth, u)
    edges = sky_separation(np.stack([time_h - exposure_h / 2, time_h + exposure_h / 2]), *orbit)
    k = np.sqrt(depth.max())
    near = (edges.min(axis=0) < 1 + k) & (np.maximum(edges.max(axis=0), separation) > 1 - k)
    if not near.any():
        return flux
    nodes, weights = np.polynomial.legendre.leggauss(samples)
    fine_time = time_h[near, None] + exposure_h / 2 * nodes
    fine = light_curves(sky_separation(fine_time.ravel(), *orbit), depth, u)
    flux[near] = np.einsum("tsc,s->tc", fine.reshape(-1, samples, depth.size), weights / 2)
    return flux
