"""The Space's engine, without gradio."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sample
from catalogue import ROWS_KEPT
from inference import MOLECULES, CatalogueError, Engine, EngineError, Spectrum, SpectrumError
from memo import Memo
from network import ModelError
from space_scenes import engine, planet, sample_folder

from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction

if TYPE_CHECKING:
    from local_hub import LocalHub


@pytest.fixture(scope="module")
def spectrum() -> Spectrum:
    return engine().spectrum(engine().visits(planet()))


def test_importing_the_engine_imports_no_gradio_and_no_scripts(repository: Path) -> None:
    code = (
        "import sys, inference, uploads, what_if, raw_upload, explain\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('gradio', 'ariel_scripts', 'scripts', 'plotly')])"
    )
    paths = os.pathsep.join([str(repository / "space"), str(repository)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


# --- the sample and the catalogue ------------------------------------------------------------------------------------


def test_the_sample_has_24_planets_some_hard_and_all_labelled() -> None:
    planets = engine().planets()
    assert len(planets) == 24
    assert all(found.labelled for found in planets)
    notes = " ".join(found.note for found in planets)
    for word in ("noisy", "strong drift", "missing", "two visits", "raw frames", "cut off", "gap"):
        assert word in notes
    assert sum(path.stat().st_size for path in sample_folder().rglob("*") if path.is_file()) < 20e6


def test_the_sample_of_the_same_code_is_the_same() -> None:
    case = sample.cases()[planet("strong drift")]
    again, stored = sample.observe(case)[0], engine().visits(case.planet.planet_id)[0]
    for name in ("time", "flux", "flux_err", "valid"):
        np.testing.assert_array_equal(again[name], stored[name])


def test_a_sample_made_by_somebody_else_first_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(stage: Path) -> None:
        (stage / sample.RECORD).write_text(f"{threading.get_ident()}")
        time.sleep(0.05)

    monkeypatch.setattr(sample, "_write", write)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sample.ensure(tmp_path / "made"), range(4)))
    assert {path.name for path in found} == {"made"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        sample.make(tmp_path)


def test_planets_are_found_by_id_and_by_words() -> None:
    some = planet("two visits")
    assert [found.planet_id for found in engine().search(str(some))] == [some]
    assert all("noisy" in found.note for found in engine().search("NOISY"))
    assert len(engine().search("")) == 24
    assert engine().search("no such planet") == []


def test_a_random_planet_is_the_same_for_the_same_seed() -> None:
    assert engine().random(5) == engine().random(5)
    assert len({engine().random(seed).planet_id for seed in range(40)}) > 10


def test_a_planet_that_is_not_there_is_named() -> None:
    with pytest.raises(CatalogueError, match="expected one of its 24 planets, found 17"):
        engine().visits(17)


def test_rows_of_the_dataset_cannot_be_written_to() -> None:
    row = engine().visits(planet())[0]
    with pytest.raises(ValueError, match="read-only"):
        row["flux"][0, 0] = 1.0


def test_few_rows_are_in_memory_whatever_was_asked() -> None:
    for found in engine().planets():
        engine().visits(found.planet_id)
    assert len(engine().catalogue._rows) <= ROWS_KEPT


@pytest.mark.parametrize("dataset", ["nobody/nothing", "/no/such/folder"])
def test_a_dataset_that_is_not_there_is_an_error(dataset: str) -> None:
    with pytest.raises(CatalogueError, match="expected a dataset folder or an id on the Hub"):
        Engine.open(dataset=dataset)


def test_a_folder_without_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="found no shards with rows"):
        Engine.open(dataset=str(tmp_path))


def test_a_revision_of_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="expected a Hub id, found the folder"):
        Engine.open(dataset=str(tmp_path), dataset_revision="v1")
    with pytest.raises(ModelError, match="expected a checkpoint"):
        Engine.open(model=str(tmp_path), dataset=str(sample_folder()))


HUB_CODE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from huggingface_hub import HfApi
from inference import Engine
for kind, folder in (("dataset", sys.argv[2]), ("model", sys.argv[3])):
    HfApi().create_repo("observer/space", repo_type=kind)
    HfApi().upload_folder(repo_id="observer/space", repo_type=kind, folder_path=folder)
engine = Engine.open(model="observer/space", dataset="observer/space", model_revision="main", dataset_revision="main")
rows = engine.visits(int(sys.argv[4]))
about = {**engine.about, "shape": rows[0]["flux"].shape, "sum": float(rows[0]["flux"].sum(dtype="f8"))}
about["planets_calibrated_on"] = engine.reliability().n_planets
for wrong in ({"dataset": "observer/space", "dataset_revision": "v9"}, {"dataset": "observer/nothing"}):
    try:
        Engine.open(**wrong)
    except ValueError as error:
        about[wrong["dataset"]] = str(error)
print(json.dumps(about))
"""


