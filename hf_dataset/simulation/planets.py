"""The population: stars, planets, orbits and transmission spectra within the ranges of the challenge's tables.

Transmission spectra: an isothermal atmosphere in hydrostatic balance seen through its limb, where
R(lambda) = R0 + H [gamma + ln(tau0)], tau0 proportional to the opacity (Lecavelier des Etangs et al. 2008, A&A 481,
L83; de Wit & Seager 2013; Heng & Kitzmann 2017, MNRAS 470, 2972). R0 and the reference pressure are degenerate, so
the mean transit radius is drawn and R(lambda) = <R> + H [ln kappa(lambda) - <ln kappa>], with
kappa = sum_m X_m sigma_m(lambda, T) + Rayleigh + grey cloud.

Ranges are facts read off the real tables (`train_star_info.csv` of 2025, 1,100 planets; `train_adc_info.csv` and
`train_labels.csv` of 2024, 466 planets): see docs/simulation.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset.schema import N_CHANNELS, STAR_COLUMNS
from hf_dataset.simulation import opacities, telescope, transits
from hf_dataset.simulation.telescope import FGS1_UM, WINDOW_H, airs_axis_um, wavelengths_um

Array = NDArray[np.float64]

__all__ = [
    "STARS_2024",
    "WINDOW_H",
    "Planet",
    "System",
    "airs_axis_um",
    "planet_from_spectrum",
    "planets_from_spectra",
    "sample_layouts",
    "sample_planets",
    "spectra",
    "wavelengths_um",
]

G = 6.6743e-11
K_B = 1.380649e-23
M_H = 1.6735575e-27
R_SUN, M_SUN, R_JUP, M_JUP = 6.957e8, 1.98841e30, 7.1492e7, 1.89813e27  # IAU 2015 nominal values, SI

# 2024 has two host stars, of which only a number is given. Their radii differ by 1.66 (the ratio of the largest depths
# of the two groups, whose planets else look alike), and transits last as long on both: a K7 and a G5 dwarf at these
# periods have both. Their planets' equilibrium temperatures, 590 and 1,480 K in the median, follow.
STARS_2024 = (
    {"Rs": 0.58, "Ms": 0.60, "Ts": 3950.0, "P": 7.0, "brightness": 0.77},
    {"Rs": 0.963, "Ms": 1.00, "Ts": 5700.0, "P": 2.2, "brightness": 0.82},
)

# Atmospheres: log10 mixing ratio (mean, scatter) and log10 grey cloud opacity per molecule [m2]. Chosen by hand so that
# quantiles of feature size and of FGS1's offset, and the principal components' shares, come near those of the 466 label
# spectra; no spectrum's shape was fitted. CO and NH3 are traces.
LOG_MIXING_RATIO = {
    "H2O": (-4.5, 0.8),
    "CO2": (-5.0, 0.8),
    "CH4": (-4.2, 0.8),
    "CO": (-6.0, 1.0),
    "NH3": (-8.0, 0.8),
}
LOG_CLOUD = (-28.8, 0.7)
ATMOSPHERE = (*(f"log10_{name}" for name in opacities.SPECIES), "log10_cloud", "temperature", "scale_height")


@dataclass(frozen=True, eq=False)
class Planet:
    """One planet and its star, all that a simulated observation needs. Units: R_sun, M_sun, K, M_Jup, d, R*, deg, h."""

    planet_id: int
    layout: str
    star: int  # 2024: 0 or 1; else -1
    Rs: float
    Ms: float
    Ts: float
    Mp: float
    e: float
    P: float
    sma: float
    i: float
    t0: float  # mid-transit, hours from the first exposure
    brightness: float  # solid angle of the star relative to that of the real planet 342072318's
    spectrum: Array  # depth (283,)
    u: Array  # limb darkening (283, 2)
    given: bool = False  # whether the spectrum is somebody's, not of this population
    atmosphere: Mapping[str, float] | None = None  # what the spectrum follows from, as ATMOSPHERE; None: not known

    @property
    def b(self) -> float:
        """Impact parameter [R*]."""
        return self.sma * float(np.cos(np.radians(self.i))) * (1 - self.e)

    @property
    def k(self) -> float:
        """Radius ratio, mean over the channels."""
        return float(np.sqrt(self.spectrum.mean()))

    @property
    def duration(self) -> float:
        """First to fourth contact [h]."""
        return transits.transit_duration(self.k, self.P, self.sma, self.i, self.e)

    def star_table(self) -> dict[str, float]:
        """The 2025 star table's columns."""
        return {name: float(getattr(self, name)) for name in STAR_COLUMNS}


