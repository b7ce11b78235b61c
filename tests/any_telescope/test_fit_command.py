"""`ariel fit`: from files to tables that astropy and NumPy read, and a page; in words where it cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("batman")
pytest.importorskip("astropy")
pytest.importorskip("plotly")
from astropy import units
from astropy.table import QTable
from telescope_visits import DAY0, ORBIT, PERIOD, T0, Visit

from ariel_scripts.cli import app

LATE = 0.1  # h, of the second visit


def ariel_fit(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["fit", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fit of two visits together."""
    folder = tmp_path_factory.mktemp("fit")
    files = [Visit().write(folder), Visit(3, LATE).write(folder)]
    code, said = ariel_fit(*files, "--out", folder / "out", *ORBIT, "--systematics", "polynomial(1)")
    assert code == 0, said
    return folder / "out"


def test_the_spectrum_comes_back_from_astropy_with_units_truth_and_where_it_is_from(fitted: Path) -> None:
    table = QTable.read(fitted / "spectrum.ecsv")
    truth = Visit()
    assert table.colnames == ["instrument", "wavelength", "half_width", "depth", "depth_err", "visits", "status"]
    assert table["wavelength"].unit == table["half_width"].unit == units.um
    np.testing.assert_allclose(table["wavelength"].value, truth.observation().wavelength)
    assert np.abs((table["depth"] - truth.depth) / table["depth_err"]).max() < 4
    assert set(table["instrument"]) == {"HST WFC3"}
    assert (set(table["visits"]), set(table["status"])) == ({2}, {"ok"})
    assert table.meta["orbit"]["period"] == PERIOD
    assert [visit["systematics"][0]["terms"] for visit in table.meta["visits"]] == ["polynomial(1)"] * 2
    assert table.meta["visits"][0]["systematics"][0]["prior_ppm"] == "polynomial(1): 10000"
    assert "numpy" in table.meta["versions"]


def test_the_covariance_beside_it_is_the_spectrum_s(fitted: Path) -> None:
    table, covariance = QTable.read(fitted / "spectrum.ecsv"), np.load(fitted / "spectrum_covariance.npy")
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), table["depth_err"].value, rtol=1e-12)
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_mid_times_are_those_put_in(fitted: Path) -> None:
    table = QTable.read(fitted / "times.ecsv")
    assert list(table["epoch"]) == [0, 3]
    due = T0 + PERIOD * table["epoch"]
    error = table["mid_time_err"].to(units.day).value
    assert np.abs((table["mid_time"].value - due - np.array([0, LATE]) / 24) / error).max() < 4
    late = table["o_minus_c"].to(units.day).value
    np.testing.assert_allclose(late, table["mid_time"].value - due, atol=1e-7)


def test_light_curves_are_their_model_and_residual(fitted: Path) -> None:
    with np.load(fitted / "light_curves.npz") as file:
        first = {name.removeprefix("visit1_"): file[name] for name in file.files if name.startswith("visit1_")}
        assert "visit2_flux" in file.files
    observation = Visit().observation()
    assert first["flux"].shape == observation.shape
    np.testing.assert_allclose(first["flux"], first["model"] + first["residual"], atol=1e-6)
    np.testing.assert_allclose(first["time_bjd"], DAY0 + observation.time / 24)
    before = observation.time < 1.0
    np.testing.assert_allclose((first["model"] / first["systematics"])[before], 1.0, atol=1e-6)
    assert first["residual"].std() == pytest.approx(8e-4, rel=0.1)
    white = QTable.read(fitted / "white_light_curves.ecsv")
    assert len(white) == 2 * len(observation.time)
    assert np.std(white["residual"].value) == pytest.approx(4e-4, rel=0.2)
    assert np.median(white["flux_err"].value) == pytest.approx(4e-4, rel=0.2)


