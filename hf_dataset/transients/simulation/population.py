"""Populations of transients: what there is, how far away, and what the survey sees of it.

Numbers are published ones of observed populations, none fitted to the challenge's tables. An object counts as found
with five measurements beyond 5σ, so populations are limited by flux, as a survey's are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from hf_dataset.transients.bands import dust_factors
from hf_dataset.transients.simulation import physics
from hf_dataset.transients.simulation.physics import Array
from hf_dataset.transients.simulation.survey import Survey, Visits, draw_visits, flux_errors

# of 3,043 labelled objects of the challenge (arXiv:2512.04946) 1,786 are AGN, 1,109 supernovae and 148 TDEs; among the
# supernovae of a survey limited by flux type Ia leads (Li et al. 2011, MNRAS 412, 1441, table 7: 79 %, 17 %, 4 %)
SHARES = {"AGN": 0.587, "SN Ia": 0.283, "SN II": 0.062, "SN Ib": 0.005, "SN Ic": 0.009, "SLSN-I": 0.005, "TDE": 0.049}
FARTHEST = {"AGN": 4.0, "SN Ia": 1.2, "SN II": 0.6, "SN Ib": 0.6, "SN Ic": 0.6, "SLSN-I": 2.5, "TDE": 1.0}
NEAREST = 0.01
FOUND_SIGMA, FOUND_COUNT = 5.0, 5
MOST_DRAWS = 2_000  # of one object until it is found; the rarest type needs some tens

Draw = Callable[[np.random.Generator, Visits, float], tuple[Array, Array, dict[str, float]]]


@dataclass(frozen=True, eq=False)
class Transient:
    """A found object: true redshift, E(B−V) [mag], what was drawn for it, visits and fluxes (measurement,) [µJy]."""

    spec_type: str
    redshift: float
    ebv: float
    parameters: dict[str, float]
    visits: Visits
    flux: Array
    flux_err: Array


def draw_transient(rng: np.random.Generator, spec_type: str, survey: Survey) -> Transient:
    """Objects of a type are drawn until one is found; RuntimeError where none is."""
    for _ in range(MOST_DRAWS):
        z, ebv, visits = draw_redshift(rng, spec_type), draw_ebv(rng), draw_visits(rng, survey)
        if visits.time.size < FOUND_COUNT:
            continue
        difference, light, parameters = DRAWS[spec_type](rng, visits, z)
        dust = dust_factors(visits.band, ebv)
        error = flux_errors(light * dust, visits.depth)
        flux = difference * dust + error * rng.standard_normal(error.size)
        if np.sum(np.abs(flux) > FOUND_SIGMA * error) >= FOUND_COUNT:
            return Transient(spec_type, z, ebv, parameters, visits, flux, error)
    raise RuntimeError(f"{spec_type}: expected one to be found among {MOST_DRAWS:,}, found none: {survey}")


def draw_redshift(rng: np.random.Generator, spec_type: str) -> float:
    """A redshift of a constant rate in comoving volume: dV/dz / (1 + z)."""
    z, total = _volumes(spec_type)
    return float(np.interp(rng.uniform(total[0], total[-1]), total, z))


@cache
def _volumes(spec_type: str) -> tuple[Array, Array]:
    """(redshifts, events of a type up to them) of an arbitrary rate."""
    z = np.linspace(NEAREST, FARTHEST[spec_type], 400)
    distance = physics.comoving_distance(z)
    return z, np.cumsum(distance**2 * np.gradient(distance, z) / (1 + z))


def draw_ebv(rng: np.random.Generator) -> float:
    """E(B−V) [mag] at high galactic latitude: 0.04 in the median, some fields much more (Schlegel et al. 1998)."""
    return float(np.clip(0.04 * np.exp(0.8 * rng.standard_normal()), 0.005, 0.8))


def _within(rng: np.random.Generator, mean: float, sigma: float, least: float, most: float) -> float:
    return float(np.clip(rng.normal(mean, sigma), least, most))


def _epoch(rng: np.random.Generator, visits: Visits) -> float:
    return float(rng.uniform(visits.time[0], visits.time[-1]))


def draw_disruption(rng: np.random.Generator, visits: Visits, z: float) -> tuple[Array, Array, dict[str, float]]:
    """A tidal disruption event of constant temperature.

    Temperatures and durations as van Velzen et al. (2021, ApJ 908, 4) found, luminosities from 10^43.3 to 10^45.2 erg/s
    by dN/dL ∝ L^−2.5 (van Velzen 2018, ApJ 852, 72).
    """
    least, most = 10.0 ** (-1.5 * 43.3), 10.0 ** (-1.5 * 45.2)
    drawn = {
        "peak_mjd": _epoch(rng, visits),
        "log_luminosity": float(np.log10(rng.uniform(most, least)) / -1.5),
        "log_temperature": _within(rng, 4.3, 0.13, 4.05, 4.65),
        "rise_d": float(10 ** rng.uniform(0.7, 1.4)),
        "fallback_d": float(10 ** rng.uniform(1.2, 2.0)),
    }
    time = (visits.time - drawn["peak_mjd"]) / (1 + z)
    luminosity = physics.disruption(time, 10 ** drawn["log_luminosity"], drawn["rise_d"], drawn["fallback_d"])
    temperature = np.full(time.size, 10 ** drawn["log_temperature"])
    flux = physics.blackbody_flux(luminosity, temperature, visits.wavelength, z)
    return flux, flux, drawn


@dataclass(frozen=True)
class Ejecta:
    """(mean, spread) of a type's mass [M☉], velocity [km/s] and 56Ni [M☉]; opacity [cm²/g], floor [K], cutoff [Å]."""

    mass: tuple[float, float]
    velocity: tuple[float, float]
    nickel: tuple[float, float]
    opacity: float
    floor: float
    cutoff: float


