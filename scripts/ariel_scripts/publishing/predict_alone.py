"""Predict with a saved model by the code beside it: a program of its own, in which this package cannot be imported.

Run: python -I predict_alone.py MODEL CURVES.npz OUT.npz AUTO_CLASS THREADS PATHS. PATHS: JSON list for sys.path.
"""

from __future__ import annotations

import importlib.abc
import json
import sys
from collections.abc import Mapping
from typing import Any

PACKAGES = ("ariel_scripts", "hf_dataset", "modeling_ariel")


class Absent(importlib.abc.MetaPathFinder):
    """Makes packages look as if they were not installed."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Refuse those of ``PACKAGES``; leave all others to who comes next."""
        if fullname.split(".")[0] in PACKAGES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


# torch is imported in functions: `main` has to say first where it is
def predict(model: Any, extractor: Any, curves: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays that a model answers to ``curves``: stacks (B, …) of the dataset's columns."""
    import torch

    rows = [{name: column[n] for name, column in curves.items()} for n in range(len(curves["time"]))]
    inputs = extractor(rows)
    if type(model).__name__ == "ArielForPreTraining":
        wanted = ("light_curve", "valid", "time", "centroid", "star_features")
        inputs = {name: inputs[name] for name in wanted}
    torch.manual_seed(0)  # masks
    with torch.no_grad():
        answer = model.eval()(**inputs)
    return {name: value.numpy() for name, value in answer.items() if isinstance(value, torch.Tensor)}


def main(folder: str, curves: str, out: str, auto: str, threads: str, paths: str) -> None:
    """Load by the auto classes, as anybody would, and write the answer."""
    sys.path.extend(path for path in json.loads(paths) if path not in sys.path)
    sys.meta_path.insert(0, Absent())
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(int(threads))
    model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    with np.load(curves, allow_pickle=False) as given:
        np.savez(out, **predict(model, extractor, dict(given)))


if __name__ == "__main__":
    main(*sys.argv[1:])