def test_the_page_says_first_how_it_ended_and_asks_for_nothing(fitted: Path) -> None:
    text = (fitted / "index.html").read_text()
    about = re.search(r'<p class="about">(.*?)</p>', text)
    assert about is not None
    assert about[1].startswith("The error bars can be believed (ok). White transit depth 1")
    assert "polynomial(1), as chosen" in about[1]
    sections = re.findall(r'<section id="(\w+)"', text)
    assert sections == ["spectrum", "curves", "noise", "orbit", "times", "systematics", "limb", "visits"]
    assert not re.search(r'(src|href)="(https?:)?//', re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert "<script src" not in text
    assert len(text) < 8e6


def test_the_record_says_what_was_fitted_and_how_it_ended(fitted: Path) -> None:
    record = json.loads((fitted / "run.json").read_text())
    assert record["status"] == "done"
    assert record["config"]["period"] == PERIOD
    assert record["metrics"]["visits"] == {"visit 0": "ok", "visit 3": "ok"}
    white = record["metrics"]["white_depths"][0]
    assert abs(white["depth"] - Visit().depth.mean()) < 4 * white["error"]
    assert {"read", "fit", "tables", "page"} <= record["durations"].keys()


def test_each_visit_may_have_depths_of_its_own(tmp_path: Path) -> None:
    files = [
        Visit(depth=np.array([0.014]), noise=3e-4).write(tmp_path),
        Visit(2, depth=np.array([0.015])).write(tmp_path),
    ]
    code, said = ariel_fit(
        *files, "--out", tmp_path / "out", "--each", "--white", *ORBIT, "--systematics", "polynomial(1)"
    )
    assert code == 0, said
    table = QTable.read(tmp_path / "out/spectrum.ecsv")
    assert list(table["instrument"]) == ["HST WFC3, visit 0", "HST WFC3, visit 2"]
    assert list(table["visits"]) == [1, 1]
    assert np.abs((table["depth"] - np.array([0.014, 0.015])) / table["depth_err"]).max() < 4


def test_auto_says_what_it_compared_and_took(tmp_path: Path) -> None:
    path = Visit(times=60).write(tmp_path)
    code, said = ariel_fit(path, "--out", tmp_path / "out", *ORBIT, "--prior", "x=300", "--limb-darkening", "0.15,0.2")
    assert code == 0, said
    table = QTable.read(tmp_path / "out/systematics.ecsv")
    assert {"polynomial(1)", "polynomial(1) + x", "polynomial(1) + ramp"} <= set(table["systematics"])
    assert table["share"].sum() == pytest.approx(1)
    assert "x: 300" in "".join(table["prior_ppm"])
    assert table["systematics"][0] in (tmp_path / "out/index.html").read_text()


def test_without_a_transit_there_is_a_page_a_reason_and_no_depth(tmp_path: Path) -> None:
    path = Visit(transit=False).write(tmp_path)
    code, said = ariel_fit(path, "--out", tmp_path / "out", *ORBIT, "--systematics", "polynomial(1)")
    assert code == 0, said
    assert "No transit is found (no_transit): there is no depth." in said
    table = QTable.read(tmp_path / "out/spectrum.ecsv")
    assert np.isnan(table["depth"]).all()
    assert np.isnan(np.load(tmp_path / "out/spectrum_covariance.npy")).all()
    assert table.meta["status"] == "no_transit"
    assert table.meta["notes"]
    assert np.isnan(QTable.read(tmp_path / "out/times.ecsv")["mid_time"]).all()
    text = (tmp_path / "out/index.html").read_text()
    assert re.findall(r'<section id="(\w+)"', text) == ["visits", "curves"]
    assert table.meta["notes"].split(";")[0][:40] in text


def test_a_visit_without_a_transit_beside_others_is_left_out_and_seen(tmp_path: Path) -> None:
    files = [Visit().write(tmp_path), Visit(1, transit=False).write(tmp_path)]
    chosen = ["--systematics", "polynomial(1)", "--white", *ORBIT]
    code, said = ariel_fit(*files, "--out", tmp_path / "out", *chosen)
    assert code == 0, said
    table = QTable.read(tmp_path / "out/spectrum.ecsv")
    assert set(table["visits"]) == {1}
    assert [visit["status"] for visit in table.meta["visits"]] == ["ok", "no_transit"]
    assert list(QTable.read(tmp_path / "out/times.ecsv")["visit"]) == ["visit 0"]
    assert "no_transit" in (tmp_path / "out/index.html").read_text()


def test_a_long_white_light_curve_is_cut_to_its_transits(tmp_path: Path) -> None:
    short = Visit(depth=np.array([0.014]), noise=4e-4, instrument="TESS")
    parts = [replace(short, number=number).observation() for number in range(3)]
    time = np.concatenate([one.time + 24 * PERIOD * number for number, one in enumerate(parts)])
    flux = np.concatenate([one.flux[:, 0] for one in parts])
    np.savez(tmp_path / "tess.npz", bjd_tdb=DAY0 + time / 24, flux=flux, flux_err=np.full_like(flux, 8.0))
    chosen = ["--systematics", "polynomial(1)", "--white", "--wavelength", 0.8, *ORBIT]
    code, said = ariel_fit(tmp_path / "tess.npz", "--out", tmp_path / "out", *chosen)
    assert code == 0, said
    times = QTable.read(tmp_path / "out/times.ecsv")
    assert list(times["epoch"]) == [0, 1, 2]
    assert len(set(times["visit"])) == 3
    table = QTable.read(tmp_path / "out/spectrum.ecsv")
    assert (len(table), table["visits"][0]) == (1, 3)
    assert abs(table["depth"][0] - 0.014) < 4 * table["depth_err"][0]


def test_a_dry_run_says_what_the_files_hold_and_writes_nothing(tmp_path: Path) -> None:
    path = Visit().write(tmp_path)
    code, said = ariel_fit(path, "--out", tmp_path / "out", *ORBIT, "--dry-run")
    assert code == 0, said
    assert "visit 0: 90 times of 4 channels, 1.100 to 1.700 um, 0.00 to 6.00 h from BJD_TDB 2459743.0 on" in said
    assert "HST WFC3, regressors x, mid-transit due at 3.00 h" in said
    assert not (tmp_path / "out").exists()


def yaml(text: str) -> Callable[[Path], list[object]]:
    def arguments(folder: Path) -> list[object]:
        (folder / "planet.yaml").write_text(text)
        return ["--planet", folder / "planet.yaml"]

    return arguments


def table(text: str) -> Callable[[Path], list[object]]:
    def arguments(folder: Path) -> list[object]:
        (folder / "limb.csv").write_text(text)
        return ["--limb-darkening", folder / "limb.csv"]

    return arguments


def words(*given: object) -> Callable[[Path], list[object]]:
    return lambda folder: list(given)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (words("--b", 0.3, "--a", 8, "--inclination", 88), 2, "expected --b or --inclination, found both"),
        (words("--bin", 2, "--resolution", 50), 2, "expected one of --bin, --resolution, --edges, found several"),
        (words("--prior", "ramp"), 2, "expected NAME=PPM such as ramp=2000, found 'ramp'"),
        (words("--prior", "ramp=-1"), 2, "expected a positive size"),
        (words("--quality", "best"), 2, "expected default or none, found 'best'"),
        (words("--period", "nan"), 2, "expected a finite number"),
        (words("--prior", "airmass=200"), 1, "--prior airmass: expected one of"),
        (words("--systematics", "polynomial(1) + airmass"), 1, "found 'airmass'"),
        (words("--systematics", "polynomial(1) +"), 1, "expected terms such as"),
        (words("--eccentricity", 1.2), 1, "expected an eccentricity of 0 to 0.95, found 1.2"),
        (words("--a-err", 0.1), 1, "expected a beside a_err"),
        (words("--from", 20), 1, "expected some of 0.00 to 6.00 h, found 20 to inf"),
        (words("--limb-darkening", "fixed"), 1, "expected default, free, u1,u2 or a table, found 'fixed'"),
        (words("--limb-error", 0.1), 1, "expected a table or u1,u2 beside it, found default"),
        (words("--period", 3.2, "--a", 8, "--t0", T0 + 1.6), 1, "expected a transit, found phases around 0.5"),
        (table("wavelength,u1,u2\n3,.1,.1\n4,.1,.1\n"), 1, "expected a table that reaches 1.100 um"),
        (yaml("period: 3.2\nradius: 1\n"), 1, "planet.yaml: expected period, period_err, a,"),
        (yaml("period: long\n"), 1, "planet.yaml: period: expected a number, found 'long'"),
        (yaml("a: 8\nb: 0.3\ninclination: 88\n"), 1, "planet.yaml: expected b or inclination, found both"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words_before_any_fit(
    tmp_path: Path, arguments: Callable[[Path], list[object]], code: int, message: str
) -> None:
    path = Visit(times=40).write(tmp_path)
    found, said = ariel_fit(path, "--out", tmp_path / "out", *arguments(tmp_path), *ORBIT[:0])
    assert message in " ".join(re.sub(r"[│╭╮╰╯─\n]", " ", said).split()), said
    assert found == code


def test_options_win_over_the_planet_s_file(tmp_path: Path) -> None:
    from ariel_scripts.options.orbit import OrbitOptions
    from ariel_scripts.telescope_fit.choices import orbit_of

    path = tmp_path / "planet.json"
    path.write_text(json.dumps({"period": 3.2, "a": 8, "a_err": 0.4, "inclination": 88.0, "teff": 5500}))
    found = orbit_of(OrbitOptions(planet=path, period=3.3, b=0.2))
    assert (found.period, found.a, found.b, found.teff) == (3.3, 8.0, 0.2, 5500.0)
    assert np.isnan(found.inclination)
    assert found.log_a_err == pytest.approx(0.05)


def test_three_lines_of_python_load_torch_only_when_they_fit() -> None:
    text = (
        "import sys\n"
        "from modeling_ariel.any_telescope import LimbDarkening, Observation\n"
        "assert 'torch' not in sys.modules\n"
        "from modeling_ariel.any_telescope import FitChoices, Orbit, TelescopeFit, fit_observations\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)
