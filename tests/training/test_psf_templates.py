"""PSF templates from kept frames against the images that the frames were simulated from, and who is trained by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from architecture_scenes import SMALL, small_model
from labelled_planets import planets as labelled
from safetensors.torch import load_file
from training_scenes import one_fold
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands import pretrain, templates
from ariel_scripts.opening.provenance import layouts_of
from ariel_scripts.training.psf_templates import give_templates, make_templates, read_templates, write_templates
from hf_dataset.build import plan as plans
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.worker import BuildShards
from hf_dataset.raw.layouts import open_folder
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import detector, raw_folder
from hf_dataset.simulation.planets import sample_planets
from hf_dataset.simulation.telescope import airs_axis_um

SIZE, HALF = 11, 5


def command(main: Any, *arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of two simulated planets: 60 exposures of AIRS-CH0 and 720 of FGS1 each."""
    where = tmp_path_factory.mktemp("kept")
    raw = raw_folder.write_folder(where / "raw", sample_planets(2, 1, "2025"), "2025", 120)
    options = BuildOptions(ReductionOptions(n_bins=20), keep_frames=where / "frames")
    plan = plans.make_plan(open_folder(raw), raw, where / "out", options)
    (where / "out/.build").mkdir(parents=True)
    list(BuildShards(plan, plan.shards, open_folder, reduce_visit).run())
    return where / "frames"


@pytest.fixture(scope="module")
def made(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `ariel templates`."""
    path = tmp_path_factory.mktemp("made") / "templates.safetensors"
    done = command(templates.main, kept, path, "--size", SIZE)
    assert done.exit_code == 0, done.output
    return path


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def middle(image: np.ndarray, centre: tuple[int, int] = (15, 16)) -> np.ndarray:
    return image[centre[0] - HALF : centre[0] + HALF + 1, centre[1] - HALF : centre[1] + HALF + 1]


def test_the_image_and_its_derivatives_are_those_of_the_simulated_star(made: Path) -> None:
    found, step = read_templates(made), 0.02
    truth = middle(detector.fgs1_profile())
    up, down = (middle(detector.fgs1_profile(shift, 0.0)) for shift in (step, -step))
    right, left = (middle(detector.fgs1_profile(0.0, shift)) for shift in (step, -step))
    assert found.psf[0].sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found.psf[0], truth / truth.sum(), atol=0.03 * truth.max())  # jitter blurs
    for image, expected in zip(found.psf[1:], ((up - down) / (2 * step), (right - left) / (2 * step)), strict=True):
        assert alike(image, expected) > 0.999
        size = np.linalg.norm(image) / np.linalg.norm(expected / truth.sum())
        assert size == pytest.approx(1.0, abs=0.1)  # centroids in an aperture answer a shift a little differently


def test_the_profile_is_the_spectrums_and_widens_as_it_does(made: Path) -> None:
    found = read_templates(made)
    image, axis = detector.airs_profile(), airs_axis_um()
    expected = np.stack([image[:, np.abs(axis - wave).argmin()] for wave in found.wavelength], axis=1)[11:22]
    best = max(alike(found.profile, np.roll(expected, shift, 0)) for shift in (-1, 0, 1))
    assert best > 0.998
    np.testing.assert_allclose(found.profile.sum(0), 1.0, rtol=1e-5)
    assert (np.diff(found.wavelength) > 0).all()
    assert 1.9 < found.wavelength[0] < found.wavelength[-1] < 3.9
    assert found.made_of["layouts"] == ["simulated"]
    assert (found.made_of["planets"], found.made_of["exposures of FGS1"]) == (2, 1440)


def test_a_model_is_trained_with_them_saves_them_and_names_their_layouts(made: Path, tmp_path: Path) -> None:
    table = labelled(30)
    known = dict(zip(table.ids, table.truths, strict=True))
    own = {name: value for name, value in SMALL["spectre"].items() if not name.startswith("psf")}
    settings = [f"{name}={value}" for name, value in own.items()]
    one_fold(tmp_path, table, known, physics="none", architecture="spectre", settings=settings, templates=made)
    found, saved = read_templates(made), load_file(tmp_path / "model/model.safetensors")
    np.testing.assert_array_equal(saved["encoder.psf.templates"], found.psf)
    np.testing.assert_array_equal(saved["encoder.psf.profile"], found.profile)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert (config["psf_templates"], config["psf_size"]) == (3, SIZE)
    model = small_model("spectre", psf_templates=3, psf_size=SIZE)
    give_templates(model, made)
    change = model.encoder.psf(torch.tensor([[[0.01, 0.0, 0.0, 0.0]], [[0.0, 0.01, 0.0, 0.0]]]))[:, 0]
    assert float(change[0, 1]) > 2 * abs(float(change[0, 2]))  # a shift along y shows in the derivative along y
    assert float(change[1, 2]) > 2 * abs(float(change[1, 1]))


def test_frames_of_a_challenge_give_a_model_its_licence(made: Path, kept: Path, tmp_path: Path) -> None:
    real = read_templates(made).made_of | {"layouts": ["2025"]}
    write_templates(tmp_path / "real.safetensors", replace(read_templates(made), made_of=real))
    small = [
        word for name, value in SMALL["spectre"].items() if "psf" not in name for word in ("--set", f"{name}={value}")
    ]
    done = command(
        pretrain.main, "--simulate", 4, "--validation", 2, "--architecture", "spectre", "--steps", 1, "--batch-size", 2,
        "--templates", tmp_path / "real.safetensors", "--out", tmp_path / "run", "--tracker", "none", *small,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert layouts_of(tmp_path / "run/model") == {"2025", "simulated"}


def test_what_gives_no_templates_or_takes_none_is_named(made: Path, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size: expected an odd number"):
        make_templates(kept, 10)
    with pytest.raises(ValueError, match=r"expected 35 rows about 15.\d px"):
        make_templates(kept, 35)
    with pytest.raises(ValueError, match=r"expected frames of FGS1"):
        make_templates(tmp_path, SIZE)
    with pytest.raises(ValueError, match=r"templates.safetensors: PSF templates: expected \(3, 5, 5\)"):
        give_templates(small_model("spectre"), made)
    (tmp_path / "no").write_text("nothing")
    with pytest.raises(ValueError, match="no: expected PSF templates"):
        read_templates(tmp_path / "no")
    refused = command(pretrain.main, "--simulate", 0, "--templates", made, "--out", tmp_path / "run")
    assert refused.exit_code == 1
    assert "--templates: expected architecture spectre, found ArielForPreTraining" in refused.output
