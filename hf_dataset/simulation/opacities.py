"""Absorption cross-sections of H2O, CO2, CH4, CO and NH3 at the challenge's channels, from band spectroscopy alone.

A band is its centre, its integrated strength at 296 K and its rotational structure at temperature T: rigid rotors with
their Hönl–London factors (Herzberg, *Infrared and Raman Spectra*, 1945), the upper state with constants of its own, so
that R branches turn back in heads. CO and CO2 are linear, CH4 a spherical top, NH3 a symmetric top, H2O an asymmetric
top, diagonalised to J = 30. Hot bands follow the harmonic Boltzmann factor, displaced by anharmonicity.

Centres and constants are good to a few 1/cm. Strengths are quoted from memory of the literature (HITRAN; Rothman et
al.; Herzberg): to a few tens of per cent for strong bands, a factor of two or three below 1e-19, for NH3 and in the
visible. Left out: mixing of levels (Coriolis, Fermi), inversion and l-doubling, isotopologues, and most weak
bands. No spectrum of the challenge entered.

An AIRS channel's value is the geometric mean over the channel, because transit radius is linear in ln(opacity), of the
spectrum smoothed by a Lorentzian of half width 2 1/cm, cut at 100 1/cm. Pressure broadens lines by far less: this width
stands for the unlisted hot lines that fill the gaps between the listed ones; its wings are the floor between bands.
FGS1's is the arithmetic mean over its band, where molecules add little to a smooth background.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

Array = NDArray[np.float64]
Lines = tuple[Array, Array, Array]  # offset from the band's centre, lower energy [1/cm]; degeneracy times line strength

SPECIES = ("H2O", "CO2", "CH4", "CO", "NH3")
TEMPERATURES = np.array([300.0, 600.0, 1000.0, 1500.0, 2200.0])  # K
FLOOR = 1e-32  # m2 / molecule: far below what an atmosphere shows

C2 = 1.438777  # second radiation constant [K cm]
NU = np.arange(1900.0, 17_500.0)  # [1/cm]: from beyond AIRS's longest wavelength to FGS1's shortest
FGS1_BAND_UM = (0.60, 0.80)
_HALF_WIDTH, _CUT = 2.0, 100  # [1/cm]
_H2O_J_MAX = 30
_MAX_QUANTA = 5  # of hot modes


@dataclass(frozen=True)
class Band:
    """A vibrational band from the ground state."""

    centre: float  # [1/cm]
    strength: float  # at 296 K [cm-1 / (molecule cm-2)]
    lines: Callable[[], Lines]
    quanta: tuple[int, ...]  # of each of the species' hot modes that the band adds
    hot_shift: tuple[float, ...]  # displacement of its hot bands, per quantum of those modes in the lower state [1/cm]


def linear_lines(b: float, change: float, j_max: int, step: int = 1) -> Lines:
    """P and R branches of a linear molecule; `change` is B' - B''; CO2 has even J alone (`step` 2)."""
    j = np.arange(0, j_max + 1, step, dtype=float)
    lower, upper = np.r_[j, j], np.r_[j - 1, j + 1]
    energy = b * lower * (lower + 1)
    return (b + change) * upper * (upper + 1) - energy, energy, np.r_[j, j + 1]


def spherical_lines(b: float, change: float, zeta: float, j_max: int = 50) -> Lines:
    """P, Q, R of a triply degenerate band with Coriolis constant `zeta`, which spaces lines by 2 B (1 - zeta)."""
    j = np.tile(np.arange(j_max + 1, dtype=float), 3)
    dj = np.repeat([-1.0, 0.0, 1.0], j_max + 1)
    m = np.where(dj < 0, -j, np.where(dj > 0, j + 1, 0))
    quadratic = np.where(dj == 0, j * (j + 1), m**2)
    return 2 * b * (1 - zeta) * m + change * quadratic, b * j * (j + 1), (2 * j + 1) * (2 * (j + dj) + 1)


def symmetric_lines(b: float, c: float, change: float, zeta: float | None = None, j_max: int = 35) -> Lines:
    """An oblate top's parallel or (given `zeta`) perpendicular band; K divisible by 3 weighs twice."""
    j, k = (x.astype(float) for x in np.nonzero(np.tri(j_max + 1)))
    j, k = np.r_[j, j[k > 0]], np.r_[k, -k[k > 0]]
    safe = np.maximum(j, 1)
    if zeta is None:
        strengths = [(j**2 - k**2) / safe, (2 * j + 1) * k**2 / (safe * (j + 1)), ((j + 1) ** 2 - k**2) / (j + 1)]
        shift = np.zeros_like(j)
    else:
        strengths = [
            (j - 1 - k) * (j - k) / safe,
            (j + 1 + k) * (j - k) * (2 * j + 1) / (safe * (j + 1)),
            (j + 2 + k) * (j + 1 + k) / (j + 1),
        ]
        shift = 2 * (c * (1 - zeta) - b) * k
    energy = b * j * (j + 1) + (c - b) * k**2
    offset = [shift + (b + change) * (j + d) * (j + d + 1) - b * j * (j + 1) for d in (-1, 0, 1)]
    spin = np.where(k % 3 == 0, 2.0, 1.0)
    return np.concatenate(offset), np.tile(energy, 3), np.concatenate([spin * s for s in strengths])


