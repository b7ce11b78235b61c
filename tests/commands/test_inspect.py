"""`ariel inspect`: a page with everything on it, from a dataset alone or with its raw frames; errors that help."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.table import Table
from matplotlib.text import Text
from typer.testing import CliRunner

from ariel_scripts import cli
from ariel_scripts.pages import gathering, inspection, inspection_verdict
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.run import build_dataset
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.simulation import planets, raw_folder
from hf_dataset.store.rows import DamagedDataset, find_row

FRAMES, BINS = 120, 60


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw/ and out/ with one planet of two visits, told by the name of a file."""
    folder = tmp_path_factory.mktemp("inspect")
    deep = max(planets.sample_planets(24, 11, "2025"), key=lambda planet: planet.k)
    raw_folder.write_folder(folder / "raw", [deep], "2025", FRAMES, 5, visits=2)
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), workers=1)
    build_dataset(folder / "raw", folder / "out", options)
    (folder / "planet").write_text(str(deep.planet_id))
    return folder


@pytest.fixture(scope="module")
def planet(built: Path) -> int:
    return int((built / "planet").read_text())


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["inspect", *map(str, arguments)])
    return result.exit_code, result.output


def texts(page: Figure) -> str:
    cells = [cell.get_text() for table in page.findobj(Table) for cell in table.get_celld().values()]
    return "\n".join(text.get_text() for text in [*page.findobj(Text), *cells])


def test_the_command_writes_a_picture_of_1600_by_1200_pixels(built: Path, planet: int, tmp_path: Path) -> None:
    code, _ = run(built / "out", planet, "--visit", 1, "--root", built / "raw", "--out", tmp_path / "new/page.png")
    assert code == 0
    image = matplotlib.image.imread(tmp_path / "new/page.png")
    assert image.shape[:2] == (1200, 1600)
    assert image[..., :3].std() > 0.1


def test_the_command_writes_a_page_that_opens_with_its_verdict(built: Path, planet: int, tmp_path: Path) -> None:
    code, said = run(built / "out", planet, "--root", built / "raw", "--out", tmp_path / "page.html")
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    [about] = re.findall(r'<p class="about">(.*?)</p>', page)
    assert re.match(r"Ok\. The planet crosses its star at bins \d+ to \d+ of 60 ", about), about
    assert " ".join(about.split()) in " ".join(said.split())
    for part in (
        "Every channel over time",
        "Noise of each channel",
        "Pointing",
        "drift [% of flux]",
        "star&#39;s mass",
    ):
        assert part in page, part
    assert str(tmp_path) not in page
    assert 'src="http' not in page


def test_the_verdict_finds_the_transit_where_it_was_put(gathered: inspection.Inspection, built: Path) -> None:
    star = find_row(built / "out", int((built / "planet").read_text()), 0)[1]
    said = inspection_verdict.verdict(gathered)
    assert (said.status, said.worries) == ("ok", [])
    first, last = (int(found) for found in re.findall(r"bins (\d+) to (\d+)", said.transit)[0])
    k, a, inclination = np.sqrt(np.mean(star["spectrum"])), star["sma"], np.radians(star["i"])
    chord = np.sqrt((1 + k) ** 2 - (a * np.cos(inclination)) ** 2) / (a * np.sin(inclination))
    hours = 24 * star["P"] / np.pi * np.arcsin(chord)  # Winn 2010, equation 14
    step = float(gathered.time[1] - gathered.time[0])
    assert gathered.time[last] - gathered.time[first] == pytest.approx(hours, abs=2.5 * step)


def cut(what: inspection.Inspection) -> inspection.Inspection:
    bands = [replace(band, inside=np.arange(band.inside.size) < 30) for band in what.bands if not isinstance(band, str)]
    return replace(what, bands=bands)


def scattered(what: inspection.Inspection) -> inspection.Inspection:
    return replace(what, bands=[replace(b, error=b.error / 3) for b in what.bands if not isinstance(b, str)])


