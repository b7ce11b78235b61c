"""Where a dataset or a model is read from: a folder, or a Hub repository at one commit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

MODEL_FILES = ("*.safetensors", "*.json", "README.md")  # no code: this package's own classes are used
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

    @property
    def revision(self) -> str | None:
        """What to ask the Hub for; None where ``location`` is on this machine or a URL."""
        return self.commit if self.location == self.name else None

    def record(self) -> dict[str, str]:
        """What finds the same content again: the name and, of a Hub repository, the commit."""
        return {"name": self.name} if self.commit is None else {"name": self.name, "commit": self.commit}


def locate_dataset(dataset: str | Located, revision: str | None = None) -> Located:
    """The dataset at the commit where ``revision`` (branch, tag or commit; default the main branch) is now.

    A folder or URL is taken as it is. Where the Hub can't be reached, a complete copy in its cache serves.

    Raises:
        ValueError: no such folder, repository or revision; no access; a revision of a folder.
    """
    if isinstance(dataset, Located):
        return dataset
    if _is_here(dataset, "dataset", revision):
        return Located(dataset, dataset)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    with hub_errors("dataset", dataset, revision):
        try:
            return Located(dataset, dataset, HfApi().dataset_info(dataset, revision=revision).sha)
        except HfHubHTTPError:  # it answered
            raise
        except (HTTPError, OfflineModeIsEnabled) as error:
            logger.debug("%s: %s", dataset, error)
            folder = snapshot_download(dataset, repo_type="dataset", revision=revision, local_files_only=True)
    logger.warning("%s: the Hub can't be reached: the copy in its cache is read", dataset)
    return Located(dataset, folder, Path(folder).name)


def locate_model(model: str | Located, revision: str | None = None) -> Located:
    """The folder of a model: "released", a folder as it is, or a copy of a Hub repository (weights and JSON, no code).

    Raises:
        ValueError: no such folder, repository or revision; no access; a revision of a folder.
    """
    from ariel_scripts._models import RELEASED, checkpoint_path

    if isinstance(model, Located):
        return model
    folder = checkpoint_path(model)
    if _is_here(folder, "model", revision):
        return Located(model if model == RELEASED else folder, folder)
    from huggingface_hub import snapshot_download

    with hub_errors("model", model, revision):
        folder = snapshot_download(model, revision=revision, allow_patterns=list(MODEL_FILES))
    return Located(model, folder, Path(folder).name)


def _is_here(name: str, kind: str, revision: str | None) -> bool:
    """Whether it is a folder or URL rather than a Hub id; ValueError where it has a revision all the same."""
    here = "://" in name or Path(name).exists()
    if here and revision is not None:
        raise ValueError(f"{OPTION[kind]} {revision}: expected a {kind} on the Hub, found the folder {name}")
    return here


@contextlib.contextmanager
def hub_errors(kind: str, name: str, revision: str | None = None) -> Iterator[None]:
    """Say in one line what the Hub refused, as ValueError. kind: model or dataset."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

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
        raise ValueError(
            f"{name}: expected a {kind} folder or a Hub id, found no such folder; {_why_unreachable(error)}, and its "
            "cache has no complete copy"
        ) from error
    except EntryNotFoundError as error:
        raise ValueError(f"{name}: the {kind} on the Hub lacks a file: {error}") from error
    except HfHubHTTPError as error:
        reason = error.server_message or "no reason given"
        raise ValueError(f"{name}: the Hub answers {error.response.status_code}: {reason}") from error


def _why_unreachable(error: BaseException) -> str:
    """Why a client took what it had: offline by choice, no connection, or an error of the Hub."""
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    if is_offline_mode():
        return "the Hub isn't asked (HF_HUB_OFFLINE)"
    cause = error.__cause__
    if isinstance(cause, HfHubHTTPError):
        return f"the Hub answers {cause.response.status_code}"
    return "the Hub can't be reached"
