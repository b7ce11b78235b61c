"""Light curves of other telescopes: this project's fit beside published values, batman's fit and injected transits.

Run: make instruments (python bench/instruments.py ../shared/real). The sets of `../shared/real/instruments` are
fitted as `ariel fit` does, systematics chosen by evidence, with the orbit of each; by batman and least squares, which
share no code with the fit; and again with batman's transit taken out and one of known depth put in, at another time and
under the same residuals, shifted in a circle (not where orbits have a hook), so that the noise stays real; what it
took of each channel's noise is given back white. Then the instruments that saw WASP-107 b together.
Writes bench/out/instruments.md and instruments.json.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from batman_transits import Array, BatmanTransit
from scipy.optimize import least_squares
from tqdm import tqdm

from ariel_scripts.command_line import run_script
from modeling_ariel.any_telescope.fitting import fit_visit
from modeling_ariel.any_telescope.observation import Observation
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.systematics import has_orbits
from modeling_ariel.any_telescope.together import fit_observations
from modeling_ariel.retrieval import ClassicalFit, concatenate, without_curves
from modeling_ariel.status import FITTED

ROOT = Path(__file__).resolve().parents[1]
TABLE_SIGMA = (0.03, 0.02)  # of b and ln a, as the fit trusts a table
# Claret & Bloemen 2011 (A&A 529, A75), rounded: wavelength [um]; u1 and u2 at 5500 K; their change with 1000 K
LIMB = np.array(
    [
        (0.7, 0.38, 0.25, -0.09, 0.03),
        (1.25, 0.23, 0.28, -0.05, 0.02),
        (1.65, 0.14, 0.30, -0.03, 0.01),
        (2.16, 0.12, 0.26, -0.025, 0.005),
        (3.6, 0.085, 0.19, -0.015, 0.0),
        (4.5, 0.07, 0.16, -0.01, 0.0),
    ]
)
LIMB_SIGMA = 0.1  # of u1 and u2 about them
SOLAR_RADIUS = 6.957e8  # m
ORBIT_GAP, ORBIT_RAMP = 0.5, 0.1  # h: of Hubble's orbits, and how long the light rises in them
RAMP_H = 2 / 3  # of the challenge of 2021: what is left of half the light is under the noise
# Kreidberg et al. 2014 (ApJL 793, L27), and their star; the file itself has none
WASP_43 = {"P": 0.81347436, "a": 4.872, "inc": 82.1, "rp": 0.1595, "Teff": 4520}
# Ariel's bands at the resolution of its second tier: what 55 channels with these noises are
ADC_2021 = np.concatenate(
    [[0.55, 0.7, 0.95], np.geomspace(1.15, 1.87, 6), np.geomspace(1.97, 3.86, 35), np.geomspace(4.03, 7.55, 11)]
)


@dataclass
class Curves:
    """One set: ``time`` (T,) [h]; ``flux``, ``flux_err`` (T, C); ``wavelength`` (C,) [um]; ``star`` P [d], sma [R*],
    i [deg], Ts [K]; ``depth`` (C,) or (1,) published or true, and ``depth_err``, NaN where there is none.
    """

    name: str
    time: Array
    flux: Array
    flux_err: Array
    wavelength: Array
    star: dict[str, float]
    depth: Array
    depth_err: float

    def after(self, hours: float) -> Curves:
        """The set without its first hours."""
        late = self.time - self.time[0] >= hours
        cut = {"time": self.time[late], "flux": self.flux[late], "flux_err": self.flux_err[late]}
        return replace(self, name=f"{self.name}, after {60 * hours:.0f} min", **cut)

    @property
    def width(self) -> float:
        return float(np.median(np.diff(self.time)))

    def observation(self, flux: Array) -> Observation:
        """The set, or other flux (T, C) with its times and errors."""
        return Observation.of(self.name, self.time, flux, self.flux_err, self.wavelength, instrument=self.name)

    @property
    def orbit(self) -> Orbit:
        """As others have published it."""
        return Orbit(self.star["P"], self.star["sma"], self.star["i"], teff=self.star["Ts"])


# --- files ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> Curves:
    """A set in any of the three forms that the folder has."""
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    if "rp" in data:
        return _read_adc(path.stem, data)
    published = WASP_43 if "phase" in data else json.loads(str(data["published"]))
    star = {"P": published["P"], "sma": published["a"], "i": published["inc"], "Ts": published["Teff"]}
    depth = published.get("depth", published.get("rp", np.nan) ** 2)
    if "phase" in data:
        time, flux, flux_err = (data["bjdtdb"] - data["bjdtdb"][0]) * 24, data["flux"], data["fluxerr"]
        curves = (time, flux[:, None], flux_err[:, None], np.array([1.4]))
    else:
        curves = (data["time_h"], data["flux"], data["flux_err"], data["wavelength"])
    return Curves(path.stem, *curves, star, np.array([depth]), published.get("depth_err", np.nan))


def _read_adc(name: str, data: dict[str, Any]) -> Curves:
    """A simulated set of the challenge of 2021, one minute a bin; errors are what neighbouring points differ by."""
    header, flux = {key: float(value) for key, value in json.loads(str(data["header"])).items()}, data["flux"]
    sma = header["sma"] / (header["star_rad"] * SOLAR_RADIUS)
    star = {"P": header["period"], "sma": sma, "i": header["incl"], "Ts": header["star_temp"]}
    scatter = 1.4826 * np.median(np.abs(np.diff(flux, n=2, axis=0)), axis=0) / np.sqrt(6)
    time = (np.arange(len(flux)) + 0.5) / 60
    return Curves(name, time, flux, np.broadcast_to(scatter, flux.shape).copy(), ADC_2021, star, data["rp"] ** 2, 0.0)


# --- batman --------------------------------------------------------------------------------------------------------


@dataclass
class BatmanFit:
    """Least squares of all channels: the white curve's shape and mid-time, then each channel's depth with it.

    ``shape`` t0 [h], b, a; ``depth``, ``depth_err`` (C,); ``limb`` (C, 2); ``model`` (T, C) with its baseline;
    ``white`` depth and its error.
    """

    shape: Array
    depth: Array
    depth_err: Array
    limb: Array
    model: Array
    white: tuple[float, float]


def fit_batman(curves: Curves) -> BatmanFit:
    """White curve first, then every channel by itself with that shape."""
    transit = BatmanTransit(curves.time, curves.width, curves.star["P"])
    level = np.median(curves.flux, axis=0)
    y = curves.flux / level
    table = np.stack([np.interp(curves.wavelength, LIMB[:, 0], column) for column in LIMB.T[1:]], 1)
    u = table[:, :2] + np.clip((curves.star["Ts"] - 5500) / 1000, -2, 2) * table[:, 2:]
    # errors of other pipelines can be far off: channels count by what neighbouring points differ by
    weight = 1 / np.median(np.abs(np.diff(y, n=2, axis=0)), axis=0) ** 2
    white, u_white = np.average(y, axis=1, weights=weight), np.average(u, axis=0, weights=weight)
    shape_prior = (curves.star["sma"] * np.cos(np.radians(curves.star["i"])), np.log(curves.star["sma"]))
    start = _search(transit, curves.time, white, shape_prior, u_white)
    found, error, _ = _descend(transit, curves.time, white, u_white, start, shape_prior)
    t0, b, a = found[0], abs(found[1]), float(np.exp(found[2]))
    fits = [_descend(transit, curves.time, y[:, c], u[c], found, None) for c in range(y.shape[1])]
    depth, depth_err = (np.array([fit[part][3] for fit in fits]) for part in (0, 1))
    model = np.stack([fit[2] for fit in fits], 1) * level
    limb = np.array([fit[0][4:6] for fit in fits])
    return BatmanFit(np.array([t0, b, a]), depth, depth_err, limb, model, (float(found[3]), float(error[3])))


def _baseline(time: Array) -> Array:
    """1, x, x^2 over the window (3, T); where orbits part it also a ramp in each, one in the first alone, and turns."""
    x = 2 * (time - time[0]) / (time[-1] - time[0]) - 1
    columns = [np.ones_like(x), x, x**2]
    starts = np.flatnonzero(np.r_[True, np.diff(time) > ORBIT_GAP])
    if len(starts) > 1:
        orbit = np.searchsorted(starts, np.arange(len(time)), side="right") - 1
        ramp = np.exp(-(time - time[starts][orbit]) / ORBIT_RAMP)
        columns += [ramp, ramp * (orbit == 0), np.where((np.arange(len(time)) - starts[orbit]) % 2, 1.0, -1.0)]
    return np.stack(columns)


def _search(transit: BatmanTransit, time: Array, y: Array, prior: tuple[float, float], u: Array) -> Array:
    """Start of the descent: the mid-time with the smallest sum of squares, depth and baseline linear."""
    best = (np.inf, np.zeros(0))
    for t0 in np.linspace(time[0], time[-1], 100):
        dip = transit(t0, prior[0], float(np.exp(prior[1])), 0.1, u) - 1
        if np.ptp(dip) == 0:
            continue
        design = np.concatenate([dip[None], _baseline(time)]).T
        solution = np.linalg.lstsq(design, y, rcond=None)[0]
        cost = float(((y - design @ solution) ** 2).sum())
        if solution[0] > 0 and cost < best[0]:
            best = (cost, np.array([t0, *prior, 0.01 * solution[0], *u, *solution[1:]]))
    return best[1]


def _descend(
    transit: BatmanTransit, time: Array, y: Array, u: Array, start: Array, prior: tuple[float, float] | None
) -> tuple[Array, Array, Array]:
    """Parameters t0, b, ln a, depth, u1, u2, baseline; their errors, from the residuals' scatter; the model (T,).

    Without a prior on b and ln a the shape and mid-time stay as they are. A negative depth is a transit upside down.
    """
    first, basis = 0 if prior else 3, _baseline(time)

    def model(x: Array) -> Array:
        full = np.concatenate([start[:first], x])
        dip = transit(full[0], abs(full[1]), float(np.exp(full[2])), float(np.sqrt(abs(full[3]))), full[4:6]) - 1
        return (1 + np.sign(full[3]) * dip) * (full[6:] @ basis)

    def residual(x: Array, sigma: float) -> Array:
        limb = (x[4 - first : 6 - first] - u) / LIMB_SIGMA
        shape = (x[1:3] - np.array(prior)) / TABLE_SIGMA if prior else np.zeros(0)
        return np.concatenate([(y - model(x)) / sigma, limb, shape])

    x, sigma = start[first:], float(np.std(y - model(start[first:])))
    for _ in range(3):
        solution = least_squares(residual, x, x_scale="jac", args=(sigma,))
        x, sigma = solution.x, float(np.sqrt(((y - model(solution.x)) ** 2).sum() / (len(y) - len(x))))
    error = np.sqrt(np.diag(np.linalg.pinv(solution.jac.T @ solution.jac)))
    return np.concatenate([start[:first], x]), np.concatenate([np.zeros(first), error]), model(x)


# --- comparisons ---------------------------------------------------------------------------------------------------


def mean_depth(depth: Array, covariance: Array, weight: Array) -> tuple[float, float]:
    """Weighted mean over channels and its error."""
    share = weight / weight.sum()
    return float(share @ depth), float(np.sqrt(share @ covariance @ share))


def spread(z: Array) -> dict[str, float]:
    """Mean and spread of z, and how many 90 % intervals hold the truth."""
    return {"n": z.size, "mean": float(z.mean()), "spread": float(z.std()), "in_90": float((np.abs(z) < 1.645).mean())}


def fit_set(curves: Curves, flux: Array) -> ClassicalFit | str:
    """This project's fit of flux (T, C), or the error that it ends with."""
    try:
        return fit_visit(curves.observation(flux), curves.orbit).fit
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def compare(curves: Curves, judge: BatmanFit) -> dict[str, Any]:
    """The fit of a set beside batman's and what is published."""
    weight, many = judge.depth_err**-2, len(judge.depth) > 1
    published = float(weight @ np.broadcast_to(curves.depth, weight.shape) / weight.sum())
    found: dict[str, Any] = {
        "channels": len(judge.depth),
        "bins": len(curves.time),
        "batman": mean_depth(judge.depth, np.diag(judge.depth_err**2), weight) if many else judge.white,
        "batman_sigma": float(np.median(judge.depth_err)),
        "published": (published, curves.depth_err),
    }
    mine = fit_set(curves, curves.flux)
    if isinstance(mine, str):
        return {**found, "status": "error", "note": mine}
    found |= {"status": mine.status[0], "note": mine.notes[0]}
    if mine.status[0] not in FITTED:
        return found
    depth = mine.depth[0].numpy()
    found |= {
        "fit": mean_depth(depth, mine.covariance[0].numpy(), weight),
        "fit_sigma": float(np.median(mine.depth_err[0])),
    }
    if many:
        found["z_from_batman"] = spread((depth - judge.depth) / mine.depth_err[0].numpy())
    if many and len(curves.depth) > 1:
        found["z_from_truth"] = spread((depth - curves.depth) / mine.depth_err[0].numpy())
    return found


