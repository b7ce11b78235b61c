"""Patches in and out of transit as contrastive pretraining puts them, drawn in two dimensions by UMAP.

UMAP: McInnes, Healy & Melville 2018 (arXiv:1802.03426); it is of the extra `report`.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.palette import BLUE, ORANGE
from ariel_scripts.training.separation import Patches, silhouette
from modeling_ariel.contrastive import IN, OUT

logger = logging.getLogger(__name__)

_NEIGHBOURS = 15  # the library's own


def write_separation(path: Path, patches: Patches, seed: int) -> bool:
    """Draw ``patches`` as a PNG; whether there was UMAP, and enough of them, to do it with."""
    if find_spec("umap") is None:
        logger.info("%s is not drawn: expected umap-learn, found none: pip install 'ariel-hf[report]'", path.name)
        return False
    count = len(patches.vectors)
    if count <= _NEIGHBOURS:
        logger.info("%s is not drawn: expected more than %d patches, found %d", path.name, _NEIGHBOURS, count)
        return False
    import umap  # slow to import

    mapper = umap.UMAP(n_neighbors=_NEIGHBOURS, metric="cosine", random_state=seed, n_jobs=1)
    separation_figure(np.asarray(mapper.fit_transform(patches.vectors)), patches).savefig(path, dpi=130)
    logger.info("%s: %d patches", path, count)
    return True


def separation_figure(place: np.ndarray, patches: Patches) -> Any:
    """Patches at ``place`` (K, 2), coloured by their side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    for side, name, colour in ((OUT, "out of transit", BLUE), (IN, "in transit", ORANGE)):
        of_side = patches.side == side
        label = f"{name} ({int(of_side.sum())} patches)"
        x, y = place[of_side].T
        axes.scatter(x, y, s=8, color=colour, alpha=0.7, linewidths=0, label=label)
    apart = silhouette(patches.vectors, patches.side)
    axes.set(xlabel="UMAP 1", ylabel="UMAP 2", title=f"Held-out light curves: silhouette {apart:.2f}")
    axes.legend(loc="best")
    return figure
