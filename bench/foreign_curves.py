"""Light curves that are not as the fit assumes, for `foreign.py`: one thing is off in each kind, the rest is as usual.

They share no code with the fit or with the project's simulation: transits are batman's, spectra are smooth bumps,
stars are black bodies, and the grid of channels is all that is taken over. A visit is drawn from its number alone, so
that kinds differ in what is off and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hf_dataset.simulation.telescope import wavelengths_um

Array = NDArray[np.float64]

PPM = 1e-6
_PARTS = 5  # of a bin, over which a transit is averaged
_NODES = 12  # wavelengths at which batman is asked; between them light curves are smooth
# Claret & Bloemen 2011 (A&A 529, A75), rounded: wavelength [um], u1 and u2 at 5500 K, change of u1 with 1000 K
LIMB = np.array(
    [(0.7, 0.38, 0.25, -0.09), (1.65, 0.14, 0.30, -0.03), (2.16, 0.12, 0.26, -0.025), (4.5, 0.07, 0.16, -0.01)]
)

# WASP-39b by JWST NIRISS, rounded means over three of their points at R = 100: wavelength [um], depth [10 ppm] (order 1
# of the reduction by Feinstein et al. 2023, Nature 614, 670); and its depth at 0.7 um
# fmt: off
NIRISS = np.array([
    (0.89, 2122), (0.92, 2133), (0.95, 2134), (0.99, 2114), (1.02, 2106), (1.06, 2102), (1.09, 2118), (1.13, 2136),
    (1.17, 2129), (1.21, 2120), (1.25, 2107), (1.29, 2108), (1.34, 2146), (1.38, 2162), (1.43, 2167), (1.47, 2148),
    (1.52, 2127), (1.57, 2116), (1.63, 2107), (1.68, 2095), (1.74, 2109), (1.79, 2132), (1.85, 2155), (1.92, 2134),
    (1.98, 2134), (2.05, 2113), (2.12, 2085), (2.19, 2073), (2.26, 2077), (2.35, 2116), (2.43, 2127), (2.50, 2136),
    (2.59, 2141), (2.68, 2178), (2.77, 2157),
])
# fmt: on
NIRISS_VISIBLE = 2100


@dataclass
class Visit:
    """What is drawn of a visit before light falls: times in h, lengths in stellar radii, wavelengths in um.

    ``time`` (T,) bin centres of length ``width``; ``depth`` (C,) true; ``limb`` (C, 2); ``noise`` (C,) white noise of a
    bin, relative; ``drift`` (T, C) and ``late`` [h] by which FGS1's clock is ahead; ``table`` is what the user is told,
    ``stated`` the factor on the errors.
    """

    rng: np.random.Generator
    time: Array
    width: float
    wavelength: Array
    temperature: float
    period: float
    a: float
    b: float
    t0: float
    depth: Array
    limb: Array
    noise: Array
    drift: Array
    table: dict[str, float]
    eccentricity: float = 0.0
    periastron: float = 90.0
    late: float = 0.0
    stated: float = 1.0
    bumps: list[tuple[float, float, Array]] = field(default_factory=list)
    invalid: NDArray[np.bool_] | None = None

    @property
    def airs(self) -> Array:
        """Wavelength over AIRS from -1 to 1 (C,), 0 for FGS1."""
        low, high = self.wavelength[1], self.wavelength[-1]
        x = 2 * (self.wavelength - low) / (high - low) - 1
        x[0] = 0.0
        return x

    @property
    def hours_in(self) -> float:
        """From mid-transit to the contacts in between, where the planet's centre crosses the limb [h]."""
        speed = 2 * np.pi * self.a / (24 * self.period)
        return float(np.sqrt(max(1 - self.b**2, 0.04)) / speed)


@dataclass(frozen=True)
class Kind:
    """One way to be unlike: ``what`` is off, by a ``change`` of a visit."""

    what: str
    change: Callable[[Visit], None]
    bins: int = 375
    hours: float = 7.5


