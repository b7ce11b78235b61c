"""A checkpoint folder → what its repository on the Hub holds: weights, JSON, the code they need, figures, card.

Before anything is sent the staged files are loaded and asked for a prediction by a process without this package, and
the answer is compared, bit for bit, with this package's own.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from ariel_scripts.opening import sources
from ariel_scripts.opening.hub import checkpoint_path
from ariel_scripts.opening.models import add_code, load_model
from ariel_scripts.opening.provenance import ADAPTATION, AWAY, CALIBRATION, CARD, TRAINING, read_record
from ariel_scripts.publishing.model_card import PICTURE, model_card
from ariel_scripts.publishing.pictures import spectrum_with_band
from ariel_scripts.publishing.predict_alone import predict
from ariel_scripts.publishing.release import Related, Release, without_machine
from hf_dataset.simulation.light_curves import simulate_row
from hf_dataset.simulation.planets import Planet, sample_planets, wavelengths_um
from modeling_ariel.architectures import ARCHITECTURES, DEFAULT, model_class
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import ArielForPreTraining
from modeling_ariel.pipeline_ariel import torch_threads
from modeling_ariel.spectrum_model import ArielPreTrainedModel

logger = logging.getLogger(__name__)

WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
RECORDS = (TRAINING, CALIBRATION, ADAPTATION, AWAY)
FIGURES = ("training.png", "coverage.png", "z.png")
CODE = tuple(path.name for path in sources.needed_files(sources.NETWORKS))
FORMER_CODE = "*_ariel.py"  # the names that all sources had once: an older push may have left them
ALLOWED = (CARD, WEIGHTS, CONFIG, PREPROCESSOR, *RECORDS, *FIGURES, PICTURE, *CODE, FORMER_CODE)
PRETRAINED = ArielForPreTraining.__name__
PUBLISHED = (PRETRAINED, *(name for _, name in ARCHITECTURES.values()))  # classes
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SHOWN = 1  # the planet of the card's picture, among those that it must answer to
BINS = 60  # of the light curves that it must answer to
PATIENCE_S = 600


def model_release(folder: str | Path, repo_id: str, related: Related = Related()) -> Release:
    """What a push of the checkpoint ``folder`` sends.

    The same folder gives the same bytes, whenever it is asked for.

    Raises:
        ValueError: a file is missing or unsafe, weights are not all there or not finite, it does not predict the same
            where this package is not installed, or its card does not fit.
    """
    folder = Path(checkpoint_path(str(folder)))
    kind = architecture(folder)
    figures: dict[str, Path | bytes] = {
        name: (folder / name).resolve() for name in FIGURES if (folder / name).is_file()
    }
    with tempfile.TemporaryDirectory(prefix="ariel-model-") as scratch:
        stage = Path(scratch) / "model"
        stage.mkdir()
        for name in (CONFIG, PREPROCESSOR, *RECORDS):
            if (folder / name).is_file():
                (stage / name).write_text(plain_json(folder / name), encoding="utf-8")
        shutil.copyfile(folder / WEIGHTS, stage / WEIGHTS)
        add_code(stage)
        texts = {path.name: path.read_bytes() for path in sorted(stage.iterdir()) if path.name != WEIGHTS}
        drawn = {PICTURE} if kind != PRETRAINED else set()
        card = model_card(folder, repo_id, {*texts, *figures, *drawn, WEIGHTS}, related)
        answer = check_alone(stage, kind, folder)
        if drawn:
            figures[PICTURE] = picture(answer, read_record(stage / CONFIG)["wavelength"])
    contents: dict[str, Path | bytes] = {**texts, **figures, WEIGHTS: (folder / WEIGHTS).resolve(), CARD: card.encode()}
    left_out = sorted(path.name for path in folder.iterdir() if path.name not in contents and path.suffix != ".py")
    if left_out:
        logger.info("%s: not part of a model, left out: %s", folder, ", ".join(left_out))
    return Release("model", repo_id, contents, ALLOWED)


def architecture(folder: Path) -> str:
    """The model's class by its config; ValueError where the folder is not a checkpoint that can be published."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of a model, found none")
    if not (folder / WEIGHTS).is_file():
        unsafe = sorted(path.name for pattern in UNSAFE for path in folder.glob(pattern))
        found = f"found {', '.join(unsafe)}: save it as safetensors" if unsafe else "found none"
        raise ValueError(f"{folder}: expected weights in {WEIGHTS}, {found}")
    for name in (CONFIG, PREPROCESSOR):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: expected {name}, found none")
    config = read_record(folder / CONFIG)
    named = config.get("architectures") or []
    kind = config.get("model_type")
    own = ARCHITECTURES.get(str(kind), ("", ""))[1]
    if len(named) != 1 or named[0] not in ((own, PRETRAINED) if kind == DEFAULT else (own,)):
        raise ValueError(
            f"{folder / CONFIG}: expected a model_type of {', '.join(ARCHITECTURES)} and its class in architectures "
            f"({', '.join(PUBLISHED)}), found {kind} and {named}"
        )
    return str(named[0])


def _class_of(kind: str) -> type[ArielPreTrainedModel]:
    """The class of that name."""
    names = {name: model_type for model_type, (_, name) in ARCHITECTURES.items()}
    return ArielForPreTraining if kind == PRETRAINED else model_class(names[kind])


