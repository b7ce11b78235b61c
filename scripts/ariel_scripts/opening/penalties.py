"""Physics rules read from a file, as a model's config has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME

from ariel_scripts.opening.hub import locate_model
from ariel_scripts.opening.provenance import read_record
from ariel_scripts.options.yaml_values import read_mapping
from modeling_ariel.penalty_rules import Rules


def read_penalties(path: Path) -> dict[str, Any]:
    """The `penalties` of a model's config in a YAML file; ValueError that names file and entry where they are none."""
    found = read_mapping(path, "penalties", "rules and what they need")
    try:
        Rules.of(found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def model_penalties(source: str, revision: str | None) -> dict[str, Any] | None:
    """The `penalties` that a model (folder or Hub id) was trained with, None for none."""
    record = read_record(Path(locate_model(source, revision).location) / CONFIG_NAME)
    found: dict[str, Any] | None = record.get("penalties")
    return found
