"""From light curves to spectra: a checkpoint with all that stands between rows and its answers.

pipeline = ArielPipeline.from_pretrained("released")  # or a folder, or a Hub id
pipeline(rows).mean                                    # (P, C) transit depths
pipeline.predict_df(frame)                             # a data frame in, a data frame out
"""

import contextlib
import hashlib
import inspect
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging as transformers_logging

from .architectures import checkpoint_class
from .arrays import Array, FeatureError, plain
from .feature_extraction_ariel import ArielFeatureExtractor
from .frames import unframed
from .modeling_ariel import ArielForSpectrumPrediction as ArielForSpectrumPrediction  # travels with the pipeline
from .physics import ClassicalPosterior, fit_inputs
from .retrieval import ClassicalFit, fit
from .spectrum_model import ArielSpectrumModel
from .uncertainty import Moments, mixture_moments
from .visits import planet_of, read_rows

RELEASED = "released"  # the checkpoint that comes with the package
RELEASED_FOLDER = Path(__file__).parent / RELEASED
BATCH = 16  # planets at a time: more are no faster, as the fits take the time, and need 30 MB a visit

Frame = TypeVar("Frame")

# Dropout draws from the process's one generator, and torch's threads are the process's too.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Spectra:
    """Spectra of P planets over C channels [transit depth (Rp/Rs)^2], visits of a planet combined.

    ``planet_id`` of each, its place where none was given; ``wavelength`` (C,) [um]; ``mean`` and
    ``sigma`` (P, C), with sigma^2 = ``aleatoric``^2 + ``epistemic``^2; ``classical_mean`` and
    ``classical_sigma`` (P, C) of the posterior that the network starts from, None where it starts
    from none; ``status`` of each planet's fit, and ``notes`` that say why, empty where there is
    nothing to say.
    """

    planet_id: list[Any]
    wavelength: Array
    mean: Array
    sigma: Array
    aleatoric: Array
    epistemic: Array
    classical_mean: Array | None
    classical_sigma: Array | None
    status: list[str]
    notes: list[str]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of a table with a row a planet and channel."""
        planets, channels = self.mean.shape
        spectra = ("mean", "sigma", "aleatoric", "epistemic", "classical_mean", "classical_sigma")
        found = {name: getattr(self, name) for name in spectra}
        return {
            "planet_id": np.repeat(np.asarray(self.planet_id), channels),
            "channel": np.tile(np.arange(channels), planets),
            "wavelength_um": np.tile(self.wavelength, planets),
            **{name: values.ravel() for name, values in found.items() if values is not None},
            "status": np.repeat(np.asarray(self.status, object), channels),
            "notes": np.repeat(np.asarray(self.notes, object), channels),
        }

    @classmethod
    def join(cls, parts: Sequence["Spectra"]) -> "Spectra":
        """The planets of all parts."""
        joined: dict[str, Any] = {}
        for name in (field.name for field in fields(cls) if field.name != "wavelength"):
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], list):
                joined[name] = [value for part in values for value in part]
            else:
                joined[name] = None if values[0] is None else np.concatenate(values)
        return cls(wavelength=parts[0].wavelength, **joined)


class ArielPipeline:
    """A model with its feature extractor, and how it is run.

    Args:
        model, extractor: of one checkpoint; see `from_pretrained`.
        source: what errors call it.
        device: where features, fit and network are computed.
        samples: passes with dropout, whose spread is the epistemic part of sigma; 0 for one pass
            without it.
        seed: of the dropout.
        threads: of torch while it predicts. The matrices are small: with two threads a planet takes
            three times as long as with one. None leaves torch as it is.
    """

    def __init__(
        self,
        model: ArielSpectrumModel,
        extractor: ArielFeatureExtractor,
        *,
        source: str = "model",
        device: str | torch.device = "cpu",
        samples: int = 0,
        seed: int = 0,
        threads: int | None = 1,
    ) -> None:
        self.device = torch.device(device)
        try:
            self.model = model.eval().to(self.device)
        except (AssertionError, RuntimeError) as error:  # as torch says that there is none
            raise ValueError(f"device: expected one of this machine, found {device}: {error}") from error
        self.extractor: Any = extractor  # or what answers like it, with features made before
        self.source, self.samples, self.seed, self.threads = source, samples, seed, threads
        self.digest = checkpoint_digest(model, extractor)
        config = model.config
        self.has_fit = config.physics == "residual"  # the network corrects a classical fit
        self.has_dropout = max(config.hidden_dropout_prob, config.attention_probs_dropout_prob) > 0
        if samples and not self.has_dropout:
            raise ValueError(f"{source}: samples: expected a model with dropout, found none in it")

    @classmethod
    def from_pretrained(
        cls,
        id_or_folder: str | Path,
        revision: str | None = None,
        *,
        source: str | None = None,
        architecture: str | None = None,
        **settings: Any,
    ) -> Self:
        """The pipeline of "released" (the package's checkpoint), a folder or a Hub id.

        Classes are this package's: no code of the Hub runs.

        Args:
            revision: branch, tag or commit of a Hub id.
            source: what errors call it, default ``id_or_folder``.
            architecture: "package.module.Class" of a model whose class is not in this package.
            settings: device, samples, seed, threads; see the class.

        Raises:
            ValueError: no checkpoint there, or one that lacks weights, as those of pretraining do.
        """
        source = source or str(id_or_folder)
        folder = RELEASED_FOLDER if id_or_folder == RELEASED else id_or_folder
        if revision is not None and Path(folder).is_dir():
            raise ValueError(f"model revision {revision}: expected a model on the Hub, found the folder {source}")
        where: dict[str, Any] = {} if revision is None else {"revision": revision}
        try:
            with quiet():
                kind = checkpoint_class(folder, architecture, **where)
                loaded: Any = kind.from_pretrained(folder, output_loading_info=True, use_safetensors=True, **where)
            model, info = loaded
            extractor = ArielFeatureExtractor.from_pretrained(folder, **where)
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(
                f"{source}: expected a checkpoint, safetensors only (no pickle is opened): {error}"
            ) from error
        if missing := sorted(info["missing_keys"]):
            raise ValueError(
                f"{source}: expected a model that predicts spectra, missing {len(missing)} of its "
                f"weights, {missing[0]} …: fine-tune it first (ariel finetune)"
            )
        return cls(model, extractor, source=source, **settings)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, extractor and the code of all, for `from_pretrained` or for the auto classes anywhere."""
        with quiet():
            self.model.save_pretrained(folder)
        self.extractor.save_pretrained(folder)
        custom_object_save(type(self), str(folder))

    def __call__(
        self, rows: Any = None, *, fits: ClassicalFit | None = None, batch_size: int = BATCH, **arrays: Any
    ) -> Spectra:
        """Spectra of the planets in ``rows``, or in arrays given by name, in order of appearance.

        Rows are one, a list, a batch of `datasets`, or a data frame (see `predict_df`). Arrays are
        ``time`` (T,) [h], ``flux`` and ``flux_err`` (T, C), and what else the extractor takes
        (``wavelength``, ``star``, ``planet_id``, …), of one visit or of a stack.

        Args:
            fits: of all visits, where they were made elsewhere.
            batch_size: planets at a time, which bounds the memory; each batch draws its own dropout.

        Raises:
            ValueError: what the light curves lack, by planet.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: expected 1 or more, found {batch_size}")
        rows = unframed(rows)
        if rows is None:
            inspect.signature(self.extractor).bind(**arrays)  # no name that means nothing
        listed = read_rows(rows, arrays)
        planets = _planets_of(listed)
        batches = [planets[start : start + batch_size] for start in range(0, len(planets), batch_size)]
        parts = []
        for number, batch in enumerate(batches):
            visits = sorted(visit for _, of_planet in batch for visit in of_planet)
            own = None if fits is None else fits.select(torch.tensor(visits))
            seed = f"{self.seed} {number}" if number else str(self.seed)
            try:
                part = self._spectra([planet for planet, _ in batch], [listed[v] for v in visits], own, seed)
            except FeatureError as error:
                if len(batches) == 1:
                    raise
                raise FeatureError(f"rows {visits[0]} to {visits[-1]} of {len(listed)}: {error}") from error
            parts.append(part)
        return Spectra.join(parts)

    def _spectra(
        self,
        planet_id: list[Any],
        rows: list[dict[str, Any]],
        fits: ClassicalFit | None,
        seed: str,
    ) -> Spectra:
        """Spectra of a batch of planets, whose ids are given."""
        with _ONE_AT_A_TIME, torch_threads(self.threads), torch.no_grad():
            inputs = self.features(rows)
            classical = None
            if self.has_fit:
                classical = self.posterior(self.fit(inputs) if fits is None else fits, inputs["planet"])
                inputs |= classical_inputs(classical)
            moments, distance = self.moments(inputs, self.samples, seed)
        return Spectra(
            planet_id=planet_id,
            wavelength=np.asarray(self.model.config.wavelength, np.float64),
            mean=moments.mean.clip(0.0),  # a depth cannot be negative
            sigma=moments.sigma,
            aleatoric=moments.aleatoric,
            epistemic=moments.epistemic,
            classical_mean=None if classical is None else to_numpy(classical.mean),
            classical_sigma=None if classical is None else to_numpy(classical.sigma),
            **self.model.told(distance, classical),
        )

    def predict_df(self, frame: Frame, *, batch_size: int = BATCH) -> Frame:
        """Spectra of the light curves in a pandas frame, a row a planet and channel.

        ``frame`` has a row a point: ``time_h``, ``wavelength_um``, ``flux``, ``flux_err`` and, where
        known, ``planet_id``, ``visit``, ``valid`` and the star table's columns. Or it has a row a visit, in the
        dataset's own columns.
        """
        kind: Any = type(frame)  # whatever it is, pandas', Polars', Arrow's or datasets', it is made from columns
        if isinstance(frame, list | tuple):
            raise FeatureError(f"frame: expected a table, found {kind.__name__}: call the pipeline itself with rows")
        make = getattr(kind, "from_pydict", getattr(kind, "from_dict", kind))
        found: Frame = make(self(frame, batch_size=batch_size).columns())
        return found

    # --- steps ---------------------------------------------------------------------------------------------------

    def features(self, rows: Any = None, **arrays: Any) -> dict[str, Tensor]:
        """The network's inputs on the device, without the truth."""
        found = self.extractor(rows, **arrays).items()
        return {name: value.to(self.device) for name, value in found if name != "labels"}

    @property
    def fit_wavelength(self) -> Tensor:
        """(C,) [um] float64, as the classical fit takes it."""
        return self.model.physics.wavelength.double()

    @torch.no_grad()
    def fit(self, features: Mapping[str, Tensor]) -> ClassicalFit:
        """The classical fits of the visits."""
        return fit(fit_inputs(features), self.fit_wavelength, self.model.physics.fit_settings)

    @torch.no_grad()
    def posterior(self, fits: ClassicalFit, planet: Tensor) -> ClassicalPosterior:
        """What fits of visits say of their planets; ``planet`` (B,) is each visit's."""
        return self.model.physics.summarise(fits, planet)

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Tensor]) -> tuple[Array, Array]:
        """Mean and sigma (P, C) of one pass without dropout."""
        mean, sigma, _ = self._pass(inputs)
        return mean, sigma

    def _pass(self, inputs: Mapping[str, Tensor]) -> tuple[Array, Array, Tensor]:
        """Mean, sigma and the planets' distance."""
        with _ONE_AT_A_TIME:
            found = self.model(**inputs)
        return to_numpy(found.mean), to_numpy(found.sigma), found.distance

    @torch.no_grad()
    def sample(self, inputs: Mapping[str, Tensor], samples: int, seed: str) -> tuple[Array, Array]:
        """Means and sigmas (samples, P, C) of passes with dropout, which ``seed`` decides."""
        means, sigmas, _ = zip(*self._dropout_passes(inputs, samples, seed), strict=True)
        return np.stack(means), np.stack(sigmas)

    def _dropout_passes(
        self, inputs: Mapping[str, Tensor], samples: int, seed: str
    ) -> list[tuple[Array, Array, Tensor]]:
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7], "big")
        with _ONE_AT_A_TIME, torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(number)
            self.model.train()
            try:
                return [self._pass(inputs) for _ in range(samples)]
            finally:
                self.model.eval()

    @torch.no_grad()
    def moments(self, inputs: Mapping[str, Tensor], samples: int, seed: str) -> tuple[Moments, Tensor]:
        """Mean, sigma and its parts (P, C), over dropout samples where there are any, and the distance (P,)."""
        passes = self._dropout_passes(inputs, samples, seed) if samples else [self._pass(inputs)]
        means, sigmas, distances = zip(*passes, strict=True)
        moments = mixture_moments(means, sigmas)
        if samples:
            epistemic = moments.epistemic * self.spread_factor
            moments = Moments(moments.mean, np.hypot(moments.aleatoric, epistemic), moments.aleatoric, epistemic)
        return moments, torch.stack(distances).mean(0)

    @property
    def spread_factor(self) -> Array:
        """(C,) by which the spread of dropout means is scaled.

        The calibration was fitted to the whole sigma, so its factor belongs to this part too.
        """
        return to_numpy(self.model.calibration.scale)


