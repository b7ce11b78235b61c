"""What the fit is given, checked: light curves, star table and wavelengths, as tensors or as arrays of any library."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .arrays import FeatureError, error_factor, numbers, unit_of
from .columns import STAR_COLUMNS, STAR_IN_FIT, wrong_um
from .visit_data import RetrievalError

_CURVES = {"time": ("B", "T"), "flux": ("B", "T", "C"), "flux_err": ("B", "T", "C"), "valid": ("B", "T", "C")}


def read_batch(batch: Any, wavelength: Any) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Light curves, ``valid`` as bool; star table (B,) float64, NaN unknown; wavelength (C,) [um] float64.

    All are on the device of the flux.

    Raises:
        RetrievalError: something is missing, or cannot be meant.
    """
    if not isinstance(batch, Mapping):
        raise RetrievalError(f"batch: expected a dictionary of arrays, found {type(batch).__name__}")
    if missing := sorted(name for name in _CURVES if batch.get(name) is None):
        raise RetrievalError(f"batch: expected time, flux, flux_err, valid, missing {missing}")
    curves = {name: _tensor(name, batch[name], shape) for name, shape in _CURVES.items()}
    device = curves["flux"].device
    curves = {name: value.to(device) for name, value in curves.items()}
    wavelength = _tensor("wavelength", wavelength, ("C",)).double().to(device)
    try:
        factor = error_factor("batch", unit_of(batch["flux"]), unit_of(batch["flux_err"]))
    except FeatureError as error:
        raise RetrievalError(str(error)) from error
    if factor != 1.0:
        curves["flux_err"] = curves["flux_err"] * factor
    curves["valid"] = _checked(curves, wavelength)
    return curves, _star_table(batch, curves["time"]), wavelength


def _tensor(name: str, value: Any, shape: tuple[str, ...]) -> Tensor:
    """A tensor as it is, and what else has numbers as float64."""
    kinds = "biuf" if name == "valid" else "iuf"
    if isinstance(value, Tensor):
        if value.is_complex() or (value.dtype == torch.bool and "b" not in kinds):
            raise RetrievalError(f"{name}: expected numbers, found {value.dtype}")
        return value
    try:
        return torch.as_tensor(numbers("batch", name, value, shape, kinds))
    except FeatureError as error:
        raise RetrievalError(str(error)) from error


def _checked(curves: Mapping[str, Tensor], wavelength: Tensor) -> Tensor:
    """``valid`` as bool; RetrievalError where shapes, dtypes or wavelengths cannot be meant."""
    expected = (*curves["time"].shape, len(wavelength))
    for name in ("flux", "flux_err", "valid"):
        if tuple(curves[name].shape) != expected:
            raise RetrievalError(f"{name}: expected shape (B, T, C) = {expected}, found {tuple(curves[name].shape)}")
    for name in ("time", "flux", "flux_err"):
        if curves[name].dtype in (torch.float16, torch.bfloat16):
            raise RetrievalError(
                f"{name}: expected float32 or float64, found {str(curves[name].dtype).removeprefix('torch.')}, which "
                "holds neither times nor electrons: cast the model, not its inputs"
            )
    if wrong := wrong_um(float(wavelength.median())):  # NaN is the median of anything with NaN
        raise RetrievalError(wrong)
    if len(wrong_ones := wavelength[~(torch.isfinite(wavelength) & (wavelength > 0))]):
        raise RetrievalError(f"wavelength: expected positive um, found {float(wrong_ones[0]):g}")
    valid = curves["valid"]
    if valid.dtype != torch.bool and not bool(((valid == 0) | (valid == 1)).all()):
        raise RetrievalError(f"valid: expected true and false, found other numbers ({valid.dtype})")
    return valid.bool()


def _star_table(batch: Mapping[str, Any], time: Tensor) -> dict[str, Tensor]:
    """What the fit takes of the star table, by its columns, or by ``star`` (B, 8) as the feature extractor has it."""
    given = {name: batch[name] for name in STAR_IN_FIT if batch.get(name) is not None}
    star = batch.get("star")
    if getattr(star, "ndim", 0) == 2:  # the dataset's is an index (B,)
        table = _tensor("star", star, ("B", "columns"))
        if table.shape[1] != len(STAR_COLUMNS):
            raise RetrievalError(f"star: expected shape (B, {len(STAR_COLUMNS)}), found {tuple(table.shape)}")
        given = {name: table[:, STAR_COLUMNS.index(name)] for name in STAR_IN_FIT} | given
    nan = torch.full((len(time),), torch.nan, dtype=torch.float64, device=time.device)
    found = {name: _tensor(name, given.get(name, nan), ("B",)).detach().to(nan) for name in STAR_IN_FIT}
    if not len(time) or any(values.shape != nan.shape for values in found.values()):
        raise RetrievalError(f"batch: expected visits, and a value of {', '.join(STAR_IN_FIT)} for each")
    return found
