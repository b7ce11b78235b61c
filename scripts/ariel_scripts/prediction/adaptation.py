"""A model made at home on light curves without labels: what is usual for their telescope, populations, prior.

No true spectrum is read, so that a test split may adapt the model that then predicts it.
"""

from __future__ import annotations

import bisect
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ariel_scripts.opening.datasets import read_layouts
from ariel_scripts.opening.provenance import ADAPTATION, TRAINING, adapted_layouts, read_record
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.job import Job, Prepared, dataset_fingerprint, planet_batches
from ariel_scripts.prediction.predictor import Member, PlanetRows, load_member, readable
from ariel_scripts.run_record import run_record, write_json
from ariel_scripts.versions import git_commit, versions
from hf_dataset.words import number_of
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.physics import ArielPhysics, fit_inputs
from modeling_ariel.pipeline_ariel import checkpoint_digest
from modeling_ariel.populations import Population
from modeling_ariel.retrieval import ClassicalFit, concatenate, without_curves
from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.status import OK, TRUSTED, counted
from modeling_ariel.surprise import Surprise
from modeling_ariel.telescope import Telescope

logger = logging.getLogger(__name__)

ENOUGH = 300  # visits: more say hardly more
_FEWEST_OF_POPULATION = 20  # visits; with fewer the checkpoint's, learned from hundreds, is the better guess
_PLANETS_BEFORE = 20.0  # that the checkpoint's weights of the prior over spectra count as
_ROUNDS = 100


def adapt(job: Job, out: Path, visits: int = ENOUGH) -> None:
    """Write the model of ``job``, adapted to its first ``visits`` visits or so, to the new folder ``out``.

    Raises:
        ValueError: a folder in use, more models than one, or one that has no fit.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new folder, found one in use")
    if len(job.models) != 1:
        raise ValueError(f"expected one model to adapt, found {len(job.models)}")
    config = {**job.__dict__, "out": str(out), "visits": visits, "models": list(job.models), "only": None}
    out = out.absolute()
    stage = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        stage.mkdir(parents=True)  # before hours of fits
        with run_record(stage, "adapt", config, job.seed) as run:
            run.left = stage
            prepared = job.prepare()
            member = prepared.members[0]
            if not member.has_fit:
                raise ValueError(f"{member.source}: expected a model with a fit, found physics='none'")
            source = Path(member.located.location)
            record = settings_of(prepared, visits) | origin_of(prepared)
            about = _adapted(prepared, visits)
            run.metrics.update(about, dataset=prepared.curves.record(), source=member.located.record())
            member.save_pretrained(stage)
            if (source / TRAINING).is_file():  # which planets it has seen
                shutil.copyfile(source / TRAINING, stage / TRAINING)
            digest = checkpoint_digest(member.model, member.extractor)
            write_json(stage / ADAPTATION, record | {"adapted": digest} | about)
        if out.is_dir():
            out.rmdir()  # empty: checked before
        os.replace(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def adapted(job: Job, restart: bool) -> Path:
    """The folder of the job's model adapted to its own light curves, beside its predictions; made where it is not.

    ValueError where the folder there is of something else, unless ``restart``.
    """
    folder = job.out.with_name(f"{job.out.stem}.adapted")
    if restart:
        shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        adapt(job, folder)
        return folder
    wanted = settings_of(job.prepare(), ENOUGH)
    try:
        known = json.loads((folder / ADAPTATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if wanted.items() <= known.items():
        digest = load_member(str(folder), None, torch.device("cpu"), 0, job.architecture).digest
        if digest != known.get("adapted"):
            raise ValueError(f"{folder}: expected the model as it was adapted, found it changed: --restart")
        return folder
    raise ValueError(f"{folder}: expected this model adapted to this split, found another: --restart makes it anew")


def settings_of(prepared: Prepared, visits: int) -> dict[str, Any]:
    """What an adapted model was made of."""
    job = prepared.job
    return {
        "model": prepared.members[0].digest,
        "dataset": dataset_fingerprint(prepared.curves, job.split, prepared.index),
        "split": job.split,
        "visits": visits,
    }


def origin_of(prepared: Prepared) -> dict[str, Any]:
    """What anybody can tell an adapted model's origin by, earlier adaptations included.

    ValueError where it was adapted to the same light curves before: they would count twice.
    """
    job, located = prepared.job, prepared.members[0].located
    folder = Path(located.location)
    before = read_record(folder / ADAPTATION)
    own, one = dataset_fingerprint(prepared.curves, job.split, prepared.index), before
    while one:
        if one.get("dataset") == own:
            raise ValueError(f"{located.name}: expected light curves it was not adapted to, found the same again")
        one = one.get("before") or {}
    return {
        "of_model": located.record(),
        "of_dataset": prepared.curves.record(),
        "layouts": adapted_layouts(folder, read_layouts(prepared.curves, job.split)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "versions": versions(),
        **({"before": before} if before else {}),
    }


def _adapted(prepared: Prepared, visits: int) -> dict[str, Any]:
    """Adapt the model in place; what it was adapted with. A calibration was another sigma's, and goes."""
    prepared.members[0].model.calibration.reset(lambda old, new: old.copy_(new))
    with FitPool(prepared.job.workers, 2 * visits) as pool:
        return learn(prepared.members[0].model, lambda settings: _fitted(prepared, visits, pool, settings))


