"""`ariel report`: its page against bad text, the command and what it does with what it is given."""

from __future__ import annotations

import base64
import csv
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from architecture_scenes import FIRST_OF_OTHERS, SMALL
from code_blocks import code_blocks
from fake_distribution import install
from local_hub import LocalHub
from tiny_models import BINS, IDS, POPULATION, at_home, save_model

from ariel_scripts.commands import report
from ariel_scripts.opening.hub import Located
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.prediction import job as jobs
from ariel_scripts.prediction import predictor
from ariel_scripts.prediction.job import Job, stream_rows
from ariel_scripts.report import network, predictions, statistics
from ariel_scripts.report.data import Entry, Study, names_of
from ariel_scripts.report.links import links
from ariel_scripts.report.page import Section, Table, page, without_folders, without_nan
from ariel_scripts.report.planets import step_values
from ariel_scripts.report.plots import Figure, label, packed
from ariel_scripts.report.rules import broken_by
from ariel_scripts.report.writer import write_report
from ariel_scripts.run_record import Run
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel import scoring
from modeling_ariel.architectures import model_class
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.objective import violations
from modeling_ariel.predictions import Predictions, read_predictions, write_predictions

CHANNELS = 283


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=BINS, seed=1))


# --- the page ------------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a browser would find in a page: tags with attributes, and the texts of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def data(self) -> dict[str, Any]:
        """The JSON that the page carries."""
        return json.loads(next(text for text in self.text if text.startswith('{"figures"')))

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


def unpacked(found: dict[str, Any]) -> np.ndarray:
    kind = "f4" if "f4" in found else "i2"
    values = np.frombuffer(base64.b64decode(found[kind]), f"<{kind}").astype(float)
    return (values * found.get("scale", 1.0)).reshape(found["shape"])


def test_packed_arrays_come_back() -> None:
    values = np.random.default_rng(7).normal(3000, 500, (4, 6))
    np.testing.assert_allclose(unpacked(packed(values)), values, rtol=1e-6)
    values[0, 0] = 1e9
    small = unpacked(packed(values / 1000, 0.01))
    np.testing.assert_allclose(small.ravel()[1:], values.ravel()[1:] / 1000, atol=0.00501)
    assert small[0, 0] == pytest.approx(327.67)
    assert without_nan({"a": [float("nan"), float("inf"), 1.0]}) == {"a": [None, None, 1.0]}


def test_text_from_data_cannot_become_markup_or_script() -> None:
    bad = "</script><img src=x onerror=alert(1)> & \u2028 §c0"
    figure = Figure(bad, bad, {bad: {"data": [{"name": label(bad)}], "layout": {}}, "b": {"data": [], "layout": {}}})
    listed = Table([bad, bad], [[bad, bad]])
    entry = {"name": bad, "planets": 9, "figures": [figure]}
    sections = [
        Section("wavelengths", {"figures": [figure], "bands": {bad: listed, "b": listed}}),
        Section("comparison", {"first": bad, "differences": listed, "figures": [figure]}, [bad]),
        Section("planets", {"labelled": 1, "listed": listed}),
        Section("embeddings", {"entries": [entry], "click": ""}),
        Section("attributions", {"planets": [{**entry, "planet": 5}], "over": [], "listed": True}),
        Section("calibration", warnings=[bad]),
    ]
    text = page(bad, bad, sections, {"ids": [], "entries": [{"name": bad}]}, {"dataset": bad, "command": {"x": bad}})
    seen = Seen(text)
    assert "img" not in {tag for tag, _ in seen.tags}
    assert [tag for tag, _ in seen.tags].count("script") == 3
    assert seen.data["planets"]["entries"] == [{"name": bad}]
    assert not any(text.startswith("§") for text in [seen.data["figures"][0]["variants"][0]["data"][0]["name"]])


def test_text_from_data_is_drawn_as_it_is() -> None:
    assert label('"a" & b') == '"a" &amp; b'


