"""`ariel pretrain --architecture spectre`: masking beats trivial answers, and fine-tuning starts from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from architecture_scenes import SMALL
from safetensors.torch import load_file
from spectrum_scenes import CHANNELS, WAVELENGTH
from torch import Tensor
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands import finetune, pretrain
from modeling_ariel import SpectreConfig, SpectreForPreTraining
from modeling_ariel.denoising_network import bin_channels, bin_times
from modeling_ariel.image_layers import transit_shapes

BINS = 80
SETTINGS = [word for name, value in SMALL["spectre"].items() for word in ("--set", f"{name}={value}")]


def command(main: Any, *arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def curves(visits: int) -> dict[str, Tensor]:
    """Transits (B, T, C) in sigma, deeper at some wavelengths, in noise."""
    shape = transit_shapes(BINS)[torch.randint(0, 9, (visits,))]
    depth = 2.0 + 2.0 * torch.rand(visits, 1) + torch.rand(visits, 1) * torch.sin(torch.linspace(0, 6, CHANNELS))
    light = shape[..., None] * depth[:, None] + torch.randn(visits, BINS, CHANNELS)
    return {
        "light_curve": light - light.median(1, keepdim=True).values,
        "valid": torch.ones_like(light, dtype=torch.bool),
        "time": torch.linspace(0, 7.5, BINS).expand(visits, -1),
    }


def interpolated(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Image (N, D) with hidden rows (N,) on straight lines between those that are seen."""
    seen = np.flatnonzero(~hidden)
    return np.stack([np.interp(np.arange(len(image)), seen, column[seen]) for column in image.T], 1)


@pytest.mark.slow
def test_masked_pretraining_rebuilds_better_than_nothing_and_than_straight_lines() -> None:
    torch.manual_seed(0)
    config = SpectreConfig(wavelength=WAVELENGTH.tolist(), **(SMALL["spectre"] | {"hidden_dropout_prob": 0.0}))
    model = SpectreForPreTraining(config).train()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    for _ in range(200):
        optimizer.zero_grad()
        model(**curves(16)).loss.backward()
        optimizer.step()
        schedule.step()
    batch = curves(48)
    with torch.no_grad():
        out = model.eval()(**batch)
    light, weight = bin_times(batch["light_curve"], batch["valid"].float(), config.patch_bins)
    image, _ = bin_channels(light, weight, config.patch_channels)
    image, rebuilt, hidden = image.numpy(), out.reconstruction.numpy(), out.mask[..., 0].numpy()  # blocks in time
    lines = np.stack([interpolated(*pair) for pair in zip(image, hidden, strict=True)])
    errors = {name: np.mean((image - x)[hidden] ** 2) for name, x in (("zero", 0 * image), ("lines", lines))}
    found = np.mean((image - rebuilt)[hidden] ** 2)
    assert found < 0.6 * min(errors.values())


def test_fine_tuning_starts_from_what_the_command_pretrained(tmp_path: Path) -> None:
    quick = ("--batch-size", 2, "--tracker", "none", *SETTINGS)
    run = ("--simulate", 4, "--validation", 2, "--steps", 3, "--out", tmp_path / "pretrained")
    done = command(pretrain.main, "--architecture", "spectre", "--mask-strategy", "block", *run, *quick)
    assert done.exit_code == 0, done.output
    start = tmp_path / "pretrained/model"
    config = json.loads((start / "config.json").read_text())
    assert (config["model_type"], config["mask_strategy"], config["mask_ratio"]) == ("spectre", "block", 0.6)
    assert config["auto_map"]["AutoModelForPreTraining"] == "spectre.SpectreForPreTraining"
    still = ("--steps", 1, "--learning-rate", 1e-12, "--weight-decay", 0)
    tuned = ("--simulate", 4, "--physics", "none", *still, "--model", start, "--out", tmp_path / "tuned", *quick)
    done = command(finetune.main, *tuned)
    assert done.exit_code == 0, done.output
    before, after = load_file(start / "model.safetensors"), load_file(tmp_path / "tuned/model/model.safetensors")
    encoder = [name for name in before if name.startswith("encoder.")]
    assert len(encoder) == len(before) > 50
    for name in encoder:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)
    assert json.loads((tmp_path / "tuned/model/config.json").read_text())["model_type"] == "spectre"
    for main, wrong, said in (
        (pretrain.main, "ariel", "expected the architecture ariel, found spectre"),
        (finetune.main, "transit_cnn", "expected the architecture transit_cnn, found spectre"),
    ):
        refused = command(main, "--simulate", 4, "--model", start, "--architecture", wrong, "--out", tmp_path / "x",
                          *(("--physics", "none") if main is finetune.main else ()))  # fmt: skip
        assert refused.exit_code == 1
        assert said in refused.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--architecture", "transit_cnn"), "expected one that is pretrained, ariel or spectre, found 'transit_cnn'"),
        (("--architecture", "spectre", "--task", "contrastive"), "task contrastive: expected architecture ariel"),
        (("--architecture", "spectre", "--set", "denoise=false"), "expected a config with denoise"),
    ],
)
def test_what_is_not_pretrained_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = command(pretrain.main, "--simulate", 0, "--out", tmp_path / "x", *arguments)
    assert refused.exit_code == 1
    assert said in refused.output
    assert not (tmp_path / "x").exists()