def draw(number: int, kind: Kind) -> Visit:
    """Visit ``number`` of a kind, ready for :func:`light_curves`."""
    rng = np.random.default_rng([1905, number])
    wavelength = np.asarray(wavelengths_um(), np.float64)
    temperature, density = rng.uniform(3600, 6600), 10 ** rng.uniform(-0.4, 0.5)
    period, b = 10 ** rng.uniform(0.2, 0.9), rng.uniform(0, 0.75)
    a = 4.2 * (density * period**2) ** (1 / 3)
    depth = 10 ** rng.uniform(-2.6, -1.8) + _spectrum(rng, wavelength)
    width = kind.hours / kind.bins
    time = (np.arange(kind.bins) + 0.5) * width
    light = _photons(wavelength, temperature) * 10 ** rng.uniform(-0.3, 0.3)
    light[0] = rng.uniform(20, 60) * light[1]  # a photometer gathers a whole band
    noise = np.sqrt((1 + 6e-4 / light) / light) * 1.0e-3 * np.sqrt(0.02 / width)
    visit = Visit(
        rng=rng,
        time=time,
        width=width,
        wavelength=wavelength,
        temperature=temperature,
        period=period,
        a=a,
        b=b,
        t0=kind.hours * 0.5 + rng.uniform(-0.3, 0.3),
        depth=depth,
        limb=_limb_darkening(rng, wavelength, temperature),
        noise=noise,
        drift=np.zeros((kind.bins, len(wavelength))),
        table={"P": period, "sma": a, "i": float(np.degrees(np.arccos(b / a))), "Ts": temperature},
    )
    own = 1.0 + rng.normal(0, 0.3) * visit.airs
    visit.drift += np.outer(_polynomial(rng, time, (690, 415, 160)), own)
    visit.drift[:, 0] = _polynomial(rng, time, (690, 415, 160))
    visit.rng = np.random.default_rng([1906, number])  # what a kind draws doesn't move the rest
    kind.change(visit)
    return visit


