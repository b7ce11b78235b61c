"""Light of transients: black bodies at cosmological distance, tidal disruption events, supernovae, quasars.

Pure functions. Luminosities are bolometric [erg/s], times [d] in the source's frame unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

Array = NDArray[np.float64]

H0, OMEGA_M = 70.0, 0.3  # km/s/Mpc; flat ΛCDM
C, H, K_B, SIGMA = 2.99792458e10, 6.62607015e-27, 1.380649e-16, 5.670374419e-5  # CGS
MPC, M_SUN, DAY = 3.0856775814913673e24, 1.988409870698051e33, 86_400.0  # [cm], [g], [s]
MICROJANSKY = 1e-29  # erg/s/cm²/Hz
LATE = 300.0  # d
ARNETT_BETA = 13.8  # of the density profile (Arnett 1982)


def comoving_distance(z: Array) -> Array:
    """Comoving distance [cm] at redshifts."""
    z = np.asarray(z, np.float64)
    grid = np.linspace(0, max(float(z.max()), 1e-3), 401)
    distance = cumulative_trapezoid(1 / np.sqrt(OMEGA_M * (1 + grid) ** 3 + 1 - OMEGA_M), grid, initial=0)
    return np.asarray(np.interp(z, grid, distance) * C / (H0 * 1e5) * MPC)


def luminosity_distance(z: float) -> float:
    """Luminosity distance [cm]."""
    return float((1 + z) * comoving_distance(np.array(z)))


def blackbody_flux(luminosity: Array, temperature: Array, wavelength: Array, z: float, cutoff: float = 0.0) -> Array:
    """(measurement,) flux density [µJy] of a black body of bolometric luminosity [erg/s] and temperature [K].

    wavelength: (measurement,) observed [Å]. cutoff: rest wavelength [Å] below which lines absorb, so that F_λ falls as
    λ (Nicholl, Guillochon & Berger 2017, ApJ 850, 55).
    """
    rest = np.asarray(wavelength, np.float64) / (1 + z)
    frequency = C / (rest * 1e-8)
    planck = 2 * H * frequency**3 / C**2 / np.expm1(H * frequency / (K_B * temperature))
    specific = luminosity * np.pi * planck / (SIGMA * temperature**4)
    if cutoff:
        specific = specific * np.minimum(rest / cutoff, 1)
    return np.asarray((1 + z) * specific / (4 * np.pi * luminosity_distance(z) ** 2) / MICROJANSKY)


def disruption(time: Array, peak: float, rise: float, fallback: float) -> Array:
    """(time,) luminosity of a tidal disruption event at times from its peak.

    A Gaussian rise of width `rise`, then the rate at which debris falls back, (1 + t / `fallback`)^(−5/3) (Rees 1988;
    Phinney 1989), as fitted to observed ones by van Velzen et al. (2021, ApJ 908, 4).
    """
    time = np.asarray(time, np.float64)
    falling = (1 + np.maximum(time, 0) / fallback) ** (-5 / 3)
    return peak * np.where(time < 0, np.exp(-0.5 * (time / rise) ** 2), falling)


def nickel_power(time: Array, nickel: float) -> Array:
    """(time,) decay of 56Ni [M☉] and 56Co since the explosion (Nadyozhin 1994, ApJS 92, 527)."""
    return nickel * (6.45e43 * np.exp(-time / 8.8) + 1.45e43 * np.exp(-time / 111.3))


def magnetar_power(time: Array, period: float, field: float) -> Array:
    """(time,) spin-down of a magnetar of 1.4 M☉ with initial period [ms] and field [1e14 G] (Nicholl et al. 2017)."""
    energy, scale = 2.6e52 / period**2, 1.3e5 * period**2 / field**2  # [erg], [s]
    return np.asarray(energy / scale / (1 + time * DAY / scale) ** 2)


def diffusion_time(mass: float, velocity: float, opacity: float) -> float:
    """Time [d] in which light leaves ejecta of mass [M☉], velocity [km/s] and opacity [cm²/g] (Arnett 1982)."""
    return float(np.sqrt(2 * opacity * mass * M_SUN / (ARNETT_BETA * C * velocity * 1e5)) / DAY)


def diffused(time: Array, power: Callable[[Array], Array], scale: float) -> Array:
    """(time,) luminosity of ejecta heated by `power`, which leaves them by diffusion in `scale` [d]; 0 before time 0.

    Arnett (1982, ApJ 253, 785): L' = (2 t / scale²) (power − L), solved exactly over steps of constant power. After
    300 d the heat is the light.
    """
    grid = np.arange(0, LATE + 0.1, 0.1)
    kept = np.exp((grid[:-1] ** 2 - grid[1:] ** 2) / scale**2)
    heat = power((grid[:-1] + grid[1:]) / 2)
    light = np.zeros(grid.size)
    for step in range(grid.size - 1):
        light[step + 1] = light[step] * kept[step] + heat[step] * (1 - kept[step])
    late = power(np.maximum(time, LATE))
    return np.where(time > LATE, late, np.interp(time, grid, light, left=0.0))


def plateau(time: Array, level: float, length: float) -> Array:
    """(time,) luminosity of a hydrogen-rich supernova: a rise in days, a plateau, a drop to a tenth, the 56Co tail."""
    since = np.maximum(time, 0)
    drop = 0.1 + 0.9 / (1 + np.exp(np.clip((since - length) / 5, -50, 50)))
    tail = np.exp(-np.maximum(since - length, 0) / 111.3)
    return np.where(time > 0, level * (1 - np.exp(-since / 3)) * drop * tail, 0.0)


def photosphere(time: Array, luminosity: Array, velocity: float, floor: float) -> Array:
    """(time,) temperature [K] of a photosphere expanding with velocity [km/s] until it has cooled to `floor`.

    Nicholl et al. (2017), equations 8 and 9.
    """
    radius = np.maximum(time, 0.1) * DAY * velocity * 1e5
    return np.asarray(np.maximum((luminosity / (4 * np.pi * SIGMA * radius**2)) ** 0.25, floor))


# coefficients of MacLeod et al. (2010, ApJ 721, 1014), table 1: constant, by wavelength, M_i and black-hole mass
_AMPLITUDE, _TIMESCALE = (-0.51, -0.479, 0.131, 0.18), (2.4, 0.17, 0.03, 0.21)


def quasar_variability(rest_wavelength: Array, m_i: float, log_mass: float) -> tuple[Array, Array]:
    """(SF∞ [mag], τ [d]) of a quasar's damped random walk at rest wavelengths [Å] (MacLeod et al. 2010).

    m_i: absolute i magnitude, K-corrected to z = 2. log_mass: log10 of the black hole's mass [M☉].
    """
    colour = np.log10(np.asarray(rest_wavelength, np.float64) / 4000)
    amplitude, timescale = (
        10 ** (a + b * colour + c * (m_i + 23) + d * (log_mass - 9)) for a, b, c, d in (_AMPLITUDE, _TIMESCALE)
    )
    return amplitude, timescale


def quasar_flux(wavelength: Array, m_i: float, z: float) -> Array:
    """(measurement,) mean flux density [µJy] of a quasar at observed wavelengths [Å], a continuum f_ν ∝ ν^−0.5.

    m_i: absolute i magnitude, K-corrected to z = 2 (Richards et al. 2006, AJ 131, 2766, equation 1).
    """
    modulus = 5 * np.log10(luminosity_distance(z) / MPC * 1e5)
    i_magnitude = m_i + modulus - 2.5 * 0.5 * np.log10((1 + z) / 3)
    return np.asarray(10 ** (-0.4 * (i_magnitude - 23.9)) * (np.asarray(wavelength, np.float64) / 7546) ** 0.5)


def damped_random_walk(rng: np.random.Generator, time: Array, timescale: float) -> Array:
    """(time,) values of unit variance and zero mean at ascending times, whose correlation falls as exp(−Δt / τ)."""
    kept = np.exp(-np.diff(time) / timescale)
    noise = rng.standard_normal(time.size)
    values = np.empty(time.size)
    values[0] = noise[0]
    for step in range(time.size - 1):
        values[step + 1] = kept[step] * values[step] + np.sqrt(1 - kept[step] ** 2) * noise[step + 1]
    return values
