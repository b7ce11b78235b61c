"""Raw Ariel frames in, a Hugging Face dataset of light curves out.

The names below are what notebooks and scripts use. Each is imported on first use (PEP 562): importing the package
costs nothing, and the part that a Space carries works without the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__all__ = [
    "BuildConflict",
    "BuildError",
    "BuildOptions",
    "BuildSummary",
    "RawDataError",
    "ReductionError",
    "ReductionOptions",
    "build_dataset",
    "find_frames",
    "find_row",
    "open_folder",
    "open_frames",
    "read_wavelengths",
    "reduce_visit",
    "verify",
    "write_card",
    "write_rows",
]

_HOMES = {
    "BuildConflict": "build.resume",
    "BuildError": "build.run",
    "BuildOptions": "build.plan",
    "BuildSummary": "build.summary",
    "RawDataError": "raw.files",
    "ReductionError": "reduction.options",
    "ReductionOptions": "reduction.options",
    "build_dataset": "build.run",
    "find_frames": "store.frames",
    "find_row": "store.rows",
    "open_folder": "raw.layouts",
    "open_frames": "store.frames",
    "read_wavelengths": "store.card",
    "reduce_visit": "reduction.visit",
    "verify": "store.verify",
    "write_card": "store.card",
    "write_rows": "store.shards",
}

if TYPE_CHECKING:
    from hf_dataset.build.plan import BuildOptions
    from hf_dataset.build.resume import BuildConflict
    from hf_dataset.build.run import BuildError, build_dataset
    from hf_dataset.build.summary import BuildSummary
    from hf_dataset.raw.files import RawDataError
    from hf_dataset.raw.layouts import open_folder
    from hf_dataset.reduction.options import ReductionError, ReductionOptions
    from hf_dataset.reduction.visit import reduce_visit
    from hf_dataset.store.card import read_wavelengths, write_card
    from hf_dataset.store.frames import find_frames, open_frames
    from hf_dataset.store.rows import find_row
    from hf_dataset.store.shards import write_rows
    from hf_dataset.store.verify import verify
else:  # type checkers would believe that a module with this function has every name

    def __getattr__(name: str) -> object:
        """A public name, from the module that it lives in."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Public names too, for completion in notebooks."""
    return sorted({*globals(), *__all__})