def _asymmetric_levels(abc: tuple[float, float, float], j: int) -> tuple[Array, Array]:
    """Energies [1/cm] and eigenvectors over K = -J … J of H2O, z = a, x = b.

    The K-dependent centrifugal terms of H2O (D_K = 0.0325, D_J = 0.00125 1/cm) are large: they enter as Padé forms.
    A millionth of the twofold rotation about b is added, so that near-degenerate pairs keep its symmetry.
    """
    a, b, c = abc
    mean = (b + c) / 2
    k, jj = np.arange(-j, j + 1, dtype=float), j * (j + 1)
    end = mean * jj / (1 + 0.00125 * jj / mean)
    h = np.diag(end + (a - mean) * k**2 / (1 + 0.0325 * k**2 / (a - mean)))
    coupling = (b - c) / 4 * np.sqrt((jj - k[:-2] * (k[:-2] + 1)) * (jj - (k[:-2] + 1) * k[2:])) if j else np.zeros(0)
    h += np.diag(coupling, 2) + np.diag(coupling, -2) if j else 0
    energy, vectors = np.linalg.eigh(h + 1e-6 * (-1) ** j * np.eye(2 * j + 1)[::-1])
    return energy, vectors


def _dipole(j: int, j2: int, q: int) -> Array:
    """Direction cosine <J', K + q | J, K> over (K', K), less factors common to all lines (Clebsch–Gordan, rank 1)."""
    k = np.arange(-j, j + 1, dtype=float)
    if j2 == j + 1:
        value = ((j + 1) ** 2 - k**2) / (j + 1) if q == 0 else (j + 1 + q * k) * (j + 2 + q * k) / (2 * (j + 1))
        sign = 1.0
    elif j2 == j:
        scale = (2 * j + 1) / max(1, j * (j + 1))
        value = k**2 * scale if q == 0 else (j - q * k) * (j + 1 + q * k) * scale / 2
        sign = np.sign(k) if q == 0 else -q
    else:
        value = (j**2 - k**2) / max(1, j) if q == 0 else (j - q * k) * (j - 1 - q * k) / (2 * max(1, j))
        sign = -1.0 if q == 0 else 1.0
    matrix = np.zeros((2 * j2 + 1, 2 * j + 1))
    row = (k + q + j2).astype(int)
    inside = (row >= 0) & (row <= 2 * j2)
    matrix[row[inside], np.flatnonzero(inside)] = (sign * np.sqrt(np.maximum(value, 0)))[inside]
    return matrix


def water_lines(v1: int, v2: int, v3: int) -> Lines:
    """H2O's band to (v1 v2 v3): a-type for odd v3, else b-type; ortho levels weigh three times para ones."""
    ground = (27.88, 14.52, 9.28)
    alpha = np.array([(-0.76, -0.21, -0.17), (3.25, 0.17, -0.14), (-1.23, -0.09, -0.14)])  # per quantum, mode by mode
    change = np.minimum(np.array([v1, v2, v3]) @ alpha, 4.0)  # A grows more slowly than linearly with bending
    upper = (ground[0] + change[0], ground[1] + change[1], ground[2] + change[2])
    below = [_asymmetric_levels(ground, j) for j in range(_H2O_J_MAX + 1)]
    above = [_asymmetric_levels(upper, j) for j in range(_H2O_J_MAX + 2)]
    parts = []
    for j, (energy, vectors) in enumerate(below):
        symmetry = (-1) ** j * (vectors * vectors[::-1]).sum(axis=0)  # under rotation about b: +1 para, -1 ortho
        spin = 2 - symmetry
        for j2 in range(max(0, j - 1), j + 2):
            dipole = _dipole(j, j2, 0) if v3 % 2 else (_dipole(j, j2, -1) - _dipole(j, j2, 1)) / np.sqrt(2)
            strength = (above[j2][1].T @ dipole @ vectors) ** 2 * spin
            offset = above[j2][0][:, None] - energy
            keep = strength * np.exp(-C2 * energy / TEMPERATURES[-1]) > 1e-4
            parts.append((offset[keep], np.broadcast_to(energy, keep.shape)[keep], strength[keep]))
    offset, lower, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return offset, lower, weight


