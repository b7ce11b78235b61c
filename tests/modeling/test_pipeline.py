"""ArielPipeline: light curves of any form to spectra, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from astropy.table import Table
from datasets import Dataset, DatasetDict
from tiny_models import BINS, POPULATION, save_model, tiny

from hf_dataset.simulation import light_curves
from modeling_ariel import ArielFeatureExtractor, ArielForPreTraining, ArielPipeline
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.frames import rows_of
from modeling_ariel.pipeline_ariel import Spectra, to_numpy, torch_threads

ROWS = [
    {name: value for name, value in row.items() if name not in ("star", "calibration")}
    for row in light_curves.simulate_rows(POPULATION[:2], visits=2, n_bins=BINS, seed=1)
]
SPECTRA = ("mean", "sigma", "aleatoric", "epistemic", "classical_mean", "classical_sigma")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "tiny"
    return save_model(made, physics="residual", hidden_dropout_prob=0.2)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> ArielPipeline:
    return ArielPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def spectra(pipeline: ArielPipeline) -> Spectra:
    return pipeline(ROWS)


def assert_same_bits(found: Spectra, expected: Spectra) -> None:
    for name in SPECTRA:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert (found.status, found.notes) == (expected.status, expected.notes)


def points(pipeline: ArielPipeline, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The long table of rows."""
    channels = pipeline.model.config.wavelength
    return pd.concat(
        pd.DataFrame(
            {
                "planet_id": row["planet_id"],
                "visit": row["visit"],
                "time_h": np.repeat(row["time"], len(channels)),
                "wavelength_um": np.tile(channels, len(row["time"])),
                "flux": np.where(row["valid"], row["flux"], np.nan).ravel(),
                "flux_err": row["flux_err"].ravel(),
                **{name: row[name] for name in STAR_COLUMNS},
            }
        )
        for row in rows
    )


# --- answers -------------------------------------------------------------------------------------------------------


def test_it_answers_what_the_model_answers_with_visits_combined(pipeline: ArielPipeline, spectra: Spectra) -> None:
    inputs = {name: value for name, value in pipeline.extractor(ROWS).items() if name != "labels"}
    with torch.no_grad(), torch_threads(1):
        answer = pipeline.model(**inputs)
    assert spectra.planet_id == [planet.planet_id for planet in POPULATION[:2]]
    assert spectra.status == answer.status == ["ok", "ok"]
    assert spectra.notes == ["", ""]
    np.testing.assert_allclose(spectra.mean, to_numpy(answer.mean), rtol=1e-5)
    np.testing.assert_allclose(spectra.sigma, to_numpy(answer.sigma), rtol=1e-5)
    np.testing.assert_allclose(spectra.classical_mean, to_numpy(answer.classical_mean), rtol=1e-9)
    np.testing.assert_array_equal(spectra.aleatoric, spectra.sigma)


def test_rows_a_batch_and_a_frame_of_the_datasets_columns_give_the_same_bits(
    pipeline: ArielPipeline, spectra: Spectra
) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    nested = {
        name: [v.tolist() if isinstance(v, np.ndarray) else v for v in column] for name, column in columns.items()
    }
    assert_same_bits(pipeline(row for row in ROWS), spectra)
    assert_same_bits(pipeline(columns), spectra)
    assert_same_bits(pipeline(pd.DataFrame(nested)), spectra)
    assert_same_bits(pipeline(pl.DataFrame(nested)), spectra)


@pytest.mark.parametrize("kind", ["torch", "pandas", "polars", "arrow"])
def test_a_dataset_in_any_format_or_streamed_gives_the_same_bits(
    pipeline: ArielPipeline, spectra: Spectra, kind: str
) -> None:
    plain = [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()} for row in ROWS
    ]
    rows = Dataset.from_list(plain)
    assert_same_bits(pipeline(rows.with_format(kind)), spectra)
    if kind == "arrow":
        assert_same_bits(pipeline(rows.to_iterable_dataset().with_format(kind)), spectra)
        assert isinstance(pipeline.predict_df(rows.data.table), pa.Table)
        with pytest.raises(
            ValueError, match=r"rows: expected one split, found train, test: give one, as rows\['test'\]"
        ):
            pipeline(DatasetDict(train=rows, test=rows))


def test_arrays_tensors_and_a_row_of_one_visit_give_the_same_bits(pipeline: ArielPipeline) -> None:
    row = ROWS[0]
    arrays = {name: row[name] for name in ("time", "flux", "flux_err", "valid", "centroid")}
    tensors = {name: torch.as_tensor(value) for name, value in arrays.items()}
    star = {name: row[name] for name in STAR_COLUMNS}
    expected = pipeline(row)
    for given in (arrays, tensors):
        found = pipeline(**given, star=star, wavelength=pipeline.model.config.wavelength)
        assert_same_bits(found, expected)
        assert found.planet_id == [0]


