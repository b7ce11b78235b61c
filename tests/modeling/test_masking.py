"""What masks hide: exact numbers, runs, whole bands, bright channels; a function of the noise alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_ariel.masking import (
    BANDS,
    STRATEGIES,
    MaskError,
    band_mask,
    block_mask,
    channel_snr,
    expand_mask,
    make_mask,
    noise_shape,
    patch_valid,
    random_mask,
    snr_mask,
)
from modeling_ariel.scoring import BANDS as JUDGED_BANDS

WAVELENGTH = torch.cat([torch.tensor([0.7]), torch.linspace(1.952, 3.895, 47)])


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def between(wavelength: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return (wavelength >= low) & (wavelength < high)


def everything(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    patches=st.integers(2, 40),
    ratio=st.floats(0.01, 0.99),
    length=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_time_masks_hide_the_exact_number_of_patches(
    rows: int, patches: int, ratio: float, length: int, seed: int
) -> None:
    usable, noise = everything(rows, patches), uniform(rows, patches, seed=seed)
    expected = min(max(round(ratio * patches), 1), patches - 1)
    for mask in (random_mask(usable, ratio, noise), block_mask(usable, ratio, noise, length)):
        assert mask.sum(1).tolist() == [expected] * rows


@settings(max_examples=60, deadline=None)
@given(patches=st.integers(1, 30), ratio=st.floats(0.05, 0.95), share=st.floats(0.0, 1.0), seed=st.integers(0, 2**31))
def test_patches_without_data_are_never_hidden_and_some_data_always_stay(
    patches: int, ratio: float, share: float, seed: int
) -> None:
    usable = uniform(3, patches, seed=seed) < share
    noise = uniform(3, patches, seed=seed + 1)
    for mask in (random_mask(usable, ratio, noise), block_mask(usable, ratio, noise)):
        assert not (mask & ~usable).any()
        for row in range(3):
            number = int(usable[row].sum())
            assert int(mask[row].sum()) == min(max(round(ratio * number), 1), max(number - 1, 0))


@settings(max_examples=40, deadline=None)
@given(patches=st.integers(10, 40), length=st.integers(2, 5), seed=st.integers(0, 2**31))
def test_blocks_are_runs_of_their_length_but_for_one_that_is_cut(patches: int, length: int, seed: int) -> None:
    hidden = block_mask(everything(1, patches), 0.4, uniform(1, patches, seed=seed), length)[0].tolist()
    start = hidden.index(False)  # on the circle, a run that meets the end goes on at the beginning
    circle = "".join("x" if value else " " for value in hidden[start:] + hidden[:start])
    runs = [len(run) for run in circle.split()]
    assert sum(length > run for run in runs) <= 1


def test_block_masks_hide_every_patch_equally_often() -> None:
    often = block_mask(everything(20000, 20), 0.5, uniform(20000, 20), 4).double().mean(0)
    np.testing.assert_allclose(often, 0.5, atol=0.015)  # 4 sigma


def test_masks_are_functions_of_the_noise_alone() -> None:
    usable = everything(2, 25, 48)
    snr = uniform(2, 48, seed=5)
    for strategy in STRATEGIES:
        noise = uniform(*noise_shape(strategy, *usable.shape), seed=3)
        torch.manual_seed(0)
        first = make_mask(strategy, usable, 0.5, noise=noise, wavelength=WAVELENGTH, snr=snr)
        torch.manual_seed(1)
        state = torch.get_rng_state()
        assert torch.equal(first, make_mask(strategy, usable, 0.5, noise=noise, wavelength=WAVELENGTH, snr=snr))
        assert torch.equal(state, torch.get_rng_state())
        alone = make_mask(strategy, usable[1:], 0.5, noise=noise[1:], wavelength=WAVELENGTH, snr=snr[1:])
        assert torch.equal(first[1:], alone)


def test_a_generator_may_draw_the_noise() -> None:
    usable = everything(2, 25, 48)
    for strategy in STRATEGIES:
        masks = [
            make_mask(
                strategy,
                usable,
                0.5,
                generator=torch.Generator().manual_seed(seed),
                wavelength=WAVELENGTH,
                snr=torch.ones(2, 48),
            )
            for seed in (1, 1, 2)
        ]
        assert torch.equal(masks[0], masks[1])
        assert not torch.equal(masks[0], masks[2])


def test_padding_a_visit_does_not_change_what_is_hidden_of_it() -> None:
    noise = uniform(1, 30)
    padded = torch.arange(30)[None] < 25
    mask = random_mask(padded, 0.6, noise)
    assert torch.equal(mask[:, :25], random_mask(everything(1, 25), 0.6, noise[:, :25]))
    assert not mask[:, 25:].any()


def test_equal_noise_hides_the_earlier_patches() -> None:
    assert random_mask(everything(1, 6), 0.5, torch.zeros(1, 6))[0].tolist() == [True] * 3 + [False] * 3


def test_band_masks_hide_whole_bands_for_all_times_and_nothing_else() -> None:
    usable = everything(8, 5, 48)
    mask = make_mask("band", usable, 0.4, noise=uniform(8, len(BANDS)), wavelength=WAVELENGTH)
    assert torch.equal(mask.any(1), mask.all(1))
    inside = torch.stack([between(WAVELENGTH, *band) for band in BANDS])
    for row in mask[:, 0]:
        hidden = [band for band in inside if row[band].all()]
        assert len(hidden) == round(0.4 * len(BANDS))
        assert torch.equal(row, torch.stack(hidden).any(0))


def test_bands_without_channels_are_not_counted() -> None:
    airs = WAVELENGTH[WAVELENGTH > 2.4]
    mask = band_mask(everything(50, len(airs)), airs, 0.5, uniform(50, len(BANDS)))
    inside = torch.stack([between(airs, *band) for band in BANDS])
    assert int(inside.any(1).sum()) == 5
    assert ((mask[:, None] & inside).any(-1).sum(1) == 2).all()


def test_bands_are_those_that_predictions_are_judged_by() -> None:
    assert tuple(JUDGED_BANDS.values()) == BANDS


def test_channels_with_more_signal_are_hidden_more_often() -> None:
    snr = torch.tensor([1.0, 2.0, 4.0, 8.0]).repeat(20000, 1)
    mask = snr_mask(everything(20000, 4), snr, 0.25, uniform(20000, 4))
    assert (mask.sum(1) == 1).all()
    np.testing.assert_allclose(mask.double().mean(0), snr[0] / 15.0, atol=0.015)  # 4 sigma


def test_channels_without_data_are_not_hidden_by_signal() -> None:
    usable = uniform(6, 48, seed=2) < 0.5
    mask = snr_mask(usable, 100.0 * (~usable).float(), 0.5, uniform(6, 48))
    assert not (mask & ~usable).any()
    assert mask.sum(1).tolist() == [round(0.5 * n) for n in usable.sum(1).tolist()]


def test_signal_of_a_channel_grows_with_its_transit_and_is_zero_without_data() -> None:
    time = torch.linspace(-1.0, 1.0, 150)
    transit = -(time.abs() < 0.4).float()
    curve = torch.stack([20.0 * transit, 5.0 * transit, 0.0 * transit, 20.0 * transit], -1)[None]
    curve = curve + torch.randn(curve.shape, generator=torch.Generator().manual_seed(0))
    valid = everything(1, 150, 4)
    valid[..., 3] = False
    snr = channel_snr(torch.where(valid, curve, torch.nan), valid, 15)[0]
    assert snr[0] == pytest.approx(20.0 * 0.49, rel=0.05)  # scatter of a step that takes 0.4 of the time
    assert snr[0] > 3.5 * snr[1] > 3.5 * 5.0 * snr[2]
    assert snr[3] == 0.0


def test_patches_of_bins_count_as_valid_if_any_bin_is() -> None:
    valid = torch.zeros(1, 7, 2, dtype=torch.bool)
    valid[0, 4, 0] = valid[0, 6, 1] = True
    assert patch_valid(valid, 3)[0].tolist() == [[False, False], [True, False], [False, True]]


def test_expanded_masks_say_of_every_bin_what_its_patch_says() -> None:
    mask = torch.tensor([[True, False, True]])
    assert expand_mask(mask, 3, 7)[0].tolist() == [True] * 3 + [False] * 3 + [True]
    assert expand_mask(mask[..., None].expand(1, 3, 4), 3, 7).shape == (1, 7, 4)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"strategy": "stripes"}, r"mask strategy: expected one of \('random', .*\), found 'stripes'"),
        ({"ratio": 1.0}, "mask ratio: expected above 0 and below 1, found 1.0"),
        ({"noise": torch.rand(2, 4)}, r"noise: expected shape \(2, 5\), found \(2, 4\)"),
        ({"noise": None}, r"noise: expected a tensor \(2, 5\) or a generator, found neither"),
        ({"strategy": "band", "noise": torch.rand(2, len(BANDS))}, "'band': expected wavelength, found none"),
        ({"strategy": "snr", "noise": torch.rand(2, 48)}, "'snr': expected snr, found none"),
        (
            {"strategy": "snr", "noise": torch.rand(2, 48), "snr": torch.ones(48)},
            r"snr: expected shape \(2, 48\), found",
        ),
    ],
)
def test_settings_from_which_no_mask_can_be_made_are_named(settings_: dict[str, object], message: str) -> None:
    arguments = {"strategy": "random", "usable": everything(2, 5, 48), "ratio": 0.5, "noise": torch.rand(2, 5)}
    with pytest.raises(MaskError, match=message):
        make_mask(**(arguments | settings_))  # type: ignore[arg-type]


def test_a_block_needs_a_length() -> None:
    with pytest.raises(MaskError, match="block length: expected 1 or more patches, found 0"):
        block_mask(everything(1, 4), 0.5, torch.rand(1, 4), 0)