def _water(centre: float, strength: float, v1: int, v2: int, v3: int) -> Band:
    # anharmonicity x12, 2 x22 and x23 [1/cm]
    shift = -15.9 * v1 - 38.0 * v2 - 20.3 * v3
    return Band(centre, strength, partial(water_lines, v1, v2, v3), (v2,), (shift,))


def _dioxide(centre: float, strength: float, shift: float, change: float = -0.0031) -> Band:
    return Band(centre, strength, partial(linear_lines, 0.390, change, 150, 2), (0,), (shift,))


def _methane(centre: float, strength: float, v4: int, v2: int, shift: tuple[float, float], zeta: float) -> Band:
    return Band(centre, strength, partial(spherical_lines, 5.241, -0.04, zeta), (v4, v2), shift)


def _monoxide(centre: float, strength: float, v: int) -> Band:
    return Band(centre, strength, partial(linear_lines, 1.931, -0.0175 * v, 80), (v,), (-26.5 * v,))


def _ammonia(centre: float, strength: float, v2: int, v4: int, zeta: float | None) -> Band:
    return Band(centre, strength, partial(symmetric_lines, 9.94, 6.23, -0.1, zeta), (v2, v4), (-10.0, -15.0))


# Modes whose excitation makes hot bands: wavenumber [1/cm], degeneracy.
HOT_MODES: dict[str, tuple[tuple[float, int], ...]] = {
    "H2O": ((1595, 1),),
    "CO2": ((667, 2),),
    "CH4": ((1311, 3), (1533, 2)),
    "CO": ((2143, 1),),
    "NH3": ((950, 1), (1627, 2)),
}

BANDS: dict[str, tuple[Band, ...]] = {
    "H2O": (
        _water(1594.7, 1.06e-17, 0, 1, 0),
        _water(3151.6, 7.6e-20, 0, 2, 0),
        _water(3657.1, 5.0e-19, 1, 0, 0),
        _water(3755.9, 7.2e-18, 0, 0, 1),
        _water(4666.8, 4e-22, 0, 3, 0),
        _water(5235.0, 4.0e-20, 1, 1, 0),
        _water(5331.3, 8.0e-19, 0, 1, 1),
        _water(12151.3, 1.5e-21, 2, 1, 1),
        _water(13830.9, 2.0e-21, 3, 0, 1),
        _water(14318.8, 5e-22, 1, 0, 3),
        _water(15347.9, 2e-22, 3, 1, 1),
    ),
    "CO2": (
        _dioxide(2349.1, 9.2e-17, -12.5),
        _dioxide(3612.8, 1.0e-18, -32.5),
        _dioxide(3714.8, 1.5e-18, 8.4),
        _dioxide(4853.6, 8e-21, -45.9),
        _dioxide(4977.8, 3.5e-20, -12.4),
        _dioxide(5099.7, 1.1e-20, 23.6),
    ),
    "CH4": (
        _methane(2600.0, 5e-20, 2, 0, (-20, -10), 0.45),
        _methane(2830.0, 4e-19, 1, 1, (-15, -10), 0.2),
        _methane(3019.5, 1.0e-17, 0, 0, (-17, -11), 0.055),
        _methane(3870.5, 3e-21, 3, 0, (-25, -10), 0.45),
        _methane(4133.0, 2e-20, 2, 1, (-20, -10), 0.2),
        _methane(4223.5, 2.4e-19, 1, 0, (-10, -10), 0.45),
        _methane(4319.2, 5.0e-19, 1, 0, (-20, -15), 0.2),
        _methane(4540.0, 6e-20, 0, 1, (-20, -15), 0.055),
        _methane(6004.9, 5e-20, 0, 0, (-34, -22), 0.04),
        _methane(13790.0, 3e-22, 0, 0, (-40, -30), 0.0),
    ),
    "CO": (_monoxide(2143.3, 1.0e-17, 1), _monoxide(4260.1, 7.5e-20, 2)),
    "NH3": (
        # 2384, 2563 and 2896: Kleiner, Tarrago & Brown (OSU symposium on molecular spectroscopy)
        _ammonia(2384.2, 2.5e-20, 3, 0, None),
        _ammonia(2563.0, 1.5e-20, 1, 1, -0.25),
        _ammonia(2895.5, 1.0e-20, 3, 0, None),
        _ammonia(3228.0, 3e-19, 0, 2, -0.25),
        _ammonia(3336.7, 9e-19, 0, 0, None),
        _ammonia(3443.9, 6e-19, 0, 0, 0.06),
        _ammonia(4294.0, 5e-20, 1, 0, None),
        _ammonia(4435.0, 5e-19, 1, 0, 0.06),
        _ammonia(4956.0, 1e-19, 0, 1, -0.25),
        _ammonia(5052.0, 4e-19, 0, 1, 0.06),
    ),
}