def test_a_dataset_and_a_model_on_the_hub_are_opened_without_fetching_all(
    hub: LocalHub, repository: Path, tmp_path: Path
) -> None:
    paths, folder = [str(repository / "space"), str(repository)], str(sample_folder())
    script = tmp_path / "client.py"
    script.write_text(HUB_CODE)
    model = str(repository / "modeling_ariel/released")
    done = hub.run([str(script), json.dumps(paths), folder, model, str(planet())], tmp_path / "home")
    about = json.loads(done.stdout.splitlines()[-1])
    row = engine().visits(planet())[0]
    assert about["planets"] == 24
    assert about["shape"] == [375, 283]
    assert about["sum"] == float(row["flux"].sum(dtype="f8"))
    assert about["model_sha256"] == engine().network.digest
    assert len(about["dataset_revision"]) == 40
    assert about["planets_calibrated_on"] == engine().reliability().n_planets
    assert about["observer/space"] == "observer/space: expected a branch, tag or commit, found no 'v9'"
    assert "found none of that name" in about["observer/nothing"]
    fetched = hub.calls("GET */resolve/*.parquet")
    assert fetched
    assert {call.status for call in fetched} == {206}  # parts, never the file


# --- spectra ---------------------------------------------------------------------------------------------------------


def test_the_spectrum_is_the_models_own_answer(spectrum: Spectrum, repository: Path) -> None:
    folder = repository / "modeling_ariel/released"
    model = ArielForSpectrumPrediction.from_pretrained(folder).eval()
    inputs = ArielFeatureExtractor.from_pretrained(folder)(engine().visits(planet()))
    inputs.pop("labels")
    answer = model(**inputs)
    np.testing.assert_allclose(spectrum.mean, answer.mean[0].detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(spectrum.sigma, answer.sigma[0].detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(spectrum.classical_mean, answer.classical_mean[0].numpy(), rtol=1e-9)


def test_parts_of_sigma_add_up_and_are_the_covariances_diagonal(spectrum: Spectrum) -> None:
    np.testing.assert_allclose(np.hypot(spectrum.sigma_aleatoric, spectrum.sigma_epistemic), spectrum.sigma, rtol=1e-9)
    np.testing.assert_allclose(spectrum.covariance.diagonal(), spectrum.sigma**2, rtol=1e-9)
    assert (spectrum.sigma_epistemic > 0).all()
    assert np.linalg.eigvalsh(spectrum.covariance).min() > -1e-16


def test_the_same_light_curves_give_the_same_spectrum_bit_by_bit(spectrum: Spectrum) -> None:
    fresh = Engine(engine().network, engine().catalogue, workers=1)
    again = fresh.spectrum([dict(row) for row in engine().visits(planet())])
    assert again is not spectrum
    for name in ("mean", "sigma", "sigma_epistemic", "covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(spectrum, name))


def test_a_spectrum_shared_between_users_cannot_be_written_to(spectrum: Spectrum) -> None:
    with pytest.raises(ValueError, match="read-only"):
        spectrum.mean[0] = 0.0


def test_units_convert_values_and_errors(spectrum: Spectrum) -> None:
    np.testing.assert_allclose(spectrum.unit(spectrum.mean, "ppm"), 1e6 * spectrum.mean)
    radius = spectrum.unit(spectrum.mean, "rp_rs")
    np.testing.assert_allclose(radius**2, spectrum.mean)
    step = spectrum.unit(spectrum.mean + 1e-3 * spectrum.sigma, "rp_rs") - radius
    np.testing.assert_allclose(1e-3 * spectrum.unit_error(spectrum.sigma, "rp_rs"), step, rtol=1e-3)
    heights = spectrum.unit(spectrum.mean, "scale_heights")
    assert heights.min() < 0 < heights.max()
    assert np.isfinite(spectrum.unit(np.array([-1e-4]), "scale_heights")).all()
    with pytest.raises(SpectrumError, match="expected one of depth, ppm, rp_rs, scale_heights, found 'percent'"):
        spectrum.unit(spectrum.mean, "percent")


def test_the_scale_height_is_that_of_jupiter_for_jupiter() -> None:
    base = engine().spectrum(engine().visits(planet()))
    sun = {"Rs": 1.0, "Ts": 5772.0, "Mp": 1.0, "sma": 1118.0}
    depth = np.full_like(base.mean, 0.1028**2)
    jupiter = Spectrum(**{**vars(base), "mean": depth, "star": sun})
    assert jupiter.scale_height_km == pytest.approx(17.7, rel=0.05)  # 122 K, 24.8 m/s2, 2.3 m_H
    nobody = Spectrum(**{**vars(base), "star": {**sun, "Mp": float("nan")}})
    assert nobody.units == ("depth", "ppm", "rp_rs")
    with pytest.raises(SpectrumError, match="expected Rs, Ts, Mp and sma in the star table"):
        nobody.unit(depth, "scale_heights")


def test_bins_average_channels_with_their_covariance(spectrum: Spectrum) -> None:
    binned = spectrum.binned(20)
    assert 10 < binned.mean.size < 20
    assert binned.wavelength_um[0] == spectrum.wavelength_um[0]
    assert binned.mean[0] == spectrum.mean[0]
    inside = slice(1, 1 + int(binned.channels[1]))
    assert binned.mean[1] == pytest.approx(spectrum.mean[inside].mean())
    draws = np.random.default_rng(0).multivariate_normal(spectrum.mean, spectrum.covariance, 20_000, method="eigh")
    assert binned.sigma[1] == pytest.approx(draws[:, inside].mean(1).std(), rel=0.03)
    naive = np.sqrt((spectrum.sigma[inside] ** 2).sum()) / binned.channels[1]
    assert binned.sigma[1] > 1.5 * naive  # what channels share does not average out
    assert binned.channels.sum() == spectrum.mean.size
    assert binned.truth is not None
    np.testing.assert_allclose(binned.covariance.diagonal(), binned.sigma**2)
    assert spectrum.binned(None) is spectrum
    assert spectrum.binned(5000).mean.size == spectrum.mean.size
    with pytest.raises(SpectrumError, match="resolution: expected"):
        spectrum.binned(-3)


def test_the_table_has_a_row_a_channel_in_the_unit(spectrum: Spectrum) -> None:
    table = spectrum.table("ppm")
    assert len(table) == 283
    assert list(table)[:3] == ["wavelength_um", "mean_ppm", "sigma_ppm"]
    np.testing.assert_allclose(table["truth_ppm"], 1e6 * spectrum.truth)
    assert "truth" not in Spectrum(**{**vars(spectrum), "truth": None}).table()


def test_scores_are_the_official_ones(spectrum: Spectrum) -> None:
    from modeling_ariel.scoring_ariel import score_2024

    assert spectrum.truth is not None
    expected = score_2024(spectrum.truth[None], spectrum.mean[None], spectrum.sigma[None])
    assert spectrum.scores()["score_2024"] == expected
    assert 0 < spectrum.scores("classical")["score_2024"] <= 1
    assert Spectrum(**{**vars(spectrum), "truth": None}).scores() == {}


def test_visits_of_a_planet_narrow_its_spectrum() -> None:
    rows = engine().visits(planet("two visits"))
    one, both = engine().spectrum(rows[:1]), engine().spectrum(rows)
    assert both.n_visits == 2
    assert 0.6 < np.median(both.fit_sigma / one.fit_sigma) < 0.8


def test_a_planet_without_its_photometer_is_still_fitted() -> None:
    found = engine().spectrum(engine().visits(planet("FGS1 missing")))
    assert found.status == "ok"
    assert not found.has_data[0]
    assert found.has_data[1:].all()
    assert found.fit_sigma[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "expected at least one visit"),
        (lambda rows: rows * 11, "expected at most 10 visits"),
        (lambda rows: [rows[0], {**rows[0], "planet_id": 1}], "expected the visits of one planet"),
        (lambda rows: [{**rows[0], "flux": rows[0]["flux"][:, :7]}], "flux: expected shape"),
        (lambda rows: [{**rows[0], "valid": np.zeros_like(rows[0]["valid"])}], "expected valid data"),
    ],
)
def test_rows_that_cannot_be_are_refused_with_a_reason(change, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine().spectrum(change(engine().visits(planet())))


def test_light_without_a_transit_gets_the_priors_answer_and_says_so() -> None:
    row = engine().visits(planet())[0]
    rng = np.random.default_rng(0)
    flat = np.median(row["flux"], axis=0) + row["flux_err"] * rng.standard_normal(row["flux"].shape)
    rows = [{**row, "flux": flat}]
    found = engine().spectrum(rows)
    assert found.status == "no_transit"
    assert "no transit found" in found.reasons[0]
    assert np.median(found.sigma) > 1e-3
    assert "no transit" in engine().why(rows).method
    assert np.isfinite(engine().light_curves(rows).flux).all()


# --- light curves, raw frames ----------------------------------------------------------------------------------------


def test_light_curves_are_the_data_and_the_fit_leaves_noise() -> None:
    rows = engine().visits(planet())
    found = engine().light_curves(rows)
    assert [band.name for band in found.bands[:2]] == ["AIRS-CH0 white light", "FGS1"]
    ratio = rows[0]["flux"] / found.flux  # one number a channel: the star's level
    assert np.ptp(ratio, axis=0).max() < 1e-4 * ratio.max()
    for band in found.bands:
        assert np.std(band.residual) == pytest.approx(np.median(band.error), rel=0.3)
    white = found.bands[0]
    assert white.flux.max() == pytest.approx(1.0, abs=5e-3)
    truth = engine().spectrum(rows).truth
    assert truth is not None
    assert 1 - (white.model / white.drift).min() == pytest.approx(truth[1:].mean(), rel=0.15)
    assert found.parameters["mid_transit_h"] == pytest.approx(sample.cases()[planet()].planet.t0, abs=0.02)


def test_drift_removal_takes_a_strong_drift_out_of_the_image() -> None:
    found = engine().light_curves(engine().visits(planet("strong drift")))
    airs = slice(1, None)
    before, after = (np.nanmean(image[:, airs], axis=1) for image in
                     (found.before_without_transit, found.after_without_transit))  # fmt: skip
    assert np.std(before) > 5 * np.std(after)
    np.testing.assert_allclose(found.after, found.flux / (1 + found.drift))


def test_missing_channels_and_times_are_nan_in_the_image() -> None:
    found = engine().light_curves(engine().visits(planet("2.5")))
    inside = (found.wavelength_um > 2.5) & (found.wavelength_um < 2.9)
    assert np.isnan(found.flux[:, inside]).all()
    gap = engine().light_curves(engine().visits(planet("a gap")))
    assert np.isnan(gap.bands[0].flux).any()
    assert np.isfinite(gap.bands[0].flux).any()


def test_another_visit_is_chosen_by_its_place() -> None:
    rows = engine().visits(planet("two visits"))
    assert engine().light_curves(rows, 1).visit == 1
    with pytest.raises(EngineError, match="visit: expected 0 to 1, found 2"):
        engine().light_curves(rows, 2)


def test_the_raw_planet_has_its_detector_images() -> None:
    some = planet("raw")
    assert engine().info(some).raw
    view = engine().raw_view(some)
    assert view is not None
    titles = [name for name, _, _ in view.pairs]
    assert [title.split()[0] for title in titles] == ["counts", "dead,", "linearised", "dark", "end", "divided", "bad"]
    assert view.images["AIRS-CH0"].image.shape == (32, 356)
    assert view.images["FGS1"].image.shape == (32, 32)
    assert view.trace.shape == view.columns_um.shape == (356,)
    bright = view.images["AIRS-CH0"].image.argmax(0)[60:300]
    assert np.median(np.abs(bright - view.trace[60:300])) < 3
    assert np.isnan(view.steps[2].image).any()
    assert not np.isnan(view.steps[-1].image).any()
    assert engine().raw_view(planet()) is None


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_hiding_ingress_and_egress_widens_sigma_most() -> None:
    some = planet()
    found = engine().why(engine().visits(some))
    where = sample.cases()[some].planet
    middle = 0.5 * (found.time_edges_h[1:] + found.time_edges_h[:-1])
    contact = np.abs(np.abs(middle - where.t0) - 0.5 * where.duration) < 0.6
    assert contact.any()
    assert found.time_sigma[contact].max() == found.time_sigma.max() > 0.05
    assert np.median(found.time_sigma[~contact]) < 0.5 * found.time_sigma.max()
    in_transit = np.abs(middle - where.t0) < 0.4 * where.duration
    assert found.white_flux[in_transit].mean() < found.white_flux[~in_transit].mean()


def test_a_hidden_band_is_less_well_known() -> None:
    found = engine().why(engine().visits(planet()))
    assert len(found.band_names) == len(found.band_sigma) == 7
    assert (found.band_sigma > found.band_rest_sigma).all()
    assert found.band_sigma[found.band_names.index("H2O 2.7")] > 0.3
    np.testing.assert_allclose(found.aleatoric_share + found.epistemic_share, 1.0)


def test_the_reliability_is_the_one_recorded_with_the_checkpoint(repository: Path) -> None:
    record = json.loads((repository / "modeling_ariel/released/calibration.json").read_text())
    found = engine().reliability()
    assert found.n_planets == len(record["planets"])
    assert found.covered[found.stated == 0.9] == record["after"]["coverage"]["overall"]["0.9"][0]
    assert set(found.by_band) == set(record["after"]["coverage"]) - {"overall"}


def test_without_a_record_the_reliability_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Engine(engine().network, engine().catalogue, workers=1)
    few = [engine().info(planet()), engine().info(planet("two visits"))]
    monkeypatch.setitem(other.__dict__, "_stored_reliability", None)
    monkeypatch.setattr(other, "_first_planets", lambda: few)
    monkeypatch.setattr(other, "spectrum", engine().spectrum)
    found = other.reliability()
    assert found.n_planets == 2
    assert (np.diff(found.covered) >= 0).all()
    assert found.source.startswith("2 planets of")


def test_planets_are_ranked_by_scores_kept_beside_the_sample(tmp_path: Path) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    ids = list(sample.cases())
    ranks = {str(p): {"score": n / 24, "sigma_ppm": 30.0} for n, p in enumerate(ids)}
    kept = {"model_sha256": engine().network.digest, "planets": ranks}
    (folder / sample.SCORES).write_text(json.dumps(kept))
    one = Engine.open(dataset=str(folder))
    assert [found.planet_id for found in one.hardest(2)] == ids[:2]
    assert [found.planet_id for found in one.best(2)] == ids[:-3:-1]
    assert one.best(1)[0].score == 23 / 24
    (folder / sample.SCORES).write_text(json.dumps({**kept, "model_sha256": "another"}))
    other = Engine.open(dataset=str(folder))
    assert other.info(ids[0]).score is None


def test_scores_are_made_and_kept_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    (folder / sample.SCORES).unlink(missing_ok=True)
    one = Engine.open(dataset=str(folder))
    few = [one.info(planet()), one.info(planet("FGS1 missing"))]
    monkeypatch.setattr(one, "_first_planets", lambda: few)
    monkeypatch.setattr(one, "spectrum", engine().spectrum)
    assert len(one.hardest()) == 2
    assert one.hardest(1)[0].score < one.best(1)[0].score
    assert set(json.loads((folder / sample.SCORES).read_text())["planets"]) == {str(p.planet_id) for p in few}


# --- many users ------------------------------------------------------------------------------------------------------


def test_what_many_ask_for_at_once_is_made_once() -> None:
    made, memo = [], Memo[int](2)

    def make() -> int:
        made.append(1)
        time.sleep(0.05)
        return 7

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: memo.get("key", make), range(8))) == [7] * 8
    assert len(made) == 1
    for key in range(5):
        memo.get(key, lambda: 1)
    assert len(memo) == 2