def classical_inputs(classical: ClassicalPosterior) -> dict[str, Any]:
    """A posterior as the arguments of the model that spare it the fit."""
    names = ("mean", "sigma", "depth", "depth_sigma", "share", "shared", "shared_sigma")
    return {**{f"classical_{name}": getattr(classical, name) for name in names}, "residual": classical.residual}


def _planets_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, list[int]]]:
    """Planets in order of appearance: the id, the planet's place where it has none, and the places of its rows."""
    places: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(planet_of(row, place), []).append(place)
    ids = [plain(rows[own[0]].get("planet_id")) for own in places.values()]
    return [(place if ids[place] is None else ids[place], own) for place, own in enumerate(places.values())]


def to_numpy(tensor: Tensor) -> Array:
    """As float64, from any device."""
    return tensor.detach().double().cpu().numpy()


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Torch on so many threads, and then on as many as before; None leaves them.

    On one thread sums have one order in every process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and its lists of new weights."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def checkpoint_digest(model: ArielSpectrumModel, extractor: ArielFeatureExtractor) -> str:
    """Hash of weights, buffers, configuration and the extractor's statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + str(tensor.dtype).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    names = {"_name_or_path", "transformers_version", "auto_map", "architectures", "dtype"}
    for settings in (model.config.to_dict(), extractor.to_dict()):
        kept = {name: value for name, value in settings.items() if name not in names}
        digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
    return digest.hexdigest()