@dataclass(frozen=True)
class System:
    """Drawn stars, orbits and bulk planets, an array per quantity: (planet,)."""

    star: NDArray[np.int64]
    Rs: Array
    Ms: Array
    Ts: Array
    Mp: Array
    P: Array
    sma: Array
    i: Array
    t0: Array
    brightness: Array
    k: Array


def truncated_normal(rng: np.random.Generator, n: int, mean: float, sd: float, low: float, high: float) -> Array:
    """Normal draws folded back into [low, high] by redrawing."""
    x = rng.normal(mean, sd, n)
    while (bad := (x < low) | (x > high)).any():
        x[bad] = rng.normal(mean, sd, int(bad.sum()))
    return x


def kepler_sma(period_d: Array, ms: Array, rs: Array) -> Array:
    """Semi-major axis [R*] by Kepler's third law."""
    cubed = G * ms * M_SUN * (period_d * 86400) ** 2 / (4 * np.pi**2)
    return cubed ** (1 / 3) / (rs * R_SUN)


def sample_systems(n: int, rng: np.random.Generator, layout: str) -> System:
    """Stars, orbits and planet sizes; a/R* follows from P, M* and R* by Kepler's third law."""
    if layout == "2024":
        star = rng.integers(0, 2, n)
        rs, ms, ts, period, bright = (
            np.array([s[key] for s in STARS_2024])[star] for key in ("Rs", "Ms", "Ts", "P", "brightness")
        )
        brightness = bright * np.exp(0.05 * rng.standard_normal(n))
        period = period * np.exp(0.05 * rng.standard_normal(n))
        t0 = truncated_normal(rng, n, 3.74, 0.02, 3.6, 3.9)
        b = np.abs(truncated_normal(rng, n, 0, 0.2, -0.6, 0.6))
        # the labels' depths: planet radii spread alike, and nearly uniformly, round both stars
        k = rng.uniform(0.0355, 0.084, n) * STARS_2024[0]["Rs"] / rs
        mp = np.exp(rng.normal(np.log(0.09), 0.9, n))
    else:
        star = np.full(n, -1)
        ts = truncated_normal(rng, n, 5840, 510, 4236, 6979)
        ms = np.clip(1.09 * (ts / 5840) ** 2.2 * np.exp(0.10 * rng.standard_normal(n)), 0.60, 1.82)
        rs = np.clip(1.2 * (ms / 1.09) ** 1.2 * np.exp(0.15 * rng.standard_normal(n)), 0.654, 2.887)
        # both stars whose flux is known, of 4,800 and 5,540 K, give FGS1 the same 221,000 e- to 2 %
        in_fgs1 = np.exp(0.1 * rng.standard_normal(n))
        brightness = np.minimum(in_fgs1 / telescope.fgs1_band_ratio(ts), 1.25)
        period = rng.uniform(2.78, 7.62, n)
        t0 = truncated_normal(rng, n, 3.75, 0.25, 3.0, 4.5)
        b = np.abs(truncated_normal(rng, n, 0, 0.36, -0.85, 0.85))
        # hot Jupiters, as the table's masses say and the one known depth (1.58 %, planet 1103775) agrees
        k = np.minimum(truncated_normal(rng, n, 0.95, 0.35, 0.3, 1.6) * R_JUP / (rs * R_SUN), 0.16)
        b = np.minimum(b, 0.95 - k)  # no grazing transits: their depth is hardly measurable
        mp = np.clip(np.exp(rng.normal(np.log(0.95), 0.95, n)), 0.049, 24.7)
    # the whole transit and 0.7 h either side fit in the window: T14 (at b = 0, R_p << R*) goes as P^(1/3)
    longest = 2 * np.minimum(t0, WINDOW_H - t0) - 1.4
    t14 = period * 24 / np.pi * (1 + k) / kepler_sma(period, ms, rs)
    period = period * np.minimum(1, longest / t14) ** 3
    sma = kepler_sma(period, ms, rs)
    inclination = np.degrees(np.arccos(b / sma))
    return System(star, rs, ms, ts, mp, period, sma, inclination, t0, brightness, k)


