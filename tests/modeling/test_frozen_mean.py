"""Sigma trained alone: the mean stays to the bit, in every architecture, and sigma learns the size of its errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architecture_scenes import FIRST_OF_OTHERS, small_model
from spectrum_scenes import prepared, spectrum_model

from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.transit_cnn import TransitCnn

SETTINGS = {"spectramind": {"sigma_head": "quantiles"}}


def model_of(name: str) -> Any:
    return spectrum_model(stirred=0.03) if name == "ariel" else small_model(name, 0.05, **SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", ["ariel", *FIRST_OF_OTHERS])
def test_the_mean_stays_and_sigma_learns_how_far_it_is_off(name: str) -> None:
    model, batch = model_of(name), prepared()
    batch.pop("labels")
    with torch.no_grad():
        before = model(**batch)
    draw = torch.Generator().manual_seed(1)
    off = 3.0 * before.classical_sigma.double()
    labels = [before.mean + off * torch.randn(off.shape, generator=draw, dtype=torch.float64) for _ in range(10)]
    model.freeze_mean()
    model.train()
    assert not model.training
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained
    optimizer = torch.optim.AdamW(trained, lr=0.01, betas=(0.9, 0.9), weight_decay=0.0)
    for _ in range(8):
        for label in labels:
            optimizer.zero_grad()
            model(**batch, labels=label).loss.backward()
            optimizer.step()
    with torch.no_grad():
        after = model(**batch)
    assert torch.equal(after.mean, before.mean)
    ratio = (after.sigma / off.to(after.sigma)).log()
    assert float(ratio.median().abs()) < 0.15
    assert float(ratio.abs().median()) < 0.3


def test_an_architecture_that_does_not_say_what_is_of_sigma_cannot_freeze_its_mean() -> None:
    class Silent(TransitCnn):
        sigma_layers = ArielSpectrumModel.sigma_layers

    silent = Silent(small_model("transit_cnn").config)
    with pytest.raises(NotImplementedError, match="Silent: expected a method sigma_layers"):
        silent.freeze_mean()
