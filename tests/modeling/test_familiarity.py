"""How far planets are from training, and what is left of a correction; errors that channels' scatter contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from spectrum_scenes import features, fits, population, prepared, spectrum_model
from torch import Tensor

from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.familiarity import Familiarity, kept_share, with_distance_notes
from modeling_ariel.populations import doubted

RELEASED = Path(__file__).resolve().parents[2] / "modeling_ariel/released"
ON_A_PLANE = 3  # of the axes along which training varies


def drawn(count: int, seed: int, width: int = 16) -> Tensor:
    """Features that vary along three axes, a thousand times less along the others."""
    draw = torch.Generator().manual_seed(seed)
    size = torch.full((width,), 1e-3)
    size[:ON_A_PLANE] = torch.tensor([10.0, 3.0, 1.0])
    turn = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(1)))[0]
    return (torch.randn(count, width, generator=draw) * size) @ turn.T


def learned() -> Familiarity:
    found = Familiarity(16)
    found.learn(drawn(4000, 0), drawn(200, 2))
    return found


def corrected(**changes: Tensor) -> ArielForSpectrumPrediction:
    """A model whose head moves every channel by a sigma and halves it."""
    model = spectrum_model()
    with torch.no_grad():
        model.head.level.bias.copy_(torch.tensor([1.0, -0.7]))
        for name, value in changes.items():
            getattr(model.familiarity, name).copy_(value)
    return model


def test_planets_like_those_of_training_are_familiar_and_others_are_not() -> None:
    found = learned()
    at_home = found(drawn(5000, 3))
    assert 0.975 < float((at_home <= 1.0).float().mean()) < 0.995
    assert float(found(drawn(100, 4) + 0.3).median()) > 2.0  # off the axes of training
    assert float(found(5.0 * drawn(100, 4)).median()) > 2.0  # and far along them


def test_nothing_is_far_before_anything_is_learned() -> None:
    assert torch.equal(Familiarity(16)(drawn(5, 0)), torch.zeros(5))
    found = learned()
    found.reset(Tensor.zero_)
    assert torch.equal(found(drawn(5, 0)), torch.zeros(5))


def test_what_did_not_vary_in_training_is_far_as_soon_as_it_does() -> None:
    found = Familiarity(16)
    found.learn(torch.ones(40, 16), torch.ones(10, 16))
    assert found.learned
    assert found(torch.ones(2, 16)).tolist() == [0.0, 0.0]
    assert float(found(torch.ones(1, 16) + 0.01)) > 2.0


def test_the_correction_fades_between_the_edge_and_twice_as_far() -> None:
    assert kept_share(torch.tensor([0.0, 1.0, 1.25, 2.0, 9.0])).tolist() == [1.0, 1.0, 0.75, 0.0, 0.0]


def test_far_from_home_the_classical_answer_is_left() -> None:
    batch = prepared()
    near, far = corrected(limit=torch.tensor(1e9)), corrected(limit=torch.tensor(1e-9), whiten=torch.tensor(1.0))
    with torch.no_grad():
        one, other = near(**batch), far(**batch)
    assert not torch.allclose(one.mean, batch["classical_mean"], rtol=1e-4)
    assert torch.allclose(other.mean, batch["classical_mean"])
    assert torch.allclose(other.sigma.double(), batch["classical_sigma"].double(), rtol=1e-5)
    assert float(other.distance.min()) > 2.0


def test_notes_say_how_far_and_what_is_kept() -> None:
    assert with_distance_notes(["", "faint", ""], torch.tensor([0.4, 1.25, 7.0])) == [
        "",
        "faint; unlike the network's training (distance 1.2): 75 % of its correction is kept",
        "unlike the network's training (distance 7.0): 0 % of its correction is kept",
    ]
    model = corrected(limit=torch.tensor(1e-9), whiten=torch.tensor(1.0))
    with torch.no_grad():
        direct = model(**features([0, 1]))
    assert all("unlike the network's training" in note for note in direct.notes)


def test_older_checkpoints_load_find_all_familiar_and_doubt_their_populations(tmp_path: Path) -> None:
    model = corrected(limit=torch.tensor(3.0))
    model.physics.set_population(population(True), True)
    model.save_pretrained(tmp_path)
    state, newer = load_file(tmp_path / "model.safetensors"), ("familiarity", "population_shares")
    save_file({name: value for name, value in state.items() if not any(part in name for part in newer)},
              tmp_path / "model.safetensors", {"format": "pt"})  # fmt: skip
    loaded, info = ArielForSpectrumPrediction.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert float(loaded.familiarity.limit) == 0.0
    torch.testing.assert_close(loaded.physics.population_shares, doubted().float().expand(2, -1, -1))
    assert torch.equal(loaded.physics.population_mean, model.physics.population_mean)


# --- errors that are too small --------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1.5, *(pytest.param(n, marks=pytest.mark.slow) for n in (1.0, 2.5))])
def test_errors_that_channels_contradict_are_made_larger(times: float) -> None:
    """Depths of the released prior's own spectra, whose errors are really so many times larger than stated."""
    physics = ArielForSpectrumPrediction.from_pretrained(RELEASED).physics
    prior, count = physics.spectrum_prior(), 40
    draw = torch.Generator().manual_seed(3)
    covariance = (30e-6) ** 2 * torch.eye(len(prior.mean), dtype=torch.float64).expand(count, -1, -1)
    root = torch.linalg.cholesky(prior.common + prior.scales[2] ** 2 * prior.features)
    truth = prior.mean + torch.randn(count, len(prior.mean), generator=draw, dtype=torch.float64) @ root.T
    depth = truth + times * 30e-6 * torch.randn(truth.shape, generator=draw, dtype=torch.float64)
    posterior, wider, factor = physics.believed(depth, covariance)
    mean, sigma, _ = posterior(depth)
    inside = float(((mean - truth).abs() < 1.645 * sigma).double().mean())
    if times == 1.0:
        assert torch.equal(factor, torch.ones(count).double())
        assert wider is covariance
        return
    assert float(factor.sqrt().median()) == pytest.approx(times, rel=0.1)
    assert 0.85 < inside < 0.97
    unheeded, narrow, _ = physics.posterior(covariance)(depth)
    assert float(((unheeded - truth).abs() < 1.645 * narrow).double().mean()) < 0.85


def test_a_planet_whose_errors_were_too_small_is_noted() -> None:
    physics, trusting = (spectrum_model(prior_surprise=share).physics for share in (0.05, 0.0))
    found, one = fits().select(torch.tensor([0])), torch.zeros(1, dtype=torch.long)
    assert "times their errors" not in physics.summarise(found, one).notes[0]
    found.depth = found.depth + 3e-3 * (-1.0) ** torch.arange(found.depth.shape[1])
    told = physics.summarise(found, one)
    assert "times their errors about any smooth spectrum" in told.notes[0]
    assert told.status == ["doubtful"]
    assert "times their errors" not in trusting.summarise(found, one).notes[0]  # it knows no other spectrum