def equilibrium_temperature(ts_k: Array, sma: Array) -> Array:
    """Zero-albedo equilibrium temperature [K] at `sma` stellar radii."""
    return ts_k / np.sqrt(2 * sma)


@dataclass(frozen=True)
class Atmospheres:
    """Drawn atmospheres of planets: what their transmission spectra follow from."""

    temperature: Array  # (planet,) [K]
    scale_height: Array  # (planet,) [R*]
    log_mixing_ratio: Array  # (planet, molecule), log10, as opacities.SPECIES; -inf without
    log_cloud: Array  # (planet,) log10 of the grey opacity per molecule [m2]

    def of(self, j: int) -> dict[str, float]:
        """What was drawn for planet `j`, named as in ATMOSPHERE."""
        values = (*self.log_mixing_ratio[j], self.log_cloud[j], self.temperature[j], self.scale_height[j])
        return {name: float(value) for name, value in zip(ATMOSPHERE, values, strict=True)}


def sample_atmospheres(system: System, rng: np.random.Generator, without: Sequence[str] = ()) -> Atmospheres:
    """Atmospheres for the given systems; ``without`` some molecules."""
    if unknown := sorted(set(without) - set(opacities.SPECIES)):
        raise ValueError(f"without: expected some of {', '.join(opacities.SPECIES)}, found {', '.join(unknown)}")
    n = system.k.size
    temperature = np.clip(equilibrium_temperature(system.Ts, system.sma) * rng.uniform(0.8, 1.15, n), 350, 2200)
    gravity = G * system.Mp * M_JUP / (system.k * system.Rs * R_SUN) ** 2
    weight = 2.3 * np.exp(np.abs(rng.normal(0, 0.15, n)))  # mean molecular weight [m_H]: H2/He and more
    scale_height = K_B * temperature / (weight * M_H * gravity)
    z = rng.standard_normal((n, len(opacities.SPECIES)))
    mean, scatter = np.array([LOG_MIXING_RATIO[name] for name in opacities.SPECIES]).T
    log_x = np.minimum(mean + scatter * z, -1.5)
    log_x[:, [name in without for name in opacities.SPECIES]] = -np.inf
    log_cloud = truncated_normal(rng, n, *LOG_CLOUD, -32.0, -27.3)
    return Atmospheres(temperature, scale_height / (system.Rs * R_SUN), log_x, log_cloud)


def transmission_spectra(k: Array, atmospheres: Atmospheres, wavelength_um: Array) -> Array:
    """Transit depth (planet, channel) of planets with mean radius ratios `k` (planet,)."""
    log_sigma = opacities.log_cross_sections(wavelength_um, atmospheres.temperature)
    kappa = np.exp(log_sigma + np.log(10) * atmospheres.log_mixing_ratio[:, :, None]).sum(axis=1)
    kappa += opacities.rayleigh_h2(wavelength_um) * 0.85
    log_kappa = np.log(kappa + (10**atmospheres.log_cloud)[:, None])
    radius = k[:, None] + atmospheres.scale_height[:, None] * (log_kappa - log_kappa.mean(axis=1, keepdims=True))
    return np.clip(radius, 0.018, None) ** 2


def _draw(
    n: int, seed: int | np.random.SeedSequence, layout: str, without: Sequence[str] = ()
) -> tuple[System, Atmospheres, Array]:
    """Systems, their atmospheres, and the depths (planet, channel) that follow."""
    rng = np.random.default_rng(seed)
    system = sample_systems(n, rng, layout)
    atmospheres = sample_atmospheres(system, rng, without)
    return system, atmospheres, transmission_spectra(system.k, atmospheres, wavelengths_um(layout))