def inject(curves: Curves, judge: BatmanFit, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Fits of transits of known depth, up to 20 minutes away, under the set's own residuals, shifted in a circle.

    A hook stays in them and where it is, with its orbit.
    """
    transit = BatmanTransit(curves.time, curves.width, curves.star["P"])
    noise, level = curves.flux / judge.model - 1, np.median(curves.flux, axis=0)
    (t0, b, a), size = judge.shape, noise.std(0)
    depth = judge.white[0] * (1 + 0.02 * np.sin(np.arange(len(level)) / 3))

    def transits(middle: float, depth: Array = depth) -> Array:
        return np.stack([transit(middle, b, a, k, u) for k, u in zip(np.sqrt(depth), judge.limb, strict=True)], 1)

    fitted_curves = np.concatenate([transits(t0).mean(1)[None] - 1, _baseline(curves.time)]).T
    basis = np.linalg.qr(fitted_curves)[0]
    stays, fits = has_orbits(curves.observation(curves.flux)), []
    if stays:
        noise = curves.flux / level / transits(t0, judge.depth) - 1
    for _ in range(draws):
        taken = basis @ (size * rng.standard_normal((basis.shape[1], len(level))))
        shifted = np.roll(noise + taken, 0 if stays else rng.integers(len(noise)), axis=0)
        flux = level * transits(t0 + rng.uniform(-1 / 3, 1 / 3)) * (1 + shifted)
        one = fit_set(curves, flux)
        if isinstance(one, str):
            return {"statuses": {"error": draws}, "notes": [one]}
        fits.append(without_curves(one))
    found = concatenate(fits)
    fitted = [row for row, status in enumerate(found.status) if status in FITTED]
    answer: dict[str, Any] = {"statuses": dict(Counter(found.status)), "notes": sorted(set(found.notes) - {""})}
    if fitted:
        error, weight = found.depth.numpy()[fitted] - depth, judge.depth_err**-2
        means = [mean_depth(e, found.covariance[row].numpy(), weight) for e, row in zip(error, fitted, strict=True)]
        answer["z"] = spread(error / found.depth_err.numpy()[fitted])
        answer["z_mean_depth"] = spread(np.array([e / sigma for e, sigma in means]))
        answer["sigma"] = float(np.median(found.depth_err.numpy()[fitted]))
    return answer


def together(sets: list[Curves]) -> dict[str, Any]:
    """Depths of WASP-107 b's white curves fitted together, beside those of each instrument alone and published ones."""
    own = [curves for curves in sets if curves.name.startswith("w107")]
    if not own:
        return {}
    found = fit_observations([curves.observation(curves.flux) for curves in own], own[0].orbit)
    alone = [fit_observations(curves.observation(curves.flux), curves.orbit) for curves in own]
    rows = {}
    for place, (curves, one) in enumerate(zip(own, alone, strict=True)):
        both = [
            (float(fit.spectrum.depth[at]), float(fit.spectrum.depth_err[at])) for fit, at in ((one, 0), (found, place))
        ]
        rows[curves.name] = {
            "alone": both[0],
            "together": both[1],
            "published": (float(curves.depth[0]), curves.depth_err),
        }
    return {"status": found.status, "note": found.notes, "sets": rows}


# --- tables --------------------------------------------------------------------------------------------------------


def _ppm(value: tuple[float, float] | None) -> str:
    if value is None or np.isnan(value[0]):
        return "–"
    depth, error = 1e6 * np.asarray(value)
    return f"{depth:.0f} ± {error:.0f}" if error > 0 else f"{depth:.0f}"


def _z(value: dict[str, float] | None) -> str:
    return f"{value['mean']:+.2f}, {value['spread']:.2f}" if value and value["n"] > 1 else "–"


def tables(results: dict[str, dict[str, Any]]) -> str:
    """A row a set in Markdown, and the notes of their fits."""
    lines = [
        "| set | channels × bins | status | depth, ppm | batman | published | injected | z: mean, spread | in 90 % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        depths = " | ".join(_ppm(r.get(key)) for key in ("fit", "batman", "published"))
        i = r["injected"]
        counts = ", ".join(f"{count} {status}" for status, count in sorted(i["statuses"].items()))
        numbers = f"{_z(i['z'])} | {100 * i['z']['in_90']:.0f} %" if "z" in i else "– | –"
        lines.append(f"| {name} | {r['channels']} × {r['bins']} | {r['status']} | {depths} | {counts} | {numbers} |")
    notes = [f"- {name}: {r['note']}" for name, r in results.items() if r["note"]]
    return "\n".join([*lines, "", *notes])


def joint_table(found: dict[str, Any]) -> str:
    """A row an instrument in Markdown."""
    lines = ["| WASP-107 b | alone, ppm | together | published |", "|---|---|---|---|"]
    for name, row in found["sets"].items():
        lines.append(f"| {name} | {' | '.join(_ppm(row[key]) for key in ('alone', 'together', 'published'))} |")
    return "\n".join(lines)


def main(
    real: Annotated[Path, typer.Argument(help="Folder of real samples.")] = ROOT.parent / "shared" / "real",
    draws: Annotated[int, typer.Option(min=1, help="Injections of a set of one channel; a quarter of others.")] = 48,
    out: Annotated[Path, typer.Option(help="Folder of the tables.")] = ROOT / "bench" / "out",
) -> None:
    """Fit the curves of other telescopes and compare.

    Example: python bench/instruments.py ../shared/real --draws 16
    """
    sets = [read(path) for path in sorted((real / "instruments").glob("*.npz"))]
    sets += [curves.after(RAMP_H) for curves in sets if curves.name.startswith("adc2021")]
    if not sets:
        typer.echo(f"Nothing to fit: the curves of other telescopes, which are not shipped, are not at {real}.")
        return
    torch.set_num_threads(1)
    results = {}
    with torch.no_grad():
        for curves in tqdm(sorted(sets, key=lambda curves: curves.name), unit="set"):
            judge = fit_batman(curves)
            results[curves.name] = compare(curves, judge)
            number = draws if curves.flux.shape[1] == 1 else max(draws // 4, 1)
            results[curves.name]["injected"] = inject(curves, judge, number, np.random.default_rng(0))
    out.mkdir(parents=True, exist_ok=True)
    text, both = tables(results), together(sets)
    if both:
        text = f"{text}\n\n{joint_table(both)}"
    (out / "instruments.md").write_text(text + "\n")
    (out / "instruments.json").write_text(json.dumps({"sets": results, "together": both}, indent=1) + "\n")
    typer.echo(text)


if __name__ == "__main__":
    run_script(main)