def hot_bands(species: str, band: Band, temperature: float) -> list[tuple[float, float]]:
    """Displacement [1/cm] and strength, over the cold band's at 296 K, of a band and its hot bands.

    Harmonic: C(v+g-1, v) q^v (1-q)^g of the molecules have v quanta of a mode of degeneracy g; a band that adds n of
    them is C(v+n, n) times as strong from there.
    """
    parts = [(0.0, 1.0)]
    for (wavenumber, g), n, shift in zip(HOT_MODES[species], band.quanta, band.hot_shift, strict=True):
        q = np.exp(-C2 * wavenumber / temperature)
        share = [comb(v + g - 1, v) * q**v * (1 - q) ** g * comb(v + n, n) for v in range(_MAX_QUANTA + 1)]
        parts = [(s + v * shift, w * f) for s, w in parts for v, f in enumerate(share)]
    return parts


@cache
def cross_section(species: str, temperature: float) -> Array:
    """Smoothed cross-section [m2 / molecule] at wavenumbers `NU`."""
    total = np.zeros(NU.size)
    for band in BANDS[species]:
        offset, energy, weight = _lines(band)
        weight = weight * np.exp(-C2 * energy / temperature)
        weight = weight / weight.sum() * band.strength
        for shift, factor in hot_bands(species, band, temperature):
            index = np.rint(band.centre + shift + offset - NU[0]).astype(int)
            inside = (index >= 0) & (index < NU.size)
            total += factor * np.bincount(index[inside], weight[inside], NU.size)
    x = np.arange(-_CUT, _CUT + 1)
    kernel = 1 / (x**2 + _HALF_WIDTH**2)
    return 1e-4 * np.maximum(fftconvolve(total, kernel / kernel.sum(), mode="same"), 0)


@cache
def _lines(band: Band) -> Lines:
    return band.lines()


def channel_edges(wavelength_um: Array) -> Array:
    """Edges [um] of each channel: (channel, 2), half-way to its neighbours; below 1 um those of FGS1's band."""
    edges = np.empty((wavelength_um.size, 2))
    infrared = wavelength_um >= 1
    edges[~infrared] = FGS1_BAND_UM
    airs = wavelength_um[infrared]
    if airs.size:
        half = np.gradient(airs) / 2 if airs.size > 1 else np.array([0.004])
        edges[infrared] = np.stack([airs - half, airs + half], axis=1)
    return edges


@cache
def _table(wavelength_key: bytes) -> Array:
    """ln of the cross-sections [m2]: (species, temperature, channel)."""
    wavelength = np.frombuffer(wavelength_key)
    edges = 1e4 / channel_edges(wavelength)[:, ::-1]
    visible = wavelength < 1
    sigma = np.array([[cross_section(name, float(t)) for t in TEMPERATURES] for name in SPECIES]) + FLOOR
    return np.where(visible, np.log(_channel_mean(sigma, edges)), _channel_mean(np.log(sigma), edges))


def _channel_mean(values: Array, edges: Array) -> Array:
    """Mean along the last axis, of values at `NU`, between edges [1/cm]: (…, channel)."""
    running = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    x = edges - NU[0] + 0.5
    i = np.floor(x).astype(int)
    integral = running[..., i] + (x - i) * values[..., i]
    return (integral[..., 1] - integral[..., 0]) / (edges[:, 1] - edges[:, 0])


def log_cross_sections(wavelength_um: Array, temperature_k: Array) -> Array:
    """ln of the cross-section [m2 / molecule]: (planet, species, channel), interpolated in ln T."""
    table = _table(np.ascontiguousarray(wavelength_um, dtype=float).tobytes())
    log_t = np.log(TEMPERATURES)
    x = np.clip(np.log(temperature_k), log_t[0], log_t[-1])
    i = np.clip(np.searchsorted(log_t, x) - 1, 0, len(log_t) - 2)
    w = ((x - log_t[i]) / (log_t[i + 1] - log_t[i]))[:, None, None]
    by_temperature = table.swapaxes(0, 1)
    return (1 - w) * by_temperature[i] + w * by_temperature[i + 1]


def rayleigh_h2(wavelength_um: Array) -> Array:
    """Rayleigh cross-section of H2 [m2], Dalgarno & Williams 1962 (ApJ 136, 690), leading terms."""
    angstrom = np.asarray(wavelength_um) * 1e4
    return 1e-4 * (8.14e-13 / angstrom**4 + 1.28e-6 / angstrom**6 + 1.61 / angstrom**8)
