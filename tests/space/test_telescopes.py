"""The Space's tab of other telescopes: what `ariel fit` finds, from files that nobody vouches for."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import asdict
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import QTable
from curve_files import observation
from space_uploads import bad_files

from ariel_scripts.light_curves.read import read_observations
from engine.telescope import CSV, ECSV, PAGE, Known, fit, page_of
from engine.telescope_examples import EXAMPLES, KNOWN, hubble, webb, write_example
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from page import telescope_tab
from page.handlers import OF_ANOTHER, Handlers
from page.telescope_tab import PLOTLY, handed_over, sentence
from uploads import limits, process
from uploads.curves import observation_of, read_curves
from uploads.reading import example as ariel_example
from uploads.telescope import fit_upload, is_of_another_telescope

FIELDS = [""] * len(telescope_tab.NUMBERS)
READING = ["auto", "", "", "", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, fitted by a process of its own."""
    made = tmp_path_factory.mktemp("fits")
    for name in EXAMPLES:
        (made / name).mkdir()
        fit_upload(write_example(name, made), KNOWN, made / name)
    return made


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "visit"), [("hubble", hubble()), ("webb", webb())])
def test_an_example_has_the_depths_that_were_simulated(folder: Path, name: str, visit: Any) -> None:
    """Transits by exoplanet-core; the fit's are its own."""
    found = pd.read_csv(folder / name / CSV)
    np.testing.assert_allclose(found["wavelength_um"], visit.wavelength, atol=1e-4)
    covariance = np.load(folder / name / "spectrum_covariance.npy")
    off = found["depth"].to_numpy() - visit.depth
    assert off @ np.linalg.solve(covariance, off) < 2.2 * len(off)
    assert (np.abs(off) < 4 * found["depth_err"]).all()
    assert set(found["status"]) == {"ok"}