def test_a_page_to_pass_on_does_not_say_where_things_lie() -> None:
    known = {
        "dataset": "/home/me/curves, split train",
        "command": {"out": Path("/home/me/r.html"), "models": ["/home/me/run/model", "observer/model", "run/model"]},
        "predictions": [{"command": "ariel predict /home/me/curves --out=/tmp/p.parquet", "of": "https://x.org/a/b"}],
        "seed": 0,
    }
    assert without_folders(known) == {
        "dataset": "…/curves, split train",
        "command": {"out": "…/r.html", "models": ["…/model", "observer/model", "run/model"]},
        "predictions": [{"command": "ariel predict …/curves --out=…/p.parquet", "of": "https://x.org/a/b"}],
        "seed": 0,
    }


def test_names_tell_sources_apart_by_as_little_of_their_paths_as_that_takes() -> None:
    assert names_of(["released", "runs/b.parquet"]) == ["released", "b"]
    assert names_of(["a/run/model", "b/run/model"]) == ["a/run/model", "b/run/model"]
    assert names_of(["x/a.parquet", "y/a.parquet", "z"]) == ["x/a", "y/a", "z"]
    assert names_of(["released", "released"]) == ["released (1)", "released (2)"]


def test_calibration_logs_become_numbers_by_step_and_visits_are_averaged() -> None:
    hits = {"step": "hits", "params": {"threshold": 5}, "after": {"samples": 4, "ok": True}}
    log = {"instruments": {"FGS1": [hits, {"step": "adc", "before": {"median": 1.0}, "after": {"median": None}}]}}
    other = {"instruments": {"FGS1": [{"step": "hits", "after": {"samples": 8}}]}}
    nothing = np.full((3, 5), np.nan)
    study = Study("d", "train", np.arange(5.0), np.array([1, 2, 3]), np.ones(3, int), nothing, nothing,
                  {1: [log, other], 2: [None], 3: [[{"step": "simulate_fast"}]]})  # fmt: skip
    found = step_values(study)
    assert set(found) == {("FGS1", "hits", "samples"), ("FGS1", "adc", "median")}
    np.testing.assert_array_equal(found["FGS1", "hits", "samples"]["after"], [6.0, np.nan, np.nan])
    np.testing.assert_array_equal(found["FGS1", "adc", "median"]["before"], [1.0, np.nan, np.nan])


# --- the command ---------------------------------------------------------------------------------------------------


