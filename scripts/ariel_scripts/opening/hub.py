"""Where a dataset or a model is read from: a folder, or a Hub repository at one commit."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import modeling_ariel
from ariel_scripts.invocation import RELEASED, current
from ariel_scripts.opening.cache import check_complete
from hf_dataset.raw.files import PACKED
from hf_dataset.store.shards import DATA_DIR

logger = logging.getLogger(__name__)

MODEL_FILES = ("*.safetensors", "*.json", "README.md")  # no code: this package's own classes are used
_FILES = {".parquet", ".arrow", ".csv", ".json", ".jsonl", ".npz", ".h5", ".fits", ".safetensors", ".pt", *PACKED}
OPTION = {"model": "--revision", "dataset": "--dataset-revision"}


@dataclass(frozen=True)
class Located:
    """A dataset or a model by the ``name`` it was given.

    location: a folder or URL, or the Hub id again where files are fetched as they are needed. commit: the one that a
    Hub repository is read at; None for a folder.
    """

    name: str
    location: str
    commit: str | None = None

    def __post_init__(self) -> None:
        """Tell the command that is running which commit it reads."""
        running = current()
        if running is not None and self.commit is not None:
            running.commits[self.name] = self.commit

    @property
    def revision(self) -> str | None:
        """What to ask the Hub for; None where ``location`` is on this machine or a URL."""
        return self.commit if self.location == self.name else None

    def record(self) -> dict[str, str]:
        """What finds the same content again: the name and, of a Hub repository, the commit."""
        return {"name": self.name} if self.commit is None else {"name": self.name, "commit": self.commit}


def locate_dataset(dataset: str | Located, revision: str | None = None) -> Located:
    """The dataset at the commit where ``revision`` (branch, tag or commit; default the main branch) is now.

    A folder or URL is taken as it is. Where the Hub can't be reached, a whole copy in its cache serves.

    Raises:
        ValueError: no such folder, repository or revision; no access; a copy that lacks files; a revision of a folder.
    """
    if isinstance(dataset, Located):
        return dataset
    if _is_local(dataset, "dataset", revision):
        return Located(dataset, dataset)
    with hub_errors("dataset", dataset, revision):
        commit, silence = _commit_at("dataset", dataset, revision)
        if commit is not None:
            return Located(dataset, dataset, commit)
        folder = _cached_copy("dataset", dataset, revision, silence)
    check_complete(Path(folder), dataset)
    return Located(dataset, folder, Path(folder).name)


def locate_model(model: str | Located, revision: str | None = None) -> Located:
    """The folder of a model: "released", a folder as it is, or a copy of a Hub repository (weights and JSON, no code).

    Where the Hub can't be reached, the copy in its cache serves.

    Raises:
        ValueError: no such folder, repository or revision; no access; a revision of a folder.
    """
    if isinstance(model, Located):
        return model
    folder = checkpoint_path(model)
    if _is_local(folder, "model", revision):
        return Located(model if model == RELEASED else folder, folder)
    with hub_errors("model", model, revision):
        commit, silence = _commit_at("model", model, revision)
        if commit is None:
            folder = _cached_copy("model", model, revision, silence)
        else:
            folder = snapshot_download(model, revision=revision, allow_patterns=list(MODEL_FILES))
            if Path(folder).name != commit:  # not by the commit: then no name leads to the copy once the Hub is away
                logger.warning("%s: commit %s is read, not %s", model, Path(folder).name[:12], commit[:12])
    return Located(model, folder, Path(folder).name)


def checkpoint_path(source: str) -> str:
    """The folder of "released", the checkpoint that comes with the package; any other folder or Hub id as it is."""
    if source != RELEASED:
        return source
    if Path(RELEASED).is_dir():
        logger.warning("%s: the checkpoint of the package is taken; for the folder here say ./%s", RELEASED, RELEASED)
    return str(Path(str(modeling_ariel.__file__)).parent / RELEASED)


def _commit_at(kind: str, name: str, revision: str | None) -> tuple[str | None, str]:
    """The commit where a revision is now; or None, and why the Hub does not say. What it refuses is raised."""
    try:
        return HfApi().repo_info(name, repo_type=kind, revision=revision).sha, ""
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return None, f"the Hub answers {error.response.status_code}"
    except (HTTPError, OfflineModeIsEnabled) as error:
        logger.debug("%s: %s", name, error)
        return None, "the Hub isn't asked (HF_HUB_OFFLINE)" if is_offline_mode() else "the Hub can't be reached"


def _cached_copy(kind: str, name: str, revision: str | None, silence: str) -> str:
    """The folder of the copy in the Hub's cache, with a warning that it may be out of date."""
    files = list(MODEL_FILES) if kind == "model" else None
    try:
        folder = snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=files, local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"{name}: expected a {kind} folder or a Hub id, found no such folder; {silence}, and its cache has no "
            "complete copy"
        ) from error
    logger.warning("%s: %s: the copy in its cache is read, commit %s", name, silence, Path(folder).name[:12])
    return folder


def _is_local(name: str, kind: str, revision: str | None) -> bool:
    """Whether it is a folder or URL rather than a Hub id.

    Raises:
        ValueError: it has a revision all the same; it is a file, an empty folder, or a path where nothing is.
    """
    here = "://" in name or Path(name).exists()
    if here and revision is not None:
        raise ValueError(f"{OPTION[kind]} {revision}: expected a {kind} on the Hub, found the folder {name}")
    if "://" not in name and (wrong := _wrong_path(name, kind)):
        raise ValueError(f"{name}: expected a {kind} folder or a Hub id, found {wrong}")
    return here


def _wrong_path(name: str, kind: str) -> str:
    """What a path leads to that can be neither a folder of ours nor a Hub id, in words; empty where it can."""
    path = Path(name)
    if path.is_dir():
        if not any(path.iterdir()):
            return "an empty folder"
        tables = any((path / table).exists() for table in ("adc_info.csv", "train_adc_info.csv", "axis_info.parquet"))
        if kind == "dataset" and tables and not (path / "data").exists():
            return "a raw challenge folder: make the dataset of it first (ariel build-dataset)"
        return ""
    if path.exists():
        if name.endswith(PACKED):
            return "a packed file: unpack it"
        shard = f"; light curves go into a folder, as {DATA_DIR}/train-00000-of-00001.parquet"
        return "a file" + (shard if kind == "dataset" and path.suffix == ".parquet" else "")
    of_path = name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name
    return "nothing there" if of_path or path.suffix.lower() in _FILES else ""


@contextlib.contextmanager
def hub_errors(kind: str, name: str, revision: str | None = None) -> Iterator[None]:
    """Say in one line what the Hub refused, as ValueError. kind: model or dataset."""
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{name}: expected a {kind} folder or a Hub id (OWNER/NAME), found neither") from error
    except GatedRepoError as error:
        raise ValueError(
            f"{name}: the {kind} is gated on the Hub: ask for access on its page, then log in (hf auth login)"
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{name}: expected a {kind} folder or a Hub id, found no such folder and no such {kind} on the Hub; a "
            "private one needs a login (hf auth login)"
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{name}: expected revision {revision!r} of the {kind} on the Hub, found none") from error
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{name}: the {kind} can't be fetched, and the Hub's cache has no complete copy") from error
    except EntryNotFoundError as error:
        raise ValueError(f"{name}: the {kind} on the Hub lacks a file: {error}") from error
    except HfHubHTTPError as error:
        reason = error.server_message or "no reason given"
        raise ValueError(f"{name}: the Hub answers {error.response.status_code}: {reason}") from error
