"""Light curves of other telescopes, where they are on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ariel_scripts.light_curves.read import ReadOptions, read_observations
from modeling_ariel.any_telescope.binning import bin_channels, bin_times

SHAPES = {
    "adc2021_0001_01_01": (300, 55),
    "adc2021_0100_01_01": (300, 55),
    "hatp18b_soss_o1": (469, 155),
    "hatp18b_soss_o2": (469, 86),
    "w107_jwst_1": (1289, 1),
    "w107_jwst_3": (657, 1),
    "w107_jwst_5": (623, 1),
    "w107_tess_6": (482, 1),
    "w17_wfc3_G141_white_raw": (52, 1),
    "w43b_white_raw_visit1": (265, 1),
}
YEARS = (2_456_000, 2_461_500)  # [BJD_TDB] of 2012 and 2026


@pytest.mark.parametrize("name", SHAPES)
def test_a_real_set_is_read(repository: Path, name: str) -> None:
    path = repository.parent / "shared" / "real" / "instruments" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no {path}: real light curves are not part of the repository")
    (made,) = read_observations(path, ReadOptions(wavelength=None if SHAPES[name][1] > 1 else 1.4))
    assert made.shape == SHAPES[name]
    assert np.isfinite(made.wavelength).all()
    assert made.valid.mean() > 0.8
    if not name.startswith("adc2021"):
        assert YEARS[0] < (made.bjd0 or 0) < YEARS[1]
    assert bin_times(made, 100).valid.any()
    if made.shape[1] > 1:
        assert bin_channels(made, count=10).shape == (made.shape[0], 10)


def test_flagged_points_of_a_real_set_are_kept_when_asked_for(repository: Path) -> None:
    path = repository.parent / "shared" / "real" / "instruments" / "w43b_white_raw_visit1.npz"
    if not path.exists():
        pytest.skip(f"no {path}: real light curves are not part of the repository")
    (all_of_it,) = read_observations(path, ReadOptions(quality="none"))
    (good,) = read_observations(path)
    assert all_of_it.valid.all()
    assert (~good.valid).sum() == 49