@torch.no_grad()
def learn(model: ArielSpectrumModel, fit_planets: Callable[[FitSettings], list[ClassicalFit]]) -> dict[str, Any]:
    """Adapt a model in place; what was learned.

    ``fit_planets`` gives the fits of each planet's visits under some settings, and is called twice.
    """
    seen = fit_planets(FitSettings())
    telescope = Telescope.learn([one for fits in seen for one in fits.evidence])
    settings = FitSettings(telescope=telescope)
    planets = fit_planets(settings)
    model.config.telescope, model.physics.fit_settings = telescope.to_dict(), settings
    populations = _learn_populations(model.physics, concatenate(planets))
    weights = _learn_weights(model.physics, [fits for fits in planets if not {*TRUSTED}.isdisjoint(fits.status)])
    states = [state for fits in planets for state in fits.status]
    if not {OK} & set(states):
        logger.warning("no visit has a transit that the fit trusts: next to nothing was learned")
    logger.info("adapted to %s of %s", number_of(len(states), "visit"), number_of(len(planets), "planet"))
    return {
        "fitted_visits": len(states),
        "fitted_planets": len(planets),
        "status": {state: states.count(state) for state in sorted(set(states))},
        "telescope": telescope.to_dict(),
        "populations": populations,
        **weights,
    }


def _fitted(prepared: Prepared, visits: int, pool: FitPool, settings: FitSettings) -> list[ClassicalFit]:
    """Fits, without curves, of all visits of each planet, until there are enough."""
    member, found = prepared.members[0], list[ClassicalFit]()
    total = min(sum(prepared.index.values()), visits)
    with tqdm(total=total, unit="visit", desc="fit") as bar, torch.no_grad():
        for batch in planet_batches(prepared, set()):
            planets, features = _features(member, batch, visits - sum(len(one.status) for one in found))
            if not planets:
                continue
            fits = without_curves(pool.fit(fit_inputs(features), member.fit_wavelength, settings))
            found += _by_planet(fits, features["planet"], planets)
            bar.update(len(fits.status))
            if sum(len(one.status) for one in found) >= visits:
                break
    return found


def _features(member: Member, batch: PlanetRows, visits: int) -> tuple[PlanetRows, dict[str, Tensor]]:
    """Planets of a batch until there are ``visits``, and their features; what can't be read is left out with a warning.

    How many planets a batch has depends on the memory; which are fitted must not.
    """
    ends = list(itertools.accumulate(len(rows) for _, rows in batch))
    planets = batch[: bisect.bisect_left(ends, visits) + 1]
    try:
        return planets, member.features([row for _, rows in planets for row in rows])
    except ValueError:
        planets, refused, _ = readable([member], planets)
    for planet, why in refused.items():
        logger.warning("planet %d: left out: %s", planet, why)
    return planets, member.features([row for _, rows in planets for row in rows]) if planets else {}


def _by_planet(fits: ClassicalFit, planet: Tensor, planets: PlanetRows) -> Iterator[ClassicalFit]:
    """Each planet's part of the fits."""
    for number in range(len(planets)):
        yield fits.select(torch.nonzero(planet == number).squeeze(-1))


def _learn_populations(physics: ArielPhysics, fits: ClassicalFit) -> dict[str, int]:
    """Populations of the visits with and without a star table, where they are enough; of how many visits each is."""
    learned = {}
    for with_table in (False, True):
        rows = [n for n, state in enumerate(fits.status) if state == OK and bool(fits.table_known[n]) == with_table]
        if len(rows) >= _FEWEST_OF_POPULATION:
            physics.set_population(Population.fit(fits.select(torch.tensor(rows))), with_table)
            learned["with a star table" if with_table else "without a star table"] = len(rows)
    return learned


def _learn_weights(physics: ArielPhysics, planets: list[ClassicalFit]) -> dict[str, Any]:
    """How often spectra are of each of the prior's scales, or surprise it, by expectation and maximisation.

    By the planets' evidence; what the checkpoint says counts as some planets more. Returns what is in its config and
    buffers then.
    """
    prior = physics.spectrum_prior()
    surprise = prior.surprise or Surprise.none(prior.mean)
    before = torch.cat([(1.0 - surprise.share) * prior.weights, (surprise.share * surprise.weights).flatten()])
    if planets:
        populations, likelihoods = physics.populations(), []
        for fits in planets:
            found = physics.of_planet(fits.select(torch.tensor(counted(fits.status))), populations)
            own, others = physics.posterior(found.covariance[None]).shares(found.depth[None])
            likelihoods.append(torch.cat([own[0], others.flatten()]) / before)
        likelihood, weights = torch.stack(likelihoods), before
        for _ in range(_ROUNDS):
            share = likelihood * weights
            share = share / share.sum(-1, keepdim=True)
            weights = (share.sum(0) + _PLANETS_BEFORE * before) / (len(share) + _PLANETS_BEFORE)
        own, others = weights[: len(prior.weights)], weights[len(prior.weights) :]
        physics.prior_weights.copy_(own / own.sum())
        if len(others):
            physics.config.prior_surprise = float(others.sum())
            physics.config.prior_surprise_weights = (others / others.sum()).reshape(surprise.weights.shape).tolist()
    return {
        "prior_weights": physics.prior_weights.tolist(),
        "surprise": physics.config.prior_surprise,
        "surprise_weights": physics.config.prior_surprise_weights,
    }