def light_curves(visit: Visit) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Flux and stated errors [arbitrary unit], and what is valid, each (T, C)."""
    flux = _transits(visit) * (1 + visit.drift)
    rng = np.random.default_rng(visit.rng.integers(2**32))
    flux = flux + rng.normal(size=flux.shape) * visit.noise
    level = 1e4 / visit.noise
    error = np.broadcast_to(visit.noise * visit.stated * level, flux.shape).copy()
    valid = np.ones(flux.shape, bool) if visit.invalid is None else ~np.repeat(visit.invalid[:, None], flux.shape[1], 1)
    return flux * level, error, valid


def _photons(wavelength: Array, temperature: float) -> Array:
    """Black body photons, relative to those at 2 um."""

    def planck(x: Array | float) -> Array:
        return np.asarray(x, np.float64) ** -4 / np.expm1(14388 / (np.asarray(x) * temperature))

    return planck(wavelength) / planck(2.0)


def _spectrum(rng: np.random.Generator, wavelength: Array) -> Array:
    """Bumps of 30 to 200 ppm at random places (C,)."""
    centre, width = rng.uniform(1.5, 8, 8), rng.uniform(0.05, 0.6, 8)
    height = rng.uniform(30, 200) * PPM * rng.normal(size=8)
    return np.asarray((height * np.exp(-0.5 * ((wavelength[:, None] - centre) / width) ** 2)).sum(1))


def _limb_darkening(rng: np.random.Generator, wavelength: Array, temperature: float) -> Array:
    """Quadratic coefficients (C, 2), of grids that differ by 0.05."""
    u1 = np.interp(wavelength, LIMB[:, 0], LIMB[:, 1] + LIMB[:, 3] * (temperature - 5500) / 1000)
    u2 = np.interp(wavelength, LIMB[:, 0], LIMB[:, 2])
    return np.stack([u1, u2], 1) + rng.normal(0, 0.05, 2)


def _polynomial(rng: np.random.Generator, time: Array, sizes: tuple[float, ...], first: int = 1) -> Array:
    """Sum of Legendre polynomials of orders ``first``, ... with coefficients of these sizes [ppm] (T,)."""
    x = 2 * (time - time[0]) / (time[-1] - time[0]) - 1
    coefficients = np.concatenate([np.zeros(first), rng.normal(size=len(sizes)) * np.array(sizes) * PPM])
    return np.asarray(np.polynomial.legendre.legval(x, coefficients))


def _transits(visit: Visit) -> Array:
    """Transits (T, C): batman at a few wavelengths, with its slope by depth there, interpolated between them."""
    base = np.full(len(visit.wavelength), visit.depth[1:].mean())
    base[0] = visit.depth[0]
    nodes = np.linspace(1, len(visit.wavelength) - 1, _NODES).astype(int)
    flux, slope = (np.empty((len(visit.time), len(visit.wavelength))) for _ in range(2))
    at = [(0, visit.late), *((node, 0.0) for node in nodes)]
    pairs = [[_batman(visit, depth, visit.limb[c], late) for depth in (base[c], base[c] * 1.01)] for c, late in at]
    value = np.array([pair[0] for pair in pairs])
    by_depth = np.array([(pair[1] - pair[0]) / (0.01 * base[c]) for pair, (c, _) in zip(pairs, at, strict=True)])
    flux[:, 0], slope[:, 0] = value[0], by_depth[0]
    for row in range(len(visit.time)):
        flux[row, 1:] = np.interp(visit.wavelength[1:], visit.wavelength[nodes], value[1:, row])
        slope[row, 1:] = np.interp(visit.wavelength[1:], visit.wavelength[nodes], by_depth[1:, row])
    flux = flux + slope * (visit.depth - base)
    for middle, length, height in visit.bumps:
        flux = flux + np.exp(-0.5 * ((visit.time[:, None] - middle) / length) ** 2) * height
    return flux


def _batman(visit: Visit, depth: float, limb: Array, late: float) -> Array:
    """One channel's transit (T,), averaged over bins."""
    import batman

    p = batman.TransitParams()
    p.t0, p.per, p.rp, p.a = (visit.t0 - late) / 24, visit.period, float(np.sqrt(depth)), visit.a
    p.ecc, p.w = visit.eccentricity, visit.periastron
    stretch = (1 - p.ecc**2) / (1 + p.ecc * np.sin(np.radians(p.w)))  # distance at mid-transit over a
    p.inc = float(np.degrees(np.arccos(visit.b / (visit.a * stretch))))
    p.limb_dark, p.u = "quadratic", [float(u) for u in limb]
    within = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5  # batman's own supersampling has the ends of bins in it
    days = (visit.time[:, None] + within * visit.width).ravel() / 24
    model = batman.TransitModel(p, days, max_err=0.1)
    return np.asarray(model.light_curve(p)).reshape(-1, _PARTS).mean(1)


# --- what is off ---------------------------------------------------------------------------------------------------


def nothing(_: Visit) -> None:
    """As the fit assumes."""


def twisted(ppm_per_um: float, orders: int = 3) -> Callable[[Visit], None]:
    """Drift whose time shape changes with wavelength."""

    def change(visit: Visit) -> None:
        shape = _polynomial(visit.rng, visit.time, (1.0,) * orders) / PPM
        shape = shape / np.abs(shape).max()
        from_middle = visit.wavelength - visit.wavelength[1:].mean()
        from_middle[0] = 0.0
        visit.drift += np.outer(shape, from_middle) * ppm_per_um * PPM

    return change


def high_orders(visit: Visit) -> None:
    """Drift of orders 4 and 5 of 200 ppm, common to AIRS."""
    visit.drift[:, 1:] += _polynomial(visit.rng, visit.time, (200, 200), 4)[:, None]
    visit.drift[:, 0] += _polynomial(visit.rng, visit.time, (200, 200), 4)