# Ia: Scalzo et al. (2014, MNRAS 440, 1498); Ib, Ic: Lyman et al. (2016, MNRAS 457, 328), table 5 and section 5;
# SLSN-I: Nicholl et al. (2017, ApJ 850, 55), table 3, whose power is a magnetar's
EJECTA = {
    "SN Ia": Ejecta((1.3, 0.15), (11_000, 1_000), (0.6, 0.12), 0.14, 5_500, 3_800),
    "SN Ib": Ejecta((2.6, 1.1), (9_900, 1_400), (0.14, 0.04), 0.07, 4_500, 3_500),
    "SN Ic": Ejecta((3.0, 1.5), (10_400, 1_200), (0.16, 0.05), 0.07, 4_500, 3_500),
    "SLSN-I": Ejecta((4.8, 2.5), (14_700, 4_000), (0.0, 0.0), 0.16, 6_500, 3_000),
}


def _explosion(spec_type: str) -> Draw:
    """Draws supernovae whose light diffuses out of ejecta heated by 56Ni or a magnetar."""
    ejecta = EJECTA[spec_type]

    def draw(rng: np.random.Generator, visits: Visits, z: float) -> tuple[Array, Array, dict[str, float]]:
        mass, velocity = (_within(rng, *pair, pair[0] / 2.5, 2.5 * pair[0]) for pair in (ejecta.mass, ejecta.velocity))
        drawn = {"explosion_mjd": _epoch(rng, visits), "mass": mass, "velocity": velocity}
        if spec_type == "SLSN-I":
            period, field = _within(rng, 2.4, 1.0, 1.2, 6.0), _within(rng, 0.8, 0.4, 0.2, 2.0)
            heat = partial(physics.magnetar_power, period=period, field=field)
            drawn |= {"period": period, "field": field}
        else:
            nickel = _within(rng, *ejecta.nickel, 0.03, 1.0)
            heat = partial(physics.nickel_power, nickel=nickel)
            drawn |= {"nickel": nickel}
        time = (visits.time - drawn["explosion_mjd"]) / (1 + z)
        light = physics.diffused(time, heat, physics.diffusion_time(mass, velocity, ejecta.opacity))
        temperature = physics.photosphere(time, light, velocity, ejecta.floor)
        flux = physics.blackbody_flux(light, temperature, visits.wavelength, z, ejecta.cutoff)
        return flux, flux, drawn

    return draw