def test_an_error_is_not_kept() -> None:
    memo = Memo[int](2)
    with pytest.raises(ZeroDivisionError):
        memo.get("key", lambda: 1 // 0)
    assert memo.get("key", lambda: 3) == 3


def test_users_at_once_get_their_own_answers() -> None:
    ids = [planet(), planet("2.5")]
    alone = {some: engine().spectrum(engine().visits(some)).mean for some in ids}
    fresh = Engine(engine().network, engine().catalogue, workers=2)
    asked = ids * 10
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda some: fresh.spectrum(fresh.visits(some)).mean, asked))
    for some, mean in zip(asked, found, strict=True):
        np.testing.assert_array_equal(mean, alone[some])


def test_molecular_bands_lie_where_the_channels_are() -> None:
    assert set(MOLECULES) == {"H2O", "CO2", "CH4", "CO", "NH3"}
    for bands in MOLECULES.values():
        for low, high in bands:
            assert ((engine().wavelength_um >= low) & (engine().wavelength_um <= high)).sum() > 5


def test_a_planet_that_cannot_be_predicted_is_left_out_of_the_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Engine(engine().network, engine().catalogue, workers=1)
    good, bad = engine().info(planet()), engine().info(planet("FGS1 missing"))

    def visits(planet_id: int) -> list:
        if planet_id == bad.planet_id:
            raise CatalogueError("its shard is cut")
        return engine().visits(planet_id)

    monkeypatch.setattr(one, "_first_planets", lambda: [bad, good])
    monkeypatch.setattr(one, "visits", visits)
    monkeypatch.setattr(one, "spectrum", engine().spectrum)
    monkeypatch.setattr(one.catalogue, "write_scores", lambda content: None)
    one._ranks.clear()
    assert [found.planet_id for found in one.hardest()] == [good.planet_id]