def red(ppm: float, hours: float, channels: str = "airs", smooth: bool = False) -> Callable[[Visit], None]:
    """Correlated noise: of AIRS, of FGS1, or with another series in each half of AIRS."""

    def change(visit: Visit) -> None:
        lag = np.abs(visit.time[:, None] - visit.time) / hours
        kernel = np.exp(-0.5 * lag**2) if smooth else np.exp(-lag)
        factor = np.linalg.cholesky(kernel + 1e-8 * np.eye(len(visit.time)))
        series = factor @ visit.rng.normal(size=(len(visit.time), 2)) * ppm * PPM
        if channels == "fgs1":
            visit.drift[:, 0] += series[:, 0]
        elif channels == "airs":
            visit.drift[:, 1:] += series[:, :1]
        elif channels == "all":
            visit.drift += series[:, :1]
        else:
            middle = len(visit.wavelength) // 2
            visit.drift[:, 1:middle] += series[:, :1]
            visit.drift[:, middle:] += series[:, 1:]

    return change


def ramp(visit: Visit) -> None:
    """An exponential of 500 ppm over half an hour, larger in the red."""
    visit.drift += 500 * PPM * np.exp(-visit.time[:, None] / 0.5) * (1 + 0.2 * visit.airs)


def step(visit: Visit) -> None:
    """A jump of 150 ppm somewhere."""
    at = visit.rng.uniform(0.15, 0.85) * visit.time[-1]
    visit.drift[visit.time > at] += 150 * PPM * (1 + 0.3 * visit.airs)


def bump(ppm: float) -> Callable[[Visit], None]:
    """A spot crossing in transit, twice as high in FGS1; negative heights are faculae."""

    def change(visit: Visit) -> None:
        middle = visit.t0 + visit.rng.uniform(-0.7, 0.7) * visit.hours_in
        height = ppm * PPM * (1.2 - 0.3 * visit.airs)
        height[0] = 2 * ppm * PPM
        visit.bumps.append((middle, 0.12 * visit.hours_in, height))

    return change


def other_limb(visit: Visit) -> None:
    """Coefficients 0.3 away from any grid, with slopes in wavelength of their own."""
    visit.limb += visit.rng.normal(0, 0.3, 2) + visit.airs[:, None] * visit.rng.normal(0, 0.06, 2)
    visit.limb[0] += visit.rng.normal(0, 0.2, 2)
    visit.limb = np.clip(visit.limb, -0.3, 0.9)


def table_b(visit: Visit) -> None:
    """The star table's impact parameter off by 0.1."""
    wrong = abs(visit.b + visit.rng.choice([-0.1, 0.1]))
    visit.table["i"] = float(np.degrees(np.arccos(wrong / visit.a)))


def table_speed(factor: float) -> Callable[[Visit], None]:
    """The star table's speed off by a factor, b as it is."""

    def change(visit: Visit) -> None:
        sma = visit.a * factor ** visit.rng.choice([-1.0, 1.0])
        visit.table |= {"sma": sma, "i": float(np.degrees(np.arccos(visit.b / sma)))}

    return change


def no_table(visit: Visit) -> None:
    """Nothing known of star and orbit."""
    visit.table = {}


def clocks(hours: float) -> Callable[[Visit], None]:
    """FGS1's clock ahead of AIRS's."""

    def change(visit: Visit) -> None:
        visit.late = hours * visit.rng.choice([-1.0, 1.0])

    return change


def gaps(visit: Visit) -> None:
    """40 minutes without data at both contacts."""
    contacts = visit.t0 + np.array([-1, 1]) * visit.hours_in
    visit.invalid = (np.abs(visit.time[:, None] - contacts) < 1 / 3).any(1)


def eccentric(visit: Visit) -> None:
    """An orbit of eccentricity 0.3, a table that has no such column."""
    visit.eccentricity, visit.periastron = 0.3, visit.rng.uniform(0, 360)