def test_a_long_table_in_any_order_is_its_rows_without_centroids(pipeline: ArielPipeline) -> None:
    rows = [{name: value for name, value in row.items() if name != "centroid"} for row in ROWS]
    frame = points(pipeline, rows).sample(frac=1.0, random_state=0)
    frame = frame[frame["flux"].notna()].sort_values("planet_id", key=lambda ids: ids != ROWS[0]["planet_id"])
    expected = pipeline(rows)
    found = pipeline.predict_df(frame)
    assert type(found) is pd.DataFrame
    channels = expected.wavelength.size
    assert found["planet_id"].tolist() == np.repeat(expected.planet_id, channels).tolist()
    assert found["channel"].tolist() == [*range(channels)] * 2
    np.testing.assert_array_equal(found["wavelength_um"], np.tile(expected.wavelength, 2))
    for name in SPECTRA:
        np.testing.assert_array_equal(found[name], getattr(expected, name).ravel())
    assert (set(found["status"]), set(found["notes"])) == ({"ok"}, {""})


def test_a_long_table_needs_no_ids(pipeline: ArielPipeline) -> None:
    frame = points(pipeline, ROWS[:1])[["time_h", "wavelength_um", "flux", "flux_err"]]
    assert set(pipeline.predict_df(frame)["planet_id"]) == {0}
    assert type(pipeline.predict_df(pl.from_pandas(frame))) is pl.DataFrame


def test_dropout_samples_add_an_epistemic_part_and_follow_the_seed(folder: Path, spectra: Spectra) -> None:
    found = ArielPipeline.from_pretrained(folder, samples=3)(ROWS)
    assert (found.epistemic > 0).any()
    np.testing.assert_allclose(found.sigma, np.hypot(found.aleatoric, found.epistemic))
    np.testing.assert_array_equal(found.classical_mean, spectra.classical_mean)
    assert_same_bits(ArielPipeline.from_pretrained(folder, samples=3)(ROWS), found)
    assert (ArielPipeline.from_pretrained(folder, samples=3, seed=1)(ROWS).mean != found.mean).any()