def spectra(n: int, seed: int, layout: str | None = None, without: Sequence[str] = ()) -> Array:
    """True spectra alone: (n, 283), of one layout's population, or (None) half of each, in random order.

    ``without`` some molecules; the rest of each atmosphere stays as it is.

    The 2024 population follows that year's labels; the 2025 one has larger planets (see `sample_systems`).
    """
    if layout is not None:
        _check_layout(layout)
        return _draw(n, seed, layout, without)[2]
    both = np.concatenate([_draw(n - n // 2, seed, "2024", without)[2], _draw(n // 2, seed, "2025", without)[2]])
    return np.random.default_rng([seed, 0x5B]).permutation(both)


def planet_ids(n: int, seed: int) -> list[int]:
    """Distinct ids in the challenge's range (up to 4.3e9)."""
    rng = np.random.default_rng([seed, 0x1D])
    ids: dict[int, None] = {}
    while len(ids) < n:
        ids.update(dict.fromkeys(int(x) for x in rng.integers(10_000, 4_294_967_295, n - len(ids))))
    return list(ids)


def _assemble(system: System, depth: Array, ids: list[int], layout: str, seed: int) -> list[Planet]:
    wavelength = wavelengths_um(layout)
    planets = []
    for j, planet_id in enumerate(ids):
        rng = np.random.default_rng([seed, planet_id, 0x11B])
        columns: dict[str, Any] = {
            c: float(getattr(system, c)[j]) for c in ("Rs", "Ms", "Ts", "Mp", "P", "sma", "i", "t0")
        }
        planets.append(
            Planet(
                planet_id=planet_id,
                layout=layout,
                star=int(system.star[j]),
                e=0.0,
                brightness=float(system.brightness[j]),
                spectrum=depth[j],
                u=transits.limb_darkening(wavelength, columns["Ts"], rng),
                **columns,
            )
        )
    return planets


def sample_planets(n: int, seed: int, layout: str = "2025", without: Sequence[str] = ()) -> list[Planet]:
    """`n` planets with all that an observation needs, ``without`` some molecules. The same seed: the same planets."""
    _check_layout(layout)
    system, atmospheres, depth = _draw(n, seed, layout, without)
    drawn = _assemble(system, depth, planet_ids(n, seed), layout, seed)
    return [replace(planet, atmosphere=atmospheres.of(j)) for j, planet in enumerate(drawn)]


def sample_layouts(n: int, seed: int, layout: str, without: Sequence[str] = ()) -> list[Planet]:
    """`n` planets of one layout, or alternately of "both", ``without`` some molecules."""
    if layout != "both":
        return sample_planets(n, seed, layout, without)
    half = -(-n // 2)
    pairs = (sample_planets(half, seed + i, one, without) for i, one in enumerate(("2024", "2025")))
    return [planet for pair in zip(*pairs, strict=True) for planet in pair][:n]


def planet_from_spectrum(
    spectrum: Array, seed: int, layout: str = "2024", planet_id: int | None = None, star: int | None = None
) -> Planet:
    """A planet of the population that carries a given spectrum (283,), to put known truths into light curves."""
    _check_layout(layout)
    spectrum = np.asarray(spectrum, dtype=float)
    if spectrum.shape != (N_CHANNELS,) or not np.all(np.isfinite(spectrum) & (spectrum > 0) & (spectrum < 1)):
        raise ValueError(f"spectrum: expected {N_CHANNELS} depths between 0 and 1, found shape {spectrum.shape}")
    rng = np.random.default_rng(seed)
    system = sample_systems(64, rng, layout)
    if layout == "2024":
        wanted = star if star is not None else int(np.sqrt(spectrum.mean()) < 0.045)
        pick = int(np.flatnonzero(system.star == wanted)[0])
    else:
        pick = 0
    k = float(np.sqrt(spectrum.mean()))
    b = min(float(system.sma[pick] * np.cos(np.radians(system.i[pick]))), 0.9 - k)
    ids = [planet_ids(1, seed)[0] if planet_id is None else int(planet_id)]
    chosen = System(*(np.atleast_1d(getattr(system, f)[pick]) for f in System.__dataclass_fields__))
    chosen = replace(chosen, k=np.array([k]), i=np.degrees(np.arccos([b / chosen.sma[0]])))
    return replace(_assemble(chosen, spectrum[None], ids, layout, seed)[0], given=True)


def planets_from_spectra(spectra: Mapping[int, Array], seed: int) -> list[Planet]:
    """A planet of the 2024 population for each spectrum (283,), with the id of the spectrum."""
    return [
        planet_from_spectrum(spectrum, seed + planet % 2**31, "2024", planet) for planet, spectrum in spectra.items()
    ]


def _check_layout(layout: str) -> None:
    if layout not in FGS1_UM:
        raise ValueError(f"layout: expected one of {sorted(FGS1_UM)}, found {layout!r}")
