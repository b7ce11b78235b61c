"""The classifier that comes with the package: small, made of simulation alone, better than chance on new objects."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from code_blocks import code_blocks

from ariel_scripts.opening.provenance import licence_of
from hf_dataset.transients.simulation.population import draw_transient
from hf_dataset.transients.simulation.survey import Survey
from modeling_ariel.transients.curves import read_curve
from modeling_ariel.transients.pipeline_transient import TransientPipeline

KINDS = ("AGN", "SN Ia", "TDE", "SN II")
EACH = 10


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "modeling_ariel/transients/released"


def test_it_is_small_safe_and_carries_no_code(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    assert not [path for path in folder.iterdir() if path.suffix in (".py", ".bin", ".pt", ".pkl")]


def test_its_records_name_no_machine_and_only_simulated_data(folder: Path) -> None:
    for path in folder.glob("*.json"):
        assert not re.search(r"/(home|work|root|tmp|Users)/", path.read_text()), path.name
    assert json.loads((folder / "training.json").read_text())["data"]["layouts"] == ["simulated"]
    assert licence_of(folder) == "apache-2.0"


def test_its_card_has_the_numbers_of_its_record(folder: Path) -> None:
    card, record = (folder / "README.md").read_text(), json.loads((folder / "scores.json").read_text())
    for name, case in record["cases"].items():
        numbers = " | ".join(f"{case[key]:.2f}" for key in ("average_precision", "f1", "accuracy"))
        assert f"| {name} | {numbers} |" in card


def test_it_tells_new_simulated_objects_apart(folder: Path) -> None:
    kinds = [kind for kind in KINDS for _ in range(EACH)]
    curves = []
    for place, kind in enumerate(kinds):
        drawn = draw_transient(np.random.default_rng((77, place)), kind, Survey())
        measured = {
            "band": drawn.visits.band,
            "time": drawn.visits.time,
            "flux": drawn.flux,
            "flux_err": drawn.flux_err,
        }
        row = {"object_id": place, "lightcurve": measured, "redshift": drawn.redshift, "ebv": drawn.ebv}
        curves.append(read_curve(row, "lsst"))
    found = TransientPipeline.from_pretrained(folder).classify([str(place) for place in range(len(kinds))], curves)
    classes = [found.classes.index(kind.split()[0]) for kind in kinds]
    assert np.mean(found.shares.argmax(1) == classes) > 0.7
    disruption = np.array([kind == "TDE" for kind in kinds])
    assert found.probability[disruption].mean() > 4 * found.probability[~disruption].mean()


def test_the_document_shows_how_it_reads_forced_photometry_of_ztf(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    document = repository / "docs/transients.md"
    (block,) = [one for one in code_blocks(document.read_text()) if one.language == "python"]
    ztf = pd.DataFrame({"jd": 2458900.5 + np.arange(20.0), "filter": ["ZTF_g", "ZTF_r"] * 10, "zpdiff": 26.4,
                        "forcediffimflux": 10.0, "forcediffimfluxunc": 2.0})  # fmt: skip
    names = {"ztf": ztf}
    block.run(names, document)
    np.testing.assert_allclose(names["table"][["time", "flux", "flux_err"]].iloc[0], [58900, 1.0, 0.2])
    assert names["found"].object_id == ["ZTF19example"]