def test_it_is_the_command_s_answer(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from ariel_scripts.cli import app

    options = [f"--{name}={value}" for name, value in asdict(KNOWN).items() if value is not None]
    done = CliRunner().invoke(app, ["fit", str(folder / "hubble.csv"), "--out", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    ours, theirs = (QTable.read(one / ECSV) for one in (folder / "hubble", tmp_path))
    np.testing.assert_allclose(ours["depth"], theirs["depth"], rtol=1e-9)
    np.testing.assert_allclose(ours["depth_err"], theirs["depth_err"], rtol=1e-9)


def test_the_page_to_download_is_whole_and_the_shown_one_loads_plotly_from_the_app(folder: Path) -> None:
    whole, shown = (folder / "webb" / PAGE).read_text(), page_of(folder / "webb", "gradio_api/file=/x/plotly.min.js")
    assert len(shown) < 0.2 * len(whole)
    assert '<script src="gradio_api/file=/x/plotly.min.js"></script>' in shown
    assert "src=" not in whole.split("<script>")[0]
    assert PLOTLY.is_file()


def test_many_pixels_are_binned_first(tmp_path: Path) -> None:
    time = np.linspace(0, 6, 60)
    rng = np.random.default_rng(0)
    flux = np.where(np.abs(time - 3) < 1.2, 0.99, 1.0)[:, None] * (1 + 1e-3 * rng.standard_normal((60, 900)))
    wide = Observation.of("wide", time, flux, np.full_like(flux, 1e-3), np.linspace(1, 5, 900))
    fit([wide], Known(), "wide.npz", tmp_path)
    assert len(pd.read_csv(tmp_path / CSV)) == 200


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (Known(a=8.0, b=0.3, inclination=88.0), "expected b or the inclination, found both"),
        (Known(b=0.3), "expected a beside b, found none"),
        (Known(eccentricity=0.97), "expected an eccentricity of 0 to 0.95, found 0.97"),
        (Known(systematics="wobble(3"), "expected terms such as"),
        (Known(systematics="ramp + airmass"), "airmass"),
        (Known(period=0.0), "expected a positive period"),
    ],
)
def test_what_cannot_be_known_is_refused(tmp_path: Path, known: Known, said: str) -> None:
    with pytest.raises(ObservationError, match=said):
        fit([observation()], known, "x.csv", tmp_path)


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_observation_survives_the_way_between_processes(folder: Path, tmp_path: Path) -> None:
    path = folder / "hubble.csv"
    (row,) = process.read_in_process(limits.CURVES, path, {})
    made, (direct,) = observation_of(row), read_observations(path)
    for name, value in vars(direct).items():
        np.testing.assert_array_equal(getattr(made, name), value, err_msg=name)


def test_regressors_that_are_asked_for_arrive(tmp_path: Path) -> None:
    table = pd.DataFrame({"time_h": np.arange(50.0), "flux": 1 + 1e-3 * np.sin(np.arange(50)), "air mass": 1.5})
    table.to_csv(tmp_path / "ground.csv", index=False)
    (row,) = read_curves(tmp_path / "ground.csv", {"regressors": ["air mass"]})
    assert list(observation_of(row).regressors) == ["air mass"]


def npz_of_objects(path: Path) -> None:
    np.savez(path, time=np.arange(3), flux=np.array([{}, 1, 2], object), allow_pickle=True)


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("flux.npy", bytes(300_000_000))


def hdf5_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("flux", (100_000, 10_000), "f8", chunks=True, compression="gzip", fillvalue=1.0)


def hdf5_link(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("flux", (10,), "f8", external=[("/etc/passwd", 0, 80)])
        file["time"] = np.arange(10.0)


BAD = {
    "pickle.npz": (npz_of_objects, "Python objects (pickle), which is not read"),
    "bomb.npz": (zip_bomb, "a zip bomb?"),
    "bomb.h5": (hdf5_bomb, "expected at most 500 MB unpacked, found 8000 MB"),
    "link.h5": (hdf5_link, "expected its numbers in this file, found a link to another"),
    "cut.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "expected light curves, found"),
    "cut.fits": (lambda path: path.write_bytes(b"SIMPLE  =  T"), "expected"),
    "words.csv": (lambda path: path.write_text("dear,telescope\nhow,are you\n"), "expected a column"),
    "clock.csv": (lambda path: path.write_text("time,flux\n" + "".join(f"{n},1\n" for n in range(30))), "--time-unit"),
    "picture.csv": (lambda path: path.write_bytes(b"\x89PNG\0\0"), "found bytes of none of these"),
    "empty.csv": (lambda path: path.write_bytes(b""), "expected light curves, found an empty file"),
    "wide.csv": (
        lambda path: path.write_text("time_h,wavelength_um,flux\n" + "".join(
            f"{t},{1 + w / 1000},{1 + (t * w) % 3 / 99}\n" for t in range(3) for w in range(2_001))),
        "expected at most 2,000 wavelengths, found 2,001",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_a_sentence_with_its_name(tmp_path: Path, name: str) -> None:
    write, said = BAD[name]
    write(tmp_path / name)
    with pytest.raises(limits.UploadError) as error:
        fit_upload(tmp_path / name, Known(), tmp_path / "out")
    assert said in str(error.value)
    assert str(error.value).startswith(Path(name).stem)
    assert "Traceback" not in str(error.value)
    words = telescope_tab.fit(str(tmp_path / name), *FIELDS, *READING)[0]
    assert words.startswith("⚠ There is no fit")
    assert "time-unit" not in words


def test_a_fit_that_takes_too_long_is_stopped_and_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FIT_SECONDS", 0.05)
    with pytest.raises(limits.UploadError, match="found some that take longer"):
        fit_upload(folder / "webb.csv", KNOWN, tmp_path)
    assert not [one for one in process._idle if type(one) is process._Fitter]


def test_files_are_read_without_torch(repository: Path) -> None:
    code = "import sys, uploads.worker, uploads.curves; print('torch' in sys.modules, 'gradio' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository / "space",
        env=process._environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def uploads_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(telescope_tab, "get_upload_folder", lambda: str(tmp_path))
    return tmp_path


def test_the_button_of_an_example_fills_in_all_and_fits(uploads_here: Path) -> None:
    _, *fields = telescope_tab.example("hubble")
    words, downloads, csv, ecsv, html, everything, frame = telescope_tab.fit(*fields)
    assert "is fitted" in words
    assert downloads.visible
    assert len(pd.read_csv(csv.value["path"])) == len(QTable.read(ecsv.value["path"])) == len(hubble().wavelength)
    assert "error bars can be believed" in Path(html.value["path"]).read_text()
    with zipfile.ZipFile(everything.value["path"]) as archive:
        assert {"spectrum_covariance.npy", "times.ecsv", "light_curves.npz", ECSV, CSV} == set(archive.namelist()) - {
            "systematics.ecsv",
            "white_light_curves.ecsv",
        }
    shown = unescape(frame.value)
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert "allow-same-origin" not in shown
    assert "Transit fit of hubble" in shown


def test_without_a_file_the_page_asks_for_one() -> None:
    assert "Choose a file" in telescope_tab.fit(None, *FIELDS, *READING)[0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("period", "", None),
        ("t0", " 2459743,141667 ", 2_459_743.141667),
        ("period", "three", "Period, d: expected a number of 0 or more, found 'three'"),
        ("inclination", "190", "expected a number of 0 to 180, found '190'"),
        ("b", "-0.2", "expected a number of 0 or more, found '-0.2'"),
        ("t0", "nan", "expected a number, found 'nan'"),
    ],
)
def test_a_field_is_empty_or_a_number_or_refused(name: str, text: str, said: Any) -> None:
    if not isinstance(said, str):
        assert telescope_tab.number(name, text) == said
        return
    with pytest.raises(ValueError, match=said):
        telescope_tab.number(name, text)


def test_options_are_called_as_the_page_s_fields() -> None:
    assert sentence("give --time-unit (such as bmjd)") == r"give *Times count* \(such as bmjd\)"


def test_a_first_upload_of_another_telescope_is_handed_over_and_no_other(folder: Path, tmp_path: Path) -> None:
    handlers = Handlers(None)  # type: ignore[arg-type]
    subject = object()
    *_, trouble, _, _, _, other = handlers.open_upload(str(folder / "hubble.csv"), subject)  # type: ignore[arg-type]
    assert trouble.value == OF_ANOTHER
    tabs, view, path, why = handed_over(*other)
    assert (view, path) == ("telescopes", str(folder / "hubble.csv"))
    assert isinstance(tabs, gr.Tabs)
    assert "Period" in why.value
    assert "temperature" in why.value
    bad = bad_files(tmp_path)["columns"][0]
    *_, trouble, _, _, _, other = handlers.open_upload(str(bad), subject)  # type: ignore[arg-type]
    assert "was not taken" in trouble.value
    assert other == gr.skip()


def test_a_file_on_the_model_s_channels_is_of_no_other_telescope(tmp_path: Path) -> None:
    assert not is_of_another_telescope(ariel_example("csv"))
