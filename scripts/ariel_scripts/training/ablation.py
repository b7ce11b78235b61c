"""Variants of a training run: which there are, which go on, and the runs themselves.

Every run is `ariel finetune` with a configuration file of its own, so that anybody can repeat it by hand. Successive
halving follows Jamieson & Talwalkar 2016 (AISTATS, arXiv:1502.07943).
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.config_files import config_text, merged, read_config
from ariel_scripts.ledger import Ledger, decided
from ariel_scripts.opening.penalties import read_penalties
from ariel_scripts.options.ablate import AblateOptions
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.options.training_loop import LoopOptions
from ariel_scripts.options.yaml_values import read_yaml
from hf_dataset.digests import config_hash
from modeling_ariel.architectures import DEFAULT, model_class

logger = logging.getLogger(__name__)

THIRD = 3  # of a round's variants one in so many goes on, with as many times the steps
_KEYS = {"options", "rules", "variants", "vary"}
Finetune = Callable[[Path, Path], int]  # configuration and folder of a run; its exit code


@dataclass(frozen=True)
class Variant:
    """A ``name`` and the options of `ariel finetune` by which it is told apart."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """The ``options`` that all variants share, without their own, and physics ``rules`` that judge all of them."""

    options: dict[str, Any]
    variants: list[Variant]
    rules: dict[str, Any] | None = None


@dataclass
class Trained:
    """A variant's runs: the record of each fold's, by its number, and the ``share`` of its steps they were given."""

    variant: Variant
    share: float
    folds: dict[int, dict[str, Any]] = field(default_factory=dict)
    folders: dict[int, Path] = field(default_factory=dict)

    @property
    def validation(self) -> float:
        """Mean of what validation planets gave the best models."""
        return float(np.mean([record["best"]["value"] for record in self.folds.values()]))


def read_plan(path: Path, dataset: str | None) -> Plan:
    """The plan of a YAML file, its ``config`` files below its options, files named from where it lies.

    Raises:
        ValueError: what the file says is no plan; names the file, what was expected and found.
    """
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a YAML file: {error}") from error
    if not isinstance(content, Mapping) or not set(content) <= _KEYS:
        found = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path}: expected a mapping of {', '.join(sorted(_KEYS))}, found {found}")
    shared = dict(content.get("options") or {})
    options: dict[str, Any] = {}
    for name in shared.pop("config", None) or ():
        options = merged(options, read_config(path.parent / name, parameters_of(FinetuneOptions)))
    options.pop("fold", None)  # the ablation's to say
    options |= _located(shared, path) | ({} if dataset is None else {"dataset": dataset})
    rules = None if content.get("rules") is None else read_penalties(path.parent / str(content["rules"]))
    named = content.get("variants") or {"": {}}
    vary = content.get("vary") or {}
    if wrong := [key for key, values in vary.items() if not isinstance(values, list) or not values]:
        raise ValueError(f"{path}: vary: {wrong[0]}: expected a list of values, found {vary[wrong[0]]!r}")
    variants = []
    for (name, own), *chosen in itertools.product(named.items(), *([(k, v) for v in vary[k]] for k in vary)):
        words = [name, *(f"{key} {value}" for key, value in chosen)]
        name = ", ".join(filter(None, words)) or "as it is"
        variants.append(Variant(name, _located({**(own or {}), **dict(chosen)}, path)))
    if len({variant.name for variant in variants}) < len(variants):
        raise ValueError(f"{path}: expected variants that differ, found some twice")
    plan = Plan(options, variants, rules)
    _check(plan, path)
    return plan


def _located(options: dict[str, Any], plan: Path) -> dict[str, Any]:
    """Options with the file of penalties named from where the ``plan`` lies."""
    if options.get("penalties") is None:
        return options
    return options | {"penalties": str(plan.parent / str(options["penalties"]))}


def _check(plan: Plan, path: Path) -> None:
    known = {parameter.name for parameter in parameters_of(FinetuneOptions)} - {"out", "fold", "restart", "dry_run"}
    for options in (plan.options, *(variant.options for variant in plan.variants)):
        if unknown := sorted(set(options) - known):
            raise ValueError(
                f"{path}: {unknown[0]}: expected an option of `ariel finetune`: {', '.join(sorted(known))}"
            )
    for variant in plan.variants:
        options = {**plan.options, **variant.options}
        try:  # now, not when its turn comes
            model_class(str(options.get("architecture") or DEFAULT))
            if options.get("penalties") is not None:
                read_penalties(Path(str(options["penalties"])))
        except ValueError as error:
            raise ValueError(f"{path}: {variant.name}: {error}") from error
    if plan.options.get("dataset") is None:
        raise ValueError(f"{path}: expected a dataset in options, or --dataset, found none")
    if int(plan.options.get("folds") or 0) < 2:
        raise ValueError(f"{path}: folds: expected 2 or more in options, found {plan.options.get('folds')}")


def drawn(plan: Plan, options: AblateOptions) -> list[Variant]:
    """The variants that are looked at: all, or ``trials`` drawn by the seed."""
    if options.search != "random" or options.trials >= len(plan.variants):
        return plan.variants
    order = np.random.default_rng(options.seed).permutation(len(plan.variants))
    return [plan.variants[place] for place in sorted(order[: options.trials])]


def ablate(plan: Plan, options: AblateOptions, finetune: Finetune) -> list[Trained]:
    """Train the variants, the best of them longer or on more folds; best on validation first."""
    folds = list(range(int(plan.options["folds"])))
    first = folds if options.first == "all" else [int(part) for part in options.first.split(",")]
    if not set(first) <= set(folds):
        raise ValueError(f"first: expected folds 0 to {folds[-1]}, found {options.first}")
    standing: dict[str, Trained] = {}
    left = drawn(plan, options)
    for share in rounds(len(left)) if options.search == "halving" else [1.0]:
        done = [_trained(plan, variant, share, first, options.out, finetune) for variant in left]
        standing |= {one.variant.name: one for one in done}
        done.sort(key=lambda one: -one.validation)
        left = [one.variant for one in done[: max(len(done) // THIRD, 1)]]
    found = sorted(standing.values(), key=lambda one: (-one.share, -one.validation))
    for one in found[: options.finalists]:
        rest = [fold for fold in folds if fold not in one.folds]
        more = _trained(plan, one.variant, one.share, rest, options.out, finetune)
        one.folds |= more.folds
        one.folders |= more.folders
    return found


def rounds(variants: int) -> list[float]:
    """Shares of the steps in each round of successive halving, which ends with few variants and all steps."""
    number = int(np.floor(np.log(max(variants, 1)) / np.log(THIRD) + 1e-9))
    return [THIRD ** float(place - number) for place in range(number + 1)]


def _trained(
    plan: Plan, variant: Variant, share: float, folds: Sequence[int], out: Path, finetune: Finetune
) -> Trained:
    """Train a variant on these folds, where that was not done before."""
    found, ledger = Trained(variant, share), Ledger(out)
    for fold in folds:
        options = {**plan.options, **variant.options}
        options["steps"] = max(round(share * int(options.get("steps", LoopOptions.steps))), 1)
        folder = out / "runs" / f"{slug(variant.name)}-{config_hash(options)[:8]}" / f"{fold}"
        found.folds[fold] = _run(ledger, folder, {**options, "fold": str(fold)}, finetune)
        found.folders[fold] = folder / f"fold-{fold}"
    return found


def _run(ledger: Ledger, folder: Path, options: Mapping[str, Any], finetune: Finetune) -> dict[str, Any]:
    """What the run of one fold recorded of it, run now if it is not up to date."""
    name, result = "/".join(folder.parts[-2:]), folder / f"fold-{options['fold']}"

    def action(restart: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yaml"
        config.write_text(config_text(options), encoding="utf-8")
        logger.info("%s", folder)
        if code := finetune(config, folder):
            raise RuntimeError(f"{folder}: ariel finetune ended with exit code {code}")

    wanted = decided("finetune", options)
    if ledger.why(name, wanted, result) is not None:
        ledger.run(name, wanted, result, folder, action)
    metrics: dict[str, Any] = json.loads((folder / "run.json").read_text())["metrics"]
    return dict(metrics[f"fold-{options['fold']}"])


def slug(name: str) -> str:
    """A name as that of a folder."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")
