"""On a GPU the fit, predictions and training are what they are on the CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from spectrum_scenes import (
    WAVELENGTH,
    backbone_inputs,
    config,
    features,
    population,
    prepared,
    pretraining_model,
    spectrum_model,
)
from torch import Tensor

from modeling_ariel.physics import fit_inputs
from modeling_ariel.retrieval import ClassicalFit, fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
DEVICE = "cuda"
# What rounding in another order does to a fit, which ends after a fixed number of steps, in sigma; to a network.
FIT_SIGMA, NETWORK_SIGMA, LOSS = 1e-4, 1e-3, 1e-3


def there(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(DEVICE) for name, value in batch.items()}


@cache
def both_fits() -> tuple[ClassicalFit, ClassicalFit]:
    """Of all visits on the CPU and on the GPU; wavelengths come as an array, as users have them."""
    batch = fit_inputs(features())
    with torch.no_grad():
        return fit(batch, WAVELENGTH), fit(there(batch), WAVELENGTH)


def test_a_fit_is_computed_where_its_light_curves_are() -> None:
    _, found = both_fits()
    for name in ClassicalFit.__annotations__:
        value = getattr(found, name)
        if isinstance(value, Tensor):
            assert value.device.type == DEVICE, name


def test_a_fit_is_the_same_within_a_small_part_of_its_errors() -> None:
    expected, found = both_fits()
    assert found.status == expected.status
    errors = {"depth": expected.depth_err, "shared": expected.shared_covariance.diagonal(dim1=1, dim2=2).sqrt()}
    for name, error in errors.items():
        away = (getattr(found, name).cpu() - getattr(expected, name)) / error
        assert float(away.abs().max()) < FIT_SIGMA, name
    for name in ("depth_err", "white_depth_err", "noise_scale", "beta"):
        torch.testing.assert_close(getattr(found, name).cpu(), getattr(expected, name), rtol=FIT_SIGMA, atol=0)


@pytest.mark.parametrize("populations", [False, True], ids=["without populations", "with populations"])
def test_predictions_are_the_same_within_a_small_part_of_their_errors(populations: bool) -> None:
    model, found = spectrum_model(), []
    for table in (False, True) if populations else ():
        model.physics.set_population(population(table), table)
    batch = features()
    given = {name: batch[name] for name in ("light_curve", "valid", "time", "flux", "flux_err", "centroid", "star",
                                            "star_features", "planet")}  # fmt: skip
    for inputs, device in ((given, "cpu"), (there(given), DEVICE)):
        with torch.no_grad():
            found.append(model.to(device)(**inputs))
    expected, out = found
    assert out.status == expected.status
    away = (out.mean.cpu() - expected.mean) / expected.sigma
    assert float(away.abs().max()) < NETWORK_SIGMA
    torch.testing.assert_close(out.sigma.cpu(), expected.sigma, rtol=NETWORK_SIGMA, atol=0)


@pytest.mark.parametrize("kind", ["pretraining", "spectra"])
def test_training_steps_have_the_same_losses(kind: str) -> None:
    inputs: dict[str, Any] = prepared()
    if kind == "pretraining":
        inputs = backbone_inputs(inputs)
        generator = torch.Generator().manual_seed(1)
        inputs["noise"] = torch.rand(len(inputs["time"]), inputs["time"].shape[1] // config().patch_bins,
                                     generator=generator)  # fmt: skip
    losses = []
    for device in ("cpu", DEVICE):
        model = (pretraining_model() if kind == "pretraining" else spectrum_model()).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        batch, seen = {name: value.to(device) for name, value in inputs.items()}, []
        for _ in range(5):
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(float(loss.detach()))
        losses.append(seen)
    assert losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=LOSS)
