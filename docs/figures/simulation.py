"""Draw the figures of docs/simulation.md: simulated against real, from the real samples.

python docs/figures/simulation.py ../shared/real docs/figures
"""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq

from hf_dataset.simulation import detector, light_curves, planets, statistics, telescope

REAL, OURS = "#1f5fa8", "#d9702b"
plt.rcParams.update({"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True, "figure.dpi": 90})


def labels(real: Path) -> np.ndarray:
    """Real label spectra: (planet, channel)."""
    with (real / "challenge_2024" / "train_labels.csv").open() as file:
        return np.array([[float(x) for x in row[1:]] for row in list(csv.reader(file))[1:]])


def population(real: Path, out: Path) -> None:
    """Depths, feature sizes, principal components and examples of spectra."""
    theirs, ours = labels(real), planets.spectra(4000, 0, "2024")
    a, b = statistics.summarise_spectra(theirs), statistics.summarise_spectra(ours)
    wl = planets.wavelengths_um("2024")[1:]
    figure, axes = plt.subplots(3, 4, figsize=(15, 9.5), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    for axis, values, name in (
        (axes[0, 0], lambda s: np.log10(s.mean(axis=1)), "log10 mean depth"),
        (axes[0, 1], lambda s: np.log10(np.ptp(s[:, 1:], axis=1) * 1e6), "log10 feature, peak to peak [ppm]"),
        (axes[0, 2], lambda s: np.log10((s[:, 1:].mean(1) - s[:, 0]).clip(1e-7) * 1e6), "log10 AIRS − FGS1 [ppm]"),
    ):
        bins = np.histogram_bin_edges(values(theirs), 30)
        axis.hist(values(theirs), bins, density=True, color=REAL, alpha=0.45, label="466 real labels")
        axis.hist(values(ours), bins, density=True, histtype="step", color=OURS, lw=1.8, label="4,000 simulated")
        axis.set_xlabel(name)
        axis.set_ylabel("density")
    axes[0, 0].margins(y=0.3)  # room for the legend
    axes[0, 0].legend()
    axes[0, 3].semilogy(np.arange(1, 13), a.variance, "o-", color=REAL, label="real")
    axes[0, 3].semilogy(np.arange(1, 13), b.variance, "s--", color=OURS, label="simulated")
    axes[0, 3].set_xlabel("principal component: share of variance")
    axes[0, 3].legend()
    for k in range(4):
        sign = np.sign(a.components[k] @ b.components[k])
        axes[1, k].plot(wl, a.components[k, 1:], color=REAL, label="real")
        axes[1, k].plot(wl, sign * b.components[k, 1:], color=OURS, label="simulated")
        axes[1, k].set_title(f"component {k + 1}: overlap {abs(a.components[k] @ b.components[k]):.2f}", fontsize=9)
    rng = np.random.default_rng(3)
    for axis, spectra, color, name in ((axes[2, 0], theirs, REAL, "real"), (axes[2, 1], ours, OURS, "simulated")):
        for i, j in enumerate(rng.choice(len(spectra), 8, replace=False)):
            shape = spectra[j, 1:] - spectra[j, 1:].mean()
            axis.plot(wl, shape / shape.std() + 5 * i, color=color, lw=0.9)
        axis.set_title(f"eight {name} spectra, scaled", fontsize=9)
    own, by_ours = (statistics.explained(s.components, theirs) for s in (a, b))
    axes[2, 2].semilogy(np.arange(1, 13), 1 - own, "o-", color=REAL, label="their own components")
    axes[2, 2].semilogy(np.arange(1, 13), 1 - by_ours, "s--", color=OURS, label="simulated components")
    axes[2, 2].set_xlabel("components used: real variance left")
    axes[2, 2].legend()
    axes[2, 3].plot(wl, a.mean[1:], color=REAL, label="real")
    axes[2, 3].plot(wl, b.mean[1:], color=OURS, label="simulated")
    axes[2, 3].set_title("mean shape", fontsize=9)
    for axis in (*axes[1], axes[2, 0], axes[2, 1], axes[2, 3]):
        axis.set_xlabel("wavelength [µm]")
    for axis in (axes[1, 0], axes[2, 3]):
        axis.legend()
    figure.savefig(out / "simulation_spectra.png")
    np.set_printoptions(precision=4, suppress=True)
    for name in ("depth", "feature_ppm", "fgs1_offset_ppm", "variance"):
        print(name, "\n  real     ", getattr(a, name), "\n  simulated", getattr(b, name))
    print("overlaps of components 1-4:", [abs(a.components[k] @ b.components[k]) for k in range(4)])
    print("real variance left by 6 and 12: own", 1 - own[[5, 11]], "simulated", 1 - by_ours[[5, 11]])
    print("correlation of mean shapes:", np.corrcoef(a.mean, b.mean)[0, 1])


def matched_planet(real: Path) -> tuple[np.ndarray, planets.Planet, light_curves.LightCurveSettings]:
    """The real planet 1103775's flux and a simulated one on its orbit, as bright, summed over as many rows."""
    flux = np.load(real / "light_curves" / "planet_1103775_2025.npz")["flux"].astype(float)[:, np.r_[0, 36:318]]
    with (real / "challenge_2025" / "test_star_info.csv").open() as file:
        star = {k: float(v) for k, v in next(csv.DictReader(file)).items() if k not in ("planet_id", "e")}
    planet = planets.planet_from_spectrum(np.full(283, 0.0166), 1, "2025")
    planet = replace(planet, **star, t0=4.22, brightness=1.0)
    noise = light_curves.NoiseModel(airs_half_width=7.5, fgs1_radius=9.0)
    ratio = np.median(flux[:, 1:].sum(axis=1)) / light_curves.star_flux(planet, noise)[0][1:].sum()
    return flux, replace(planet, brightness=float(ratio)), light_curves.LightCurveSettings(noise=noise)


def light_curves(real: Path, out: Path) -> None:
    """Noise per channel and spectrum against planet 1103775; drift and scatter against the 466 white curves."""
    flux, planet, settings = matched_planet(real)
    row = light_curves.simulate_row(planet, seed=3, settings=settings)
    wl = planets.wavelengths_um("2025")
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.4), layout="constrained")
    level = np.median(row["flux"], axis=0)
    axes[0, 0].plot(wl[1:], np.median(flux, axis=0)[1:], color=REAL, label="planet 1103775")
    axes[0, 0].plot(wl[1:], level[1:], color=OURS, ls="--", label="simulated")
    axes[0, 0].set(title="stellar spectrum [e-/exposure]", xlabel="wavelength [µm]")
    axes[0, 0].legend()
    noise = [statistics.scatter(f / np.median(f, axis=0)) * 1e6 for f in (flux, row["flux"].astype(float))]
    axes[0, 1].semilogy(wl[1:], noise[0][1:], ".", ms=3, color=REAL)
    axes[0, 1].semilogy(wl[1:], noise[1][1:], color=OURS, lw=0.8)
    axes[0, 1].set(title="noise of a channel in 72 s [ppm]", xlabel="wavelength [µm]")
    for offset, curve, color, name in ((0, flux, REAL, "planet 1103775"), (0.004, row["flux"], OURS, "simulated")):
        white = np.median(curve[:, 1:] / np.median(curve[:, 1:], axis=0), axis=1)
        shifted = f"{name}, raised by {offset}" if offset else name
        axes[0, 2].plot(row["time"], white + offset, ".", ms=2, color=color, label=shifted)
    axes[0, 2].set(title="AIRS light curve, median of channels", xlabel="time [h]", ylabel="relative flux")
    axes[0, 2].margins(y=0.25)
    axes[0, 2].legend(fontsize=7, loc="lower left", markerscale=4)
    out_real, out_ours = np.abs(np.arange(375) - 211) > 60, np.abs(np.arange(375) - 211) > 115
    shared = statistics.common_noise(flux[:, 1:], out_real, np.random.default_rng(0))
    many = [
        statistics.common_noise(
            light_curves.simulate_row(planet, seed=s, settings=settings)["flux"][:, 1:].astype(float),
            out_ours,
            np.random.default_rng(0),
            40,
        )
        for s in range(16)
    ]
    axes[0, 3].hist(np.array(many)[:, 1] * 1e6, 8, color=OURS, alpha=0.6, label="white noise, 16 simulated")
    axes[0, 3].axvline(shared[1] * 1e6, color=REAL, label="real white noise")
    axes[0, 3].hist(np.array(many)[:, 0] * 1e6, 8, color=OURS, alpha=0.25, label="of which shared, simulated")
    axes[0, 3].axvline(shared[0] * 1e6, color=REAL, ls="--", label="of which shared, real")
    axes[0, 3].set(title="white noise of a visit", xlabel="ppm in 72 s", ylabel="simulated visits")
    axes[0, 3].set_ylim(0, 7.5)
    axes[0, 3].legend(fontsize=7, loc="upper left")
    print("noise real/simulated: median", np.median(noise[0][1:] / noise[1][1:]), "FGS1", noise[0][0], noise[1][0])
    print("common, white: real", np.array(shared) * 1e6, "simulated", np.median(many, axis=0) * 1e6)
    _white_curves(real, axes[1])
    figure.savefig(out / "simulation_light_curves.png")


def _white_curves(real: Path, axes: np.ndarray) -> None:
    curves = np.load(real / "light_curves" / "airs_white_2024.npz")
    good = np.flatnonzero(np.isfinite(curves["flux"]).all(axis=1))
    theirs = [statistics.white_drift(curves["flux"][j].astype(float), curves["bounds"][j]) for j in good]
    ours = [_simulated_drift(p) for p in planets.sample_planets(300, 5, "2024")]
    for k in range(3):
        values = [np.array([m[0][k] for m in group]) * 1e6 for group in (theirs, ours)]
        bins = np.linspace(*np.quantile(values[0], [0.005, 0.995]), 30)
        axes[k].hist(values[0], bins, density=True, color=REAL, alpha=0.45, label="466 real white curves")
        axes[k].hist(values[1], bins, density=True, histtype="step", lw=1.8, color=OURS, label="300 simulated")
        axes[k].set(xlabel=f"drift, Legendre order {k + 1} [ppm]", ylabel="density [1/ppm]")
        print(f"drift order {k + 1}: real {values[0].std():.0f} simulated {values[1].std():.0f} ppm")
    axes[0].margins(y=0.25)
    axes[0].legend(fontsize=7)
    noise = [np.array([m[1] for m in group]) * 1e6 for group in (theirs, ours)]
    bins = np.linspace(40, 110, 36)
    axes[3].hist(noise[0], bins, density=True, color=REAL, alpha=0.45)
    axes[3].hist(noise[1], bins, density=True, histtype="step", lw=1.8, color=OURS)
    axes[3].set(xlabel="white scatter in 144 s [ppm], both stars", ylabel="density [1/ppm]")
    print(
        "white scatter: real",
        np.quantile(noise[0], [0.25, 0.5, 0.75]),
        "simulated",
        np.quantile(noise[1], [0.25, 0.5, 0.75]),
    )


def _simulated_drift(planet: planets.Planet) -> tuple[np.ndarray, float]:
    white = light_curves.simulate_row(planet, n_bins=187, seed=1)["flux"][:, 1:].astype(float).sum(axis=1)
    per_h = 187 / planets.WINDOW_H
    first, last = ((planet.t0 + s * planet.duration / 2) * per_h for s in (-1, 1))
    ingress = 1.2 * planet.duration * per_h * planet.k / (1 + planet.k)
    return statistics.white_drift(white / np.median(white), (first, first + ingress, last - ingress, last))


def frames(real: Path, out: Path) -> None:
    """One exposure's frame, profiles and pixel noise against planet 342072318."""
    settings = detector.DetectorSettings()
    scenes = {
        "AIRS-CH0": detector.airs_scene(telescope.airs_column_flux(4797.6, 1.0), settings),
        "FGS1": detector.fgs1_scene(telescope.fgs1_flux(4797.6, 1.0), settings),
    }
    figure, axes = plt.subplots(2, 4, figsize=(15, 6), layout="constrained", width_ratios=[1.6, 1.6, 1, 1])
    for line, (name, scene) in zip(axes, scenes.items(), strict=True):
        shape = detector.SHAPES[name]
        counts = (
            pq.read_table(real / "challenge_2025" / "train" / "342072318" / f"{name}_signal_0.parquet")
            .column(0)
            .to_numpy()
            .astype(float)
            .reshape(50, *shape)
        )
        cds = np.diff((counts / 0.4369 - 1000).reshape(25, 2, *shape), axis=1)[:, 0]
        rng = np.random.default_rng(0)
        maps = detector.draw_detector(rng, shape, settings)
        shifts = settings.pointing.draw(rng, 25, 0.001, name)
        gain = np.ones((25, shape[1] if name == "AIRS-CH0" else 1))
        ours = np.concatenate(list(detector.read_out(rng, scene, maps, gain, shifts, (0.4369, -1000.0), settings)))
        ours = np.diff((ours / 0.4369 - 1000).reshape(25, 2, *shape), axis=1)[:, 0]
        for axis, image, title in ((line[0], cds, "real"), (line[1], ours, "simulated")):
            axis.imshow(np.log10(image.mean(axis=0).clip(1)), origin="lower", aspect="auto", vmin=0.5, vmax=4.7)
            axis.set_title(f"{name}, {title}: log10 e-, mean of 25 exposures", fontsize=9)
            axis.set(xlabel="column [px]", ylabel="row [px]")
            axis.grid(False)
        for image, color, label in ((cds, REAL, "real"), (ours, OURS, "simulated")):
            mean, variance = image.mean(axis=0), image.var(axis=0)
            line[2].semilogy(mean.sum(axis=1).clip(1), color=color, label=label)
            line[3].loglog(mean.ravel().clip(0.3), variance.ravel(), ".", ms=1.5, color=color, label=label)
        line[2].set_title("light per row", fontsize=9)
        line[2].set(xlabel="row [px]", ylabel="light [e-]")
        line[3].set_title("noise of a pixel against its light", fontsize=9)
        line[3].set(xlabel="mean [e-]", ylabel="variance [e-²]")
        line[2].legend(fontsize=7)
        line[3].legend(fontsize=7, markerscale=6)
    figure.savefig(out / "simulation_frames.png")


if __name__ == "__main__":
    for draw in (population, light_curves, frames):
        draw(Path(sys.argv[1]), Path(sys.argv[2]))