def draw_hydrogen_rich(rng: np.random.Generator, visits: Visits, z: float) -> tuple[Array, Array, dict[str, float]]:
    """A supernova of type II: M_V −16.7 ± 1.0, plateaus of 84 ± 17 days (Anderson et al. 2014, ApJ 786, 67).

    It cools to 6,000 K, where hydrogen recombines, as t^−0.5.
    """
    drawn = {
        "explosion_mjd": _epoch(rng, visits),
        "log_luminosity": _within(rng, 42.2, 0.4, 41.2, 43.2),
        "plateau_d": _within(rng, 84, 17, 40, 130),
    }
    time = (visits.time - drawn["explosion_mjd"]) / (1 + z)
    luminosity = physics.plateau(time, 10 ** drawn["log_luminosity"], drawn["plateau_d"])
    temperature = np.maximum(12_000 * np.maximum(time / 10, 0.05) ** -0.5, 6_000)
    flux = physics.blackbody_flux(luminosity, temperature, visits.wavelength, z, 3_500)
    return flux, flux, drawn


def draw_quasar(rng: np.random.Generator, visits: Visits, z: float) -> tuple[Array, Array, dict[str, float]]:
    """An AGN: a damped random walk of magnitude, the same in all bands but for its amplitude, less the reference image.

    Luminosities around M_i −22.5; masses as MacLeod et al. (2010) take them, 2.0 − 0.27 M_i ± 0.6. The reference was
    taken a year before the first visit.
    """
    m_i = _within(rng, -22.5, 1.2, -28.0, -20.0)
    log_mass = rng.normal(2.0 - 0.27 * m_i, 0.6)
    amplitude, timescales = physics.quasar_variability(visits.wavelength / (1 + z), m_i, log_mass)
    timescale = float(np.median(timescales)) * (1 + z)
    times = np.r_[visits.time[0] - 365.0, visits.time]
    reference, *walk = physics.damped_random_walk(rng, times, timescale)
    # SF∞ is √2 times the spread
    light, before = (
        physics.quasar_flux(visits.wavelength, m_i, z) * 10 ** (-0.4 * amplitude / np.sqrt(2) * values)
        for values in (np.array(walk), reference)
    )
    return light - before, light, {"m_i": m_i, "log_mass": float(log_mass), "timescale_d": timescale}


DRAWS: dict[str, Draw] = {
    "AGN": draw_quasar,
    "TDE": draw_disruption,
    "SN II": draw_hydrogen_rich,
    **{spec_type: _explosion(spec_type) for spec_type in EJECTA},
}


def draw_types(rng: np.random.Generator, count: int) -> list[str]:
    """`count` types in random order, each as often as its share, and at least one TDE."""
    exact = {name: share / sum(SHARES.values()) * count for name, share in SHARES.items()}
    sizes = {name: int(number) for name, number in exact.items()}
    sizes["TDE"] = max(sizes["TDE"], min(count, 1))
    for name in sorted(exact, key=lambda name: int(exact[name]) - exact[name]) * 2:
        sizes[name] += sum(sizes.values()) < count
    types = [name for name, size in sizes.items() for _ in range(size)][:count]
    return [types[place] for place in rng.permutation(len(types))]


def parameters_of(transient: Transient) -> dict[str, Any]:
    """What was drawn for an object, rounded as for a table."""
    return {name: float(f"{value:.8g}") for name, value in transient.parameters.items()}
