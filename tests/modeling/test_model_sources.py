"""The model's package as a whole: its public names, how its files import each other, and whose code a result is of."""

from __future__ import annotations

import ast
import graphlib
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import warm_python

import modeling_ariel
from ariel_scripts.opening.sources import FIT, FOLDER, MODEL, NETWORKS, needed_files
from ariel_scripts.prediction.predictor import code_digest
from ariel_scripts.training.fits import code_hash
from hf_dataset import schema
from modeling_ariel import columns

FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def siblings(source: str) -> dict[str, list[str]]:
    """Modules of its own package that a source imports from, anywhere in it, and the names that it takes."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.setdefault(str(node.module), []).extend(alias.name for alias in node.names)
    return found


# --- public names --------------------------------------------------------------------------------------------------


def test_public_names_are_those_that_the_type_checker_sees() -> None:
    shown = siblings((FOLDER / "__init__.py").read_text())
    stated = {name for names in shown.values() for name in names}
    assert stated <= set(dir(modeling_ariel))
    assert set(modeling_ariel._HOME_OF) == stated
    for module, names in shown.items():
        for name in names:
            home = importlib.import_module(f"modeling_ariel.{module}")
            assert getattr(modeling_ariel, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="module 'modeling_ariel' has no attribute 'nothing'"):
        modeling_ariel.nothing  # noqa: B018


def test_scores_and_predictions_need_neither_torch_nor_transformers() -> None:
    program = "import sys; from modeling_ariel import Predictions, read_predictions, score_2024, write_predictions\n"
    program += "import modeling_ariel.scoring; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("name", ["ArielConfig", "ArielFeatureExtractor", "ArielModel", "ArielForSpectrumPrediction"])
def test_taking_a_class_of_the_model_registers_the_auto_classes(name: str, tmp_path: Path) -> None:
    program = f"""
from modeling_ariel import {name}
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
config = AutoConfig.for_model("ariel")
models = [kind._model_mapping[type(config)].__name__ for kind in (AutoModel, AutoModelForPreTraining)]
extractor = AutoFeatureExtractor.from_pretrained({str(FOLDER / "released")!r})
print(*models, type(extractor).__name__)"""
    done = warm_python.run(["-c", program], tmp_path, os.environ)
    assert done.stdout == "ArielForSpectrumPrediction ArielForPreTraining ArielFeatureExtractor\n", done.stderr


# --- files ---------------------------------------------------------------------------------------------------------


def test_siblings_import_each_other_at_the_top_and_in_one_direction() -> None:
    graph = {}
    for path in FILES:
        tree = ast.parse(path.read_text())
        graph[path.stem] = set(siblings(path.read_text()))
        at_top = {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) and node.level}
        inside = [
            ast.unparse(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert not inside, f"{path.name}: {inside}"
        assert at_top == graph[path.stem]
    assert set().union(*graph.values()) <= set(graph)
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names a circle


def test_no_name_of_a_travelling_file_is_one_of_pythons_own() -> None:
    names = {path.stem for path in needed_files(MODEL)}
    assert not names & (sys.stdlib_module_names | {"torch", "numpy", "transformers", "safetensors", "huggingface_hub"})


def test_both_packages_mean_the_same_channels_and_star_table() -> None:
    assert set(columns.ORBIT_COLUMNS) < set(columns.STAR_IN_FIT) < set(columns.STAR_COLUMNS)
    assert columns.STAR_COLUMNS == schema.STAR_COLUMNS
    assert columns.N_CHANNELS == schema.N_CHANNELS == modeling_ariel.ArielConfig().n_channels


# --- whose code a result is of -------------------------------------------------------------------------------------


def test_needed_files_are_all_that_a_module_imports_at_any_depth() -> None:
    fit, model = ({path.stem for path in needed_files(roots)} for roots in (FIT, MODEL))
    known = {path.stem: set(siblings(path.read_text())) for path in FILES}
    for roots, found in ((FIT, fit), (MODEL, model)):
        reached = {Path(name).stem for name in roots}
        while more := {name for stem in reached for name in known[stem]} - reached:
            reached |= more
        assert found == reached
    assert {"retrieval", "transit", "noise", "least_squares"} <= fit < model
    assert not {"layers", "predictions", "scoring"} & fit
    assert not {"predictions", "scoring", "__init__"} & model


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_a_changed_file_changes_the_digests_of_what_depends_on_it_and_no_other(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("released", "__pycache__"))
    before = code_hash(folder), code_digest(folder)
    assert before == (code_hash(), code_digest())  # wherever the files lie
    with (folder / name).open("a") as file:
        file.write("\n# another\n")
    changed = code_hash(folder) != before[0], code_digest(folder) != before[1]
    needed = tuple(name in {path.name for path in needed_files(roots)} for roots in (FIT, NETWORKS))
    assert changed == needed


def test_physics_decides_fits_and_predictions_and_the_network_predictions_alone() -> None:
    fit, model = ({path.name for path in needed_files(roots)} for roots in (FIT, MODEL))
    for name in ("transit.py", "limb_darkening.py", "noise.py", "white_light.py", "joint_fit.py", "columns.py"):
        assert name in fit & model
    for name in ("layers.py", "heads.py", "physics.py", "populations.py", "visits.py"):
        assert name in model - fit