def test_fits_made_elsewhere_are_taken(
    pipeline: ArielPipeline, spectra: Spectra, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch_threads(1):
        fits = pipeline.fit(pipeline.features(ROWS))
    monkeypatch.setattr(pipeline, "fit", None)
    assert_same_bits(pipeline(ROWS, fits=fits), spectra)


def test_a_long_call_is_split_between_planets_with_the_same_answers(pipeline: ArielPipeline, spectra: Spectra) -> None:
    order = [0, 2, 1, 3]  # the planets' visits are apart
    rows = [ROWS[place] for place in order]
    with torch_threads(1):
        fits = pipeline.fit(pipeline.features(rows))
    stack = {name: [row[name] for row in rows] for name in ("time", "flux", "flux_err", "valid", "centroid")}
    star = [[row[name] for name in STAR_COLUMNS] for row in rows]
    ids = [row["planet_id"] for row in rows]
    splits = [
        pipeline(rows, batch_size=1),
        pipeline(rows, batch_size=1, fits=fits),
        pipeline(**stack, star=star, planet_id=ids, batch_size=1),
    ]
    for found in splits:
        assert (found.planet_id, found.status, found.notes) == (spectra.planet_id, spectra.status, spectra.notes)
        for name in SPECTRA:
            np.testing.assert_allclose(getattr(found, name), getattr(spectra, name), rtol=1e-4, err_msg=name)


def test_a_long_call_names_the_rows_of_an_error_and_refuses_unknown_arrays(pipeline: ArielPipeline) -> None:
    rows = [{name: value for name, value in row.items() if name != "planet_id"} for row in ROWS[:2]]
    dark = {**rows[1], "flux_err": -rows[1]["flux_err"]}
    with pytest.raises(ValueError, match="rows 1 to 1 of 2: visit 0 of the batch: expected valid data, found none"):
        pipeline([rows[0], dark], batch_size=1)
    stack = {name: [row[name] for row in rows] for name in ("time", "flux", "flux_err")}
    assert pipeline(**stack, batch_size=1).planet_id == [0, 1]
    with pytest.raises(TypeError, match="unexpected keyword argument 'sta'"):
        pipeline(**stack, sta=None, batch_size=1)
    with pytest.raises(ValueError, match="batch_size: expected 1 or more, found 0"):
        pipeline(rows, batch_size=0)


def test_a_model_without_a_fit_has_no_classical_spectrum(tmp_path: Path) -> None:
    found = ArielPipeline.from_pretrained(save_model(tmp_path / "plain", physics="none"))(ROWS)
    assert found.classical_mean is found.classical_sigma is None
    assert found.status == ["ok", "ok"]
    assert "classical_mean" not in found.columns()


# --- threads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "while_it_runs"), [(1, 1), (3, 3), (None, 2)])
def test_a_call_runs_on_one_thread_by_default_and_gives_the_others_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None, while_it_runs: int
) -> None:
    chosen = {} if threads == 1 else {"threads": threads}
    pipeline = ArielPipeline.from_pretrained(folder, **chosen)
    seen: list[int] = []
    moments = pipeline.moments

    def watched(*given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return moments(*given)

    monkeypatch.setattr(pipeline, "moments", watched)
    with torch_threads(2):
        pipeline(ROWS[:1])
        assert seen == [while_it_runs]
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="missing"):
            pipeline({"time": ROWS[0]["time"]})
        assert torch.get_num_threads() == 2


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="flux_err"), r"expected columns time_h, .* missing flux_err, found Mp, "),
        (lambda t: t.head(0), "expected light curves, found no rows"),
        (lambda t: t.assign(time_h=np.nan), "planet {}: column time_h: expected finite numbers, found nan"),
        (lambda t: t.assign(flux="bright"), "planet {}: column flux: expected numbers, found 'bright' in row 0"),
        (lambda t: t.assign(planet_id=None), "column planet_id: expected an id in each row, found None"),
        (lambda t: t.assign(Rs=np.arange(len(t))), "planet {} visit 0: column Rs: expected one value, found 0 and 1"),
        (lambda t: pd.concat([t, t]), "planet {} visit 0: columns time_h, wavelength_um: expected each pair once"),
        (lambda t: t.assign(time_h=np.arange(len(t)) / 1e4), "planet {} visit 0: column time_h: expected the same"),
        (lambda t: t.assign(flux_err=-1.0), "planet {} visit 0: expected valid data, found none"),
        (lambda t: t.assign(wavelength_um=1e3 * t["wavelength_um"]), "planet {} visit 0: wavelength: expected um"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_name(pipeline: ArielPipeline, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.format(ROWS[0]["planet_id"])):
        pipeline.predict_df(change(points(pipeline, ROWS[:1])))


def test_missing_values_of_pandas_are_nan(pipeline: ArielPipeline) -> None:
    frame = points(pipeline, ROWS[:1])
    frame.loc[5, "flux"] = np.nan
    nullable = frame.astype({"flux": "Float64", "Rs": "Float64"})
    assert nullable["flux"].isna()[5]
    for name, value in rows_of(frame)[0].items():
        np.testing.assert_array_equal(rows_of(nullable)[0][name], value, err_msg=name)


def test_a_table_of_astropy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"expected a pandas or Polars frame, found Table: .* flux=table\['flux'\]"):
        rows_of(Table({"flux": [1.0], "time": [2.0]}))


def test_a_table_of_no_kind_names_both_kinds() -> None:
    with pytest.raises(ValueError, match=r"\(a row a point\) or time, flux, flux_err \(a row a visit\)"):
        rows_of(pd.DataFrame({"wavelength": [1.0]}))


def test_checkpoints_that_predict_no_spectra_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: expected a checkpoint"):
        ArielPipeline.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="model revision v1: expected a model on the Hub, found the folder"):
        ArielPipeline.from_pretrained(folder, "v1")
    ArielForPreTraining(tiny()).save_pretrained(tmp_path / "pretrained")
    ArielFeatureExtractor().save_pretrained(tmp_path / "pretrained")
    with pytest.raises(ValueError, match=r"expected a model that predicts spectra, missing \d+ of its weights"):
        ArielPipeline.from_pretrained(tmp_path / "pretrained")
    still = save_model(tmp_path / "still", physics="none", hidden_dropout_prob=0.0)
    with pytest.raises(ValueError, match="samples: expected a model with dropout"):
        ArielPipeline.from_pretrained(still, samples=2)


def test_the_released_checkpoint_has_a_name(repository: Path) -> None:
    by_name = ArielPipeline.from_pretrained("released")
    assert by_name.source == "released"
    assert by_name.digest == ArielPipeline.from_pretrained(repository / "modeling_ariel/released").digest