def grazing(visit: Visit) -> None:
    """Impact parameters of 0.9 to 1.05."""
    visit.b = visit.rng.uniform(0.9, 1.05)
    visit.table["i"] = float(np.degrees(np.arccos(visit.b / visit.a)))


def errors(factor: float) -> Callable[[Visit], None]:
    """Stated errors a factor of the true ones."""

    def change(visit: Visit) -> None:
        visit.stated = factor

    return change


def night(visit: Visit) -> None:
    """From the ground: red noise of 300 ppm with 40 minutes and an airmass trend."""
    red(300, 2 / 3, "all")(visit)
    x = np.linspace(-1, 1, len(visit.time))
    visit.drift += (-3e-3 * x**2 + 1e-3 * x)[:, None] * (1 - 0.2 * visit.airs)


def wasp39b(visit: Visit) -> None:
    """WASP-39b's depths, of the near infrared moved to AIRS's channels; the usual noise is much like NIRISS's."""
    low, high = NIRISS[0, 0], NIRISS[-1, 0]
    visit.depth = 1e-5 * np.interp(low + 0.5 * (visit.airs + 1) * (high - low), *NIRISS.T)
    visit.depth[0] = 1e-5 * NIRISS_VISIBLE


KINDS = {
    "clean": Kind("nothing", nothing),
    "twisted_30": Kind("drift's shape changes with wavelength, 30 ppm/um", twisted(30)),
    "twisted_100": Kind("drift's shape changes with wavelength, 100 ppm/um", twisted(100)),
    "twisted_300": Kind("drift's shape changes with wavelength, 300 ppm/um", twisted(300)),
    "high_orders": Kind("drift of orders 4 and 5, 200 ppm", high_orders),
    "red_24min": Kind("red noise common to AIRS, 50 ppm, 24 min", red(50, 0.4)),
    "red_1h": Kind("red noise common to AIRS, 100 ppm, 1 h", red(100, 1.0)),
    "red_smooth": Kind("smooth red noise common to AIRS, 100 ppm, 30 min", red(100, 0.5, smooth=True)),
    "red_fgs1": Kind("red noise of FGS1, 100 ppm, 30 min", red(100, 0.5, "fgs1")),
    "red_halves": Kind("red noise of each half of AIRS, 80 ppm, 30 min", red(80, 0.5, "halves")),
    "ramp": Kind("ramp of 500 ppm over half an hour", ramp),
    "step": Kind("a jump of 150 ppm", step),
    "spot": Kind("spot crossing, 200 ppm", bump(200)),
    "facula": Kind("facula crossing, 150 ppm", bump(-150)),
    "limb_darkening": Kind("limb darkening 0.3 from any grid", other_limb),
    "table_b": Kind("star table: b off by 0.1", table_b),
    "table_speed_10": Kind("star table: speed off by 10 %", table_speed(1.1)),
    "table_speed_50": Kind("star table: speed off by half", table_speed(1.5)),
    "no_table": Kind("no star table", no_table),
    "clocks_1": Kind("FGS1's clock 0.02 h off", clocks(0.02)),
    "clocks_3": Kind("FGS1's clock 0.05 h off", clocks(0.05)),
    "gaps": Kind("40 min without data at both contacts", gaps),
    "eccentric": Kind("eccentricity 0.3", eccentric),
    "grazing": Kind("grazing", grazing),
    "short": Kind("150 bins in 6 h", nothing, bins=150, hours=6.0),
    "long": Kind("600 bins in 12 h", nothing, bins=600, hours=12.0),
    "errors_half": Kind("errors half of the true ones", errors(0.5)),
    "errors_more": Kind("errors 1.6 times the true ones", errors(1.6)),
    "wasp39b": Kind("WASP-39b's spectrum by JWST", wasp39b),
    "night": Kind("a night on the ground: red noise of 300 ppm, airmass", night),
}