def _auto_class(kind: str) -> str:
    """The auto class that loads it."""
    return "AutoModelForPreTraining" if kind == PRETRAINED else "AutoModel"


def plain_json(path: Path) -> str:
    """A JSON record without this machine's folders."""
    return json.dumps(without_machine(read_record(path)), indent=2, ensure_ascii=False) + "\n"


# --- validation ----------------------------------------------------------------------------------------------------


def check_alone(stage: Path, kind: str, folder: Path) -> dict[str, np.ndarray]:
    """Refuse a staged model that lacks weights, or that another process, without this package, loads differently.

    Its answer to `light_curves`.

    stage: the files as they will be sent. folder: named in errors.
    """
    with torch_threads(1):
        model = load_complete(stage, kind, folder)
        curves = light_curves(model.config.wavelength or [])
        expected = predict(model, ArielFeatureExtractor.from_pretrained(stage), curves)
    check_answer(expected, folder)
    found = predicted_alone(stage, kind, curves, folder)
    for name, values in expected.items():
        if name not in found or not np.array_equal(found[name], values, equal_nan=True):
            raise ValueError(
                f"{folder}: expected the same {name} where this package is not installed, found another: the code "
                "sent with a model must be that of this package"
            )
    return expected


def picture(answer: dict[str, np.ndarray], wavelength: list[float]) -> bytes:
    """PNG of the second spectrum of the answer, that of a planet with a star table."""
    axis = np.asarray(wavelength)
    truth = asked_planets()[SHOWN].spectrum[_nearest(axis)]
    return spectrum_with_band(axis, answer["mean"][SHOWN], answer["sigma"][SHOWN], truth)


def load_complete(stage: Path, kind: str, folder: Path) -> ArielPreTrainedModel:
    """The model; ValueError where its file lacks weights, has others, or some are not finite."""
    model, info = load_model(_class_of(kind), stage)
    for what in ("missing", "unexpected", "mismatched"):
        if names := sorted(map(str, info[f"{what}_keys"])):
            raise ValueError(
                f"{folder / WEIGHTS}: expected the weights of {kind}, found {len(names)} {what}: {names[0]}"
            )
    for name, values in model.named_parameters():
        if not torch.isfinite(values).all():
            raise ValueError(f"{folder / WEIGHTS}: {name}: expected finite weights, found others")
    for name, buffer in model.named_buffers():
        if torch.isnan(buffer).any():  # a width may be infinite: nothing is known
            raise ValueError(f"{folder / WEIGHTS}: {name}: expected numbers, found NaN")
    return model.eval()


def check_answer(answer: dict[str, np.ndarray], folder: Path) -> None:
    """Refuse a prediction that is not finite, or whose sigma is not above 0."""
    for name in ("mean", "sigma", "reconstruction"):
        if name in answer and not np.isfinite(answer[name]).all():
            raise ValueError(f"{folder}: expected a finite {name} of simulated light curves, found others")
    if "sigma" in answer and not (answer["sigma"] > 0).all():
        raise ValueError(f"{folder}: expected sigma above 0 for simulated light curves, found others")


def asked_planets() -> list[Planet]:
    """The planets whose light curves it is asked for; the second has features that can be seen."""
    return [sample_planets(1, seed, layout)[0] for seed, layout in ((1, "2024"), (4, "2025"))]


def _nearest(wavelength: np.ndarray) -> np.ndarray:
    """Of each of a model's channels (C,) [um] the nearest of the simulator's."""
    return np.abs(wavelength[:, None] - wavelengths_um("2025")).argmin(1)


def light_curves(wavelength: list[float]) -> dict[str, np.ndarray]:
    """Columns of two simulated visits, one with a star table, in a model's channels (C,) [um]."""
    rows = [simulate_row(planet, n_bins=BINS, seed=1) for planet in asked_planets()]
    nearest = _nearest(np.asarray(wavelength))
    columns = {name: np.stack([row[name] for row in rows]) for name in ("planet_id", "time", "centroid", *STAR_COLUMNS)}
    for name in ("flux", "flux_err", "valid"):
        columns[name] = np.stack([row[name][:, nearest] for row in rows])
    return columns


def predicted_alone(stage: Path, kind: str, curves: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """The answer of a process that has the staged files and what they need, and not this package."""
    work = stage.parent
    np.savez(work / "curves.npz", **curves)  # type: ignore[arg-type]
    paths = [str(Path(path).resolve()) for path in sys.path if path]
    program = Path(__file__).with_name("predict_alone.py").resolve()
    command = [sys.executable, "-I", program, stage, work / "curves.npz", work / "answer.npz", _auto_class(kind), 1]
    environment = {
        **os.environ,
        "HF_HOME": str(work / "home"),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    for name in ("HF_MODULES_CACHE", "HF_HUB_CACHE", "TRANSFORMERS_CACHE"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            [*map(str, command), json.dumps(paths)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{folder}: expected a process without this package to load the model and predict two visits in "
            f"{PATIENCE_S} s, found it unfinished: is this machine busy, or the model too large for its memory?"
        ) from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        logger.debug("%s", done.stderr)
        raise ValueError(f"{folder}: expected a model that loads where this package is not installed: {last[0]}")
    with np.load(work / "answer.npz", allow_pickle=False) as answer:
        return dict(answer)