SPOILED: dict[str, tuple[Callable[[inspection.Inspection], inspection.Inspection], str]] = {
    "cut": (cut, "the transit begins before the first bin"),
    "scattered": (scattered, "scatters"),
    "noisy": (lambda w: replace(w, noise_ratio=np.where(np.arange(283) == 100, 3.0, w.noise_ratio)),
              "1 of 283 channels are noisier than 1.9 times their errors, most at"),
    "lost": (lambda w: replace(w, valid=w.valid & (np.arange(60) > 5)[:, None]), "10.0 % of all bins are not valid"),
    "outlier": (lambda w: replace(w, flagged={(1, 1)}), "channel noise [of predicted] of AIRS-CH0 is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_wrong_with_a_visit_is_what_to_worry_about(gathered: inspection.Inspection, kind: str) -> None:
    spoil, expected = SPOILED[kind]
    said = inspection_verdict.verdict(spoil(gathered))
    assert said.status == "needs a look"
    assert any(expected in worry for worry in said.worries), said.worries


@pytest.fixture(scope="module")
def gathered(built: Path, planet: int) -> inspection.Inspection:
    return gathering.gather(built / "out", planet, 0, built / "raw")


def test_every_panel_is_on_the_page_with_units(gathered: inspection.Inspection, planet: int) -> None:
    said = texts(inspection.draw(gathered))
    for part in (f"planet {planet}, visit 0 (train)", "AIRS-CH0: mean raw exposure", "FGS1: mean raw exposure", "trace",
                 "aperture", "annulus", "relative flux", "residual [ppm]", "residual RMS", "over their white curve",
                 "wavelength [µm]", "shift [10⁻³ px]", "time from the first exposure [h]", "noise of a bin [ppm]",
                 "valid [%]", "drift [% of flux]", "jitter along rows [px RMS]", "dead", "depth, AIRS"):  # fmt: skip
        assert part in said, part


def test_legends_cover_no_points_and_the_trace_is_seen_on_its_own(gathered: inspection.Inspection) -> None:
    page = inspection.draw(gathered)
    FigureCanvasAgg(page).draw()
    of_trace, of_pointing = [], []
    for axis in page.findobj(Axes):
        legend = axis.get_legend()
        if legend is None:
            continue
        names = dict(zip((text.get_text() for text in legend.get_texts()), legend.legend_handles, strict=True))
        if "trace" in names:
            of_trace.append(names["trace"])
        if any(name.startswith("along") for name in names):
            of_pointing.append(legend.get_window_extent().y0 - axis.get_window_extent().y1)
    [line] = of_trace
    assert to_rgb(line.get_color()) == (1.0, 1.0, 1.0)  # the legend is dark grey
    assert len(of_pointing) == 2
    assert min(of_pointing) >= 0


def test_the_page_holds_the_numbers_of_row_and_report(gathered: inspection.Inspection, built: Path) -> None:
    report = json.loads((built / "out/report.json").read_text())
    airs = report["visits"][0]["report"]["quality"]["AIRS-CH0"]
    cells = {row[0]: row for row in gathered.table}
    assert cells["drift [% of flux]"][1] == gathering.short(airs["drift_percent"])
    assert cells["hits [pixel samples]"][1] == str(airs["hit_samples"])
    median = report["distribution"]["AIRS-CH0"]["drift_percent"]["median"]
    assert cells["drift [% of flux]"][2] == gathering.short(median)
    truth = dict(gathered.parameters)
    depth, error = (float(part.split()[0].replace(",", "")) for part in truth["depth, AIRS"].split("±"))
    true = float(truth["true depth"].split()[0].replace(",", ""))
    assert abs(depth - true) < 5 * error + 0.02 * true
    airs_image, spot = gathered.images["AIRS-CH0"], gathered.images["FGS1"]
    assert isinstance(airs_image, inspection.RawImage)
    assert isinstance(spot, inspection.RawImage)
    assert airs_image.mean.shape == (32, 356)
    assert airs_image.centre == pytest.approx(np.full(356, 15.54), abs=0.6)
    assert spot.centre == pytest.approx([15.5, 15.8], abs=0.8)
    inside = airs_image.mean[11:21, 150].sum()  # rows within 5 px of 15.5, not flat-fielded
    assert inside == pytest.approx(gathered.flux[:, 1 + 320 - 150].mean(), rel=0.05)


def test_the_white_model_leaves_residuals_of_the_size_of_the_errors(gathered: inspection.Inspection) -> None:
    assert not isinstance(gathered.bands, str)
    for band in gathered.bands:
        scatter = np.std((band.flux - band.model)[band.good]) / np.median(band.error)
        assert 0.7 < scatter < 1.6
        assert np.ptp(band.model) > 0.005


def test_without_raw_frames_the_rest_is_drawn_and_the_panels_say_why(built: Path, planet: int, tmp_path: Path) -> None:
    shutil.copytree(built / "out", tmp_path / "out")
    page = gathering.gather(tmp_path / "out", planet, 0, None)
    said = texts(inspection.draw(page))
    assert said.count("--root gives it") == 1
    assert "mean raw exposure" not in said
    assert "residual RMS" in said
    page.images["FGS1"] = "another reason"
    assert "--root gives it, if there is one. another reason" in texts(inspection.draw(page))
    (tmp_path / "other/train/5").mkdir(parents=True)
    (tmp_path / "other/adc_info.csv").write_text("")
    page = gathering.gather(tmp_path / "out", planet, 0, tmp_path / "other")
    assert f"expected planet {planet}, found none" in str(page.images["FGS1"])


def test_a_dataset_without_a_report_is_drawn_by_its_light_curves(built: Path, planet: int, tmp_path: Path) -> None:
    shutil.copytree(built / "out", tmp_path / "out")
    (tmp_path / "out/report.json").unlink()
    page = gathering.gather(tmp_path / "out", planet, 0, None)
    cells = {row[0]: row for row in page.table}
    assert cells[""] == ["", "AIRS-CH0", "FGS1"]  # no run to stand beside
    assert float(cells["channel noise [of predicted]"][1]) == pytest.approx(1.0, abs=0.15)
    assert cells["worst channel [of predicted]"][2] == "–"
    assert "of the light curves alone" in texts(inspection.draw(page))


def test_flat_and_empty_light_curves_are_drawn_and_said_to_have_no_transit(
    gathered: inspection.Inspection, built: Path, planet: int
) -> None:
    row = find_row(built / "out", planet, 0)[1]
    rng = np.random.default_rng(0)
    flat = row["flux"].mean(axis=0) + row["flux_err"] * rng.standard_normal(row["flux"].shape)
    bands, said = gathering.fit_white_curves({**row, "flux": flat}, gathered.wavelengths)
    assert dict(said)["transit"] == "none found"
    assert inspection_verdict.verdict(replace(gathered, bands=bands, parameters=said)).status == "no transit"
    assert len(bands) == 2
    dead = {**row, "valid": np.zeros_like(row["valid"])}
    bands, said = gathering.fit_white_curves(dead, gathered.wavelengths)
    assert "expected at least 20 bins with data, found 0" in str(bands)
    assert inspection_verdict.verdict(replace(gathered, bands=bands)).status == "no light curve"
    inspection.draw(replace(gathered, bands=bands, valid=dead["valid"], noise_ratio=np.full(283, np.nan)))


def test_what_stands_out_is_marked_in_the_table() -> None:
    report = {"planet_id": 7, "visit": 0, "quality": {"FGS1": {"drift_percent": 3.0, "jitter_rms_px": [0.1, 0.2]}}}
    flags = [{"planet_id": planet, "visit": 0, "instrument": "FGS1", "figure": figure}
             for planet, figure in ((7, "drift_percent"), (8, "jitter_rms_px[0]"))]  # fmt: skip
    distribution = {"FGS1": {"drift_percent": {"median": 0.1}}}
    rows, flagged = gathering.figure_rows(report, {"distribution": distribution, "stand_out": flags})
    [(row, column)] = flagged
    assert (rows[row][0], rows[row][column], rows[row][column + 1]) == ("drift [% of flux]", "3.00", "0.100")


def test_an_unknown_planet_or_visit_is_named_with_what_there_is(built: Path, planet: int) -> None:
    code, text = run(built / "out", 12, "-q")
    assert code == 1
    assert f"expected the planet 12, found 1 others, {planet} … {planet}" in text
    code, text = run(built / "out", planet, "--visit", 4, "-q")
    assert code == 1
    assert f"planet {planet}: expected the visit 4, found [0, 1]" in text
    code, text = run(built / "raw", planet, "-q")
    assert code == 1
    assert "expected a dataset of light curves" in text


def test_a_planet_that_was_left_out_is_said_to_be_with_the_reason(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "out", tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    report["visits"].append({"planet_id": 12, "visit": 0, "error": "FGS1: expected 135,000 frames, found 7"})
    (tmp_path / "out/report.json").write_text(json.dumps(report))
    code, text = run(tmp_path / "out", 12, "-q")
    assert code == 1
    assert "planet 12 visit 0 was left out: FGS1: expected 135,000 frames, found 7" in text


def test_a_damaged_dataset_is_said_to_be_one_for_verify(built: Path, planet: int, tmp_path: Path) -> None:
    shutil.copytree(built / "out", tmp_path / "out")
    [shard] = (tmp_path / "out/data/light_curves").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(DamagedDataset, match="cannot be read"):
        find_row(tmp_path / "out", planet, 0)
    code, text = run(tmp_path / "out", planet, "-q")
    assert code == 1
    assert "`ariel verify " in text


def test_the_command_says_what_it_draws_and_hides_no_module_of_python(repository: Path) -> None:
    command = [sys.executable, "-m", "ariel_scripts.cli", "inspect", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Show one visit on one page" in done.stdout
    assert "one PNG" in done.stdout
    hidden = {path.stem for path in (repository / "scripts").glob("*.py")} & sys.stdlib_module_names
    assert not hidden