def write_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    shards.write_rows(folder, "train", rows, n_bins=BINS)
    write_card(folder, planets.wavelengths_um("2025"), "Simulated.", {})
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    return write_dataset(tmp_path_factory.mktemp("light-curves"), rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", physics="none")


@pytest.fixture
def written(dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Seen]:
    """Write a report of the dataset by the tiny model and read it; changes of its options as arguments."""
    for place in (jobs, predictor):
        monkeypatch.setattr(place, "code_digest", lambda: "code")  # the sources may be edited meanwhile
    options = ReportOptions(
        str(dataset), tmp_path / "out/report.html", [str(model)], workers=1, device="cpu", attributions=1, embed="pca"
    )

    def write(run: Run | None = None, **changes: Any) -> Seen:
        asked = replace(options, **changes)
        write_report(asked, run or Run("report", {}))
        return Seen(asked.out.read_text())

    return write


def sections_of(seen: Seen) -> list[str]:
    return [attributes["id"] or "" for tag, attributes in seen.tags if tag == "section"]


def spoiled(path: Path, out: Path, without: int | None = None) -> Path:
    """Predictions with wider errors and perhaps a planet less."""
    found = read_predictions(path)
    rows = np.flatnonzero(found.planet_id != without)
    rng = np.random.default_rng(0)
    mu = np.abs(found.mu[rows] * (1 + 0.02 * rng.standard_normal(found.mu[rows].shape)))
    write_predictions(out, Predictions(found.planet_id[rows], mu.astype(np.float32), 2 * found.sigma[rows]))
    return out


def test_a_report_has_every_section_and_needs_nothing_from_outside(
    written: Callable[..., Seen], tmp_path: Path
) -> None:
    run = Run("report", {})
    seen = written(run)
    assert sections_of(seen) == [
        "verdict", "summary", "planets", "wavelengths", "coverage", "likelihood", "shapes", "embeddings",
        "attributions",
    ]  # fmt: skip
    for _, attributes in seen.tags:
        for name in ("src", "href"):
            assert not (attributes.get(name) or "").startswith(("http", "//", "file"))
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.data["planets"]["ids"] == IDS
    made = read_predictions(tmp_path / "out/report.predictions/plain.parquet")
    entry = seen.data["planets"]["entries"][0]
    np.testing.assert_allclose(unpacked(entry["mu"]), 1e6 * made.mu, rtol=1e-6)
    assert run.metrics["planets"] == run.metrics["labelled"] == 7
    assert run.metrics["failed"] == {}
    truth = np.stack([next(p for p in POPULATION if p.planet_id == planet).spectrum for planet in IDS])
    score = scoring.score_2024(truth, made.mu, made.sigma)
    assert f"{score:.3f} (" in " ".join(seen.text)


def test_the_order_of_planets_in_the_dataset_changes_nothing(
    written: Callable[..., Seen], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    first = written(attributions=0)
    other = written(dataset=str(write_dataset(tmp_path / "turned", rows[::-1])), attributions=0,
                    out=tmp_path / "turned/report.html")  # fmt: skip
    np.testing.assert_allclose(
        unpacked(first.data["planets"]["entries"][0]["mu"]), unpacked(other.data["planets"]["entries"][0]["mu"]), 1e-5
    )
    cells = [[text for text in seen.text if " to " in text and "(" in text] for seen in (first, other)]
    assert cells[0] == cells[1]
    assert len(cells[0]) > 20


def test_a_second_report_takes_the_predictions_of_the_first_and_their_states(
    written: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(attributions=0)
    monkeypatch.setattr(predictions, "predict", lambda *_: pytest.fail("predicted again"))
    again = written(attributions=0)
    assert any("PCA" in text for text in again.text)


@pytest.mark.parametrize("name", FIRST_OF_OTHERS)
def test_other_architectures_have_states_and_attributions(
    written: Callable[..., Seen], tmp_path: Path, name: str
) -> None:
    kind: Any = model_class(name)
    wavelength = planets.wavelengths_um("2025").tolist()
    torch.manual_seed(0)
    network = at_home(kind(kind.config_class(wavelength=wavelength, physics="none", **SMALL[name])))
    for parameter in network.parameters():
        if parameter.ndim == 2 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    network.save_pretrained(tmp_path / "other")
    ArielFeatureExtractor(wavelength=wavelength).save_pretrained(tmp_path / "other")
    run = Run("report", {})
    seen = written(run, model=[str(tmp_path / "other")], attributions=2)
    assert run.metrics["failed"] == {}
    assert {"embeddings", "attributions"} <= set(sections_of(seen))


def test_states_are_the_mean_of_the_tokens_that_the_head_reads(dataset: Path, model: Path, tmp_path: Path) -> None:
    job = Job(
        dataset=str(dataset), models=(str(model),), out=tmp_path / "p.parquet", batch="3", device="cpu", workers=1
    )
    states = predictions.predicted(job)
    assert sorted(states) == IDS
    member = predictor.load_member(str(model), None, torch.device("cpu"))
    row = next(row for row in stream_rows(str(dataset), "train") if row["planet_id"] == IDS[2])
    inputs = {name: value for name, value in member.extractor([row]).items()}
    names = ("light_curve", "valid", "time", "centroid", "star_features")
    with torch.no_grad():
        found = member.model.ariel(**{name: inputs[name] for name in names})
    mean = found.last_hidden_state[0][found.used[0]].mean(0)
    np.testing.assert_allclose(states[IDS[2]], mean.numpy(), rtol=1e-4, atol=1e-5)


def test_models_and_files_are_compared_in_pairs(written: Callable[..., Seen], tmp_path: Path) -> None:
    written(attributions=0)
    wide = spoiled(tmp_path / "out/report.predictions/plain.parquet", tmp_path / "<b>wide.parquet", without=IDS[0])
    seen = written(predictions=[wide], skip=["shapes"])
    assert "comparison" in sections_of(seen)
    assert "shapes" not in sections_of(seen)
    assert "b" not in {tag for tag, _ in seen.tags}  # the file's name
    assert seen.data["planets"]["ids"] == IDS[1:]
    about = " ".join(seen.text)
    assert "has no prediction for 1 planet," in about
    assert "Only 6 planets with known spectra" in about
    assert [entry["name"] for entry in seen.data["planets"]["entries"]] == ["plain", "&lt;b&gt;wide"]


def test_rules_of_physics_say_which_planets_break_them_and_where_they_pull(
    written: Callable[..., Seen], tmp_path: Path, repository: Path
) -> None:
    rules = yaml.safe_load((repository / "configs/objective.yaml").read_text())
    rules["rules"]["transit_asymmetry"] = {}
    kind = {"when": {"features_ppm": [0, None]}, "rules": {"smoothness": {"limit": 0.5}}}
    rules["profiles"] = {"with features": kind}
    bound = save_model(tmp_path / "bound", physics="none", penalties=rules)
    seen = written(model=[str(bound)], attributions=0, skip=["embeddings"])
    assert "rules" in sections_of(seen)
    made = read_predictions(tmp_path / "out/report.predictions/bound.parquet")
    spectra = (torch.as_tensor(values).double() for values in (made.mu, made.sigma))
    facts = {"features_ppm": torch.ones(len(made.mu))}
    found = violations(*spectra, planets.wavelengths_um("2025").tolist(), rules, facts)
    rough = found.names.index("smoothness")
    cells = [text.strip() for text in seen.text]
    place = cells.index("smoothness")
    expected = [f"{float(found.value[:, rough].mean()):.3g}", str(int(found.broken[:, rough].sum()))]
    assert [cell for cell in cells[place + 1 : place + 8] if cell][:3] == ["0.5", *expected]
    assert f"{len(made.mu)} with features." in " ".join(" ".join(cells).split())
    assert "–" in cells[cells.index("transit asymmetry") :][:8]  # of a spectrum alone nobody can say
    row = [cell for cell in cells[cells.index("sigma bounds") + 1 :][:16] if cell]
    assert "–" not in row[:3]
    assert row[3:5] == ["–", "–"]  # true spectra have no sigma
    assert "Where rules pull" in cells
    other = tmp_path / "rules.yaml"
    other.write_text("rules: {total_variation: {limit: 99}}")
    again = written(model=[str(bound)], attributions=0, skip=["embeddings"], penalties=other)
    assert "No planet breaks a rule." in [text.strip() for text in again.text]


def test_a_page_without_its_table_of_planets_leads_to_none(written: Callable[..., Seen]) -> None:
    links = [{attributes.get("href") for _, attributes in written(skip=skip).tags if attributes.get("href")}
             for skip in ([], ["planets"])]  # fmt: skip
    assert any(str(link).startswith("#planet-") for link in links[0])
    assert not any(str(link).startswith("#planet-") for link in links[1])
    assert "Click a planet" not in " ".join(written(skip=["planets"]).text)


def test_the_folders_of_the_run_are_in_its_record_and_not_on_the_page(
    written: Callable[..., Seen], dataset: Path, tmp_path: Path
) -> None:
    text = " ".join(written(attributions=0).text)
    for folder in (dataset.parent, tmp_path):
        assert str(folder) not in text
    assert f"…/{dataset.name}" in text


def test_a_file_of_predictions_is_attributed_by_the_network_in_its_record_and_unlabelled_planets_need_no_truth(
    written: Callable[..., Seen], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    written(attributions=0)
    made = tmp_path / "out/report.predictions/plain.parquet"
    hidden = write_dataset(tmp_path / "hidden", [{**row, "spectrum": None} for row in rows])
    seen = written(model=[], predictions=[made], dataset=str(hidden), attributions=3)
    assert sections_of(seen) == ["verdict", "summary", "planets", "wavelengths", "shapes", "attributions"]
    assert seen.data["planets"]["truth"] is None
    text = " ".join(seen.text)
    assert "no known spectra" in text
    assert "whether error bars hold cannot be told" in text
    assert "What the network looks at" in seen.text


def test_sections_without_data_are_not_printed_and_a_network_that_is_gone_is_said(
    written: Callable[..., Seen], model: Path, tmp_path: Path
) -> None:
    written(attributions=0)
    made = tmp_path / "out/report.predictions/plain.parquet"
    alone = spoiled(made, tmp_path / "alone.parquet")  # it has no record
    seen = written(model=[], predictions=[alone], attributions=2)
    assert not {"attributions", "embeddings", "calibration", "rules"} & set(sections_of(seen))
    assert "attributions" in next(text for text in seen.text if text.startswith("comparison, "))
    found = read_predictions(made)
    record = {"command": "predict", "config": {"models": [str(model)]}, "metrics": {"models": ["another"]}}
    write_predictions(tmp_path / "other.parquet", found, record)
    seen = written(model=[], predictions=[tmp_path / "other.parquet"], attributions=2)
    text = " ".join(seen.text)
    assert "expected the weights that predicted, another, found" in text
    assert str(model) not in text


@pytest.mark.parametrize(
    "skip", [["shapes", "attributions", "wavelengths", "coverage"], pytest.param([], marks=pytest.mark.slow)]
)
def test_figures_have_a_footer_and_go_into_a_folder_as_pictures_and_numbers(
    written: Callable[..., Seen], tmp_path: Path, skip: list[str]
) -> None:
    run = Run("report", {})
    seen = written(run, export=tmp_path / "files", attributions=2, skip=skip)
    stamps = [text for text in seen.text if text.startswith("ariel-hf ") and "seed 0" in text]
    assert len(stamps) == [tag for tag, _ in seen.tags].count("figcaption") == len(seen.data["figures"])
    files = sorted((tmp_path / "files").iterdir())
    assert len(files) == run.metrics["exported"]
    kinds = {path.suffix for path in files}
    assert kinds == {".png", ".json", ".csv"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files if path.suffix == ".png")
    assert {json.loads(path.read_text())["made_by"] for path in files if path.suffix == ".json"} == {stamps[0]}
    with (tmp_path / "files/likelihood-log-likelihood-lost-by-planet-and-wavelength.csv").open() as file:
        rows = list(csv.DictReader(file))
    made = read_predictions(tmp_path / "out/report.predictions/plain.parquet")
    row = next(row for row in rows if row["y"] == f"planet {IDS[2]}" and row["x"] == "FGS1")
    truth = next(p for p in POPULATION if p.planet_id == IDS[2]).spectrum
    arrays = (truth, made.mu[2].astype(float), made.sigma[2].astype(float))
    lost = statistics.lost(*(one[None] for one in arrays))[0, 0]
    assert float(row["z"]) == pytest.approx(min(lost, 327.67), abs=0.01)
    scores = json.loads((tmp_path / "files/summary-errors.json").read_text())
    assert scores["head"][1] == "plain"


def test_a_part_that_fails_is_said_and_loses_no_other(
    written: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embed = network.embed

    def without_umap(method: str, *rest: Any) -> Any:
        if method == "umap":
            raise ImportError("No module named 'umap'")
        return embed(method, *rest)

    def fail(*_: Any) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(network, "embed", without_umap)
    monkeypatch.setattr("ariel_scripts.report.planets.calibration", fail)
    run = Run("report", {})
    with caplog.at_level(logging.WARNING):
        seen = written(run, embed="pca,umap", attributions=0)
    text = " ".join(seen.text)
    assert "umap of plain could not be made: No module named 'umap'" in text
    assert "This part could not be made: KeyError" in text
    assert any("PCA of plain" in one for one in seen.text)
    assert "umap" in caplog.text
    assert "nobody thought of it" in caplog.text
    assert set(run.metrics["failed"]) == {"embeddings", "calibration"}
    assert run.status == "incomplete"


OWN = """
import numpy as np

def array(study, seed):
    study.planets[:] = 0
    figure = Figure("array", "", {"": {"data": [{"x": np.ones(2)}], "layout": {}}})
    return OwnSection("Arrays", figures=[figure])

def nothing(study, seed):
    return None

def number(study, seed):
    return seed

def odd(study, seed):
    figure = Figure("Cube", "", {"": {"data": [{"type": "mesh3d", "x": [0]}], "layout": {}}})
    return OwnSection("<odd>", "<b>", [figure])
"""


def test_sections_of_other_packages_stand_on_the_page_and_one_that_fails_is_named(
    written: Callable[..., Seen], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = next(block.code for block in code_blocks((repository / "docs/report.md").read_text())
                 if "OwnSection(" in block.code)  # fmt: skip
    names = ("widest", "array", "nothing", "number", "odd", "absent")
    offers = {"ariel.report_sections": {name: name for name in names}}
    install(tmp_path, monkeypatch, "ariel-mine", shown + OWN, offers)
    run = Run("report", {})
    others = ["shapes", "coverage", "wavelengths", "likelihood", "embeddings"]
    seen = written(run, attributions=0, skip=others, export=tmp_path / "files")
    assert sections_of(seen) == ["verdict", "summary", "planets", "own-absent", "own-array", "own-number", "own-odd",
                                 "own-widest"]  # fmt: skip
    text = " ".join(seen.text)
    assert {"Widest error bars", "<odd>", "Cube"} <= set(map(str.strip, seen.text))
    assert set(run.metrics["failed"]) == {"absent", "array", "number"}
    named = "This part could not be made: ariel.report_sections {!r} of ariel-mine 0.1: {}"
    assert named.format("absent", "AttributeError: module 'ariel_mine' has no attribute 'absent'") in text
    assert named.format("array", "TypeError: Object of type ndarray is not JSON serializable") in text
    assert named.format("number", "expected an OwnSection or None, found int") in text
    assert run.status == "incomplete"
    assert seen.data["planets"]["ids"] == IDS
    made = read_predictions(tmp_path / "out/report.predictions/plain.parquet")
    table = json.loads((tmp_path / "files/own-widest-largest-ppm.json").read_text())
    assert table["rows"] == [["plain", f"{1e6 * made.sigma.max():.0f}"]]
    pictures = {path.name for path in (tmp_path / "files").glob("own-*.png")}
    assert pictures == {"own-widest-widest.png"}
    assert run.metrics["own_sections"] == dict.fromkeys(sorted(names), "ariel-mine 0.1")
    alone = written(attributions=0, skip=[*others, *(name for name in names if name != "nothing")])
    assert sections_of(alone) == ["verdict", "summary", "planets"]


def test_the_page_leads_to_its_run_its_config_and_its_dataset(
    written: Callable[..., Seen], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    near = write_dataset(tmp_path / "my curves", rows)
    seen = written(attributions=0, skip=["embeddings"], dataset=str(near))
    leads = [attributes.get("href") for tag, attributes in seen.tags if tag == "a"][-3:]
    assert leads == ["report.run.json", "report.config.yaml", "../my%20curves"]
    options = yaml.safe_load((tmp_path / "out/report.config.yaml").read_text())
    known = {name: values.annotation for name, values in signature(ReportOptions).parameters.items()}
    assert options.keys() == known.keys()
    assert (options["dataset"], options["skip"]) == (str(near), ["embeddings"])


def test_what_is_on_the_hub_is_led_to_at_its_commit_and_far_folders_are_not_told(tmp_path: Path) -> None:
    facts = [{"sources": [{"name": "me/model", "commit": "b1"}, {"name": str(tmp_path)}]}, {}]
    found = links(tmp_path / "r.html", Located("me/curves", "me/curves", "a0"), facts)
    assert found[2:] == [
        ("dataset", "https://huggingface.co/datasets/me/curves/tree/a0"),
        ("model me/model", "https://huggingface.co/me/model/tree/b1"),
    ]
    assert len(links(tmp_path / "r.html", Located("/else/where", "/else/where"), [])) == 2


@pytest.mark.slow
def test_hub_ids_at_their_revisions_are_reported_with_their_commits(
    hub: LocalHub, dataset: Path, model: Path, tmp_path: Path
) -> None:
    hub.run(
        "from huggingface_hub import HfApi\n"
        "api = HfApi()\n"
        f"for kind, name, folder in (('dataset', 'observer/curves', {str(dataset)!r}),"
        f" ('model', 'observer/plain', {str(model)!r})):\n"
        "    api.create_repo(name, repo_type=kind)\n"
        "    api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)\n"
        "    api.create_tag(name, repo_type=kind, tag='v1')\n"
        "    api.upload_file(repo_id=name, repo_type=kind, path_in_repo='more.txt', path_or_fileobj=b'more')\n"
        "from ariel_scripts import cli\n"
        "code = cli.call('report', 'observer/curves', '--model', 'observer/plain', '--revision', 'v1',"
        " '--dataset-revision', 'v1', '--out', 'r.html', '--workers', 1, '--attributions', 1)\n"
        "assert not code\n",
        tmp_path / "home",
        cwd=tmp_path,
    )
    seen = Seen((tmp_path / "r.html").read_text())
    text = " ".join(seen.text)
    assert "Spectra of observer/curves" in text
    for kind, name in (("dataset", "observer/curves"), ("model", "observer/plain")):
        assert hub.repo(kind, name).find("v1").id in text
    assert seen.data["planets"]["ids"] == IDS
    assert json.loads((tmp_path / "r.run.json").read_text())["status"] == "done"


def test_unknown_sections_and_embeddings_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected verdict, .* found nothing"):
        report.main(ReportOptions(str(dataset), tmp_path / "r.html", skip=["nothing"], embed="pca"))
    with pytest.raises(typer.BadParameter, match="expected some of pca, umap, tsne, found sne"):
        report.main(ReportOptions(str(dataset), tmp_path / "r.html", embed="pca,sne"))
    assert not (tmp_path / "r.html").exists()


def test_predictions_of_other_planets_are_an_error_and_nothing_is_written(
    written: Callable[..., Seen], tmp_path: Path
) -> None:
    size = (1, CHANNELS)
    other = Predictions(np.array([5]), np.full(size, 1e-3, np.float32), np.full(size, 1e-5, np.float32))
    write_predictions(tmp_path / "other.parquet", other)
    with pytest.raises(ValueError, match="expected planets that every prediction is of"):
        written(model=[], predictions=[tmp_path / "other.parquet"])
    assert not (tmp_path / "out/report.html").exists()


@pytest.mark.parametrize("method", ["tsne", pytest.param("umap", marks=pytest.mark.slow)])  # umap is compiled first
def test_embeddings_have_a_point_for_each_planet_and_are_the_same_again(method: str) -> None:
    pytest.importorskip({"tsne": "sklearn", "umap": "umap"}[method])
    latent = np.random.default_rng(8).standard_normal((12, 6))
    axes, place = network.embed(method, latent, 0)
    assert place.shape == (12, 2)
    assert np.isfinite(place).all()
    assert len(axes) == 2
    np.testing.assert_array_equal(network.embed(method, latent, 0)[1], place)


def test_entries_without_states_have_no_pictures() -> None:
    truth, star = np.full((4, CHANNELS), 1e-3), np.full((4, 7), np.nan)
    entry = Entry("a", "a", truth, 0.01 * truth)
    study = Study("d", "train", planets.wavelengths_um("2025"), np.arange(4), np.ones(4, int), truth, star,
                  {i: [] for i in range(4)}, [entry])  # fmt: skip
    assert network.embeddings(study, ("pca",), 0, broken_by(study, None)) is None
