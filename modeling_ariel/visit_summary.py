"""What light curves look like in a few numbers, by which a network without a fit is told how unlike training they are.

A network's own features need not show what it never had to look at: noise, window, drift or the shape of the transit.
"""

import torch
from torch import Tensor

_GROUPS = 8  # of channels side by side
_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)  # quantiles of the white curve
_OUT, _DEEPEST, _DEEP = 4, 0, 1  # places of the levels that stand for out of transit and for its bottom
_JOINED = 8  # bins, for noise that averages out more slowly than white noise
_ROUGH = 3  # bins of a second difference
_TINY = 1e-12

WIDTH = 2 * _GROUPS + len(_LEVELS) + 4


def visit_summary(light: Tensor, valid: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Summary (B, WIDTH): noise and relative depth by groups of channels, depth and shape of the white curve, its
    scatter bin by bin and of eight bins joined, and the window.

    Args:
        light: (B, T, C) flux about its level, 0 where not ``valid`` (B, T, C).
        time: (B, T) [h].
        noise: (B, C) 1 sigma of a bin, in the unit of light.
    """
    light, time, noise = light.float(), time.float(), noise.float().clamp_min(_TINY)
    weight = noise[:, None].square().reciprocal() * valid
    total = weight.sum(-1).clamp_min(_TINY)
    white, error = (weight * light).sum(-1) / total, total.rsqrt().median(1).values
    levels = _quantiles(white, _LEVELS)
    depth = (levels[:, _OUT] - levels[:, _DEEPEST]).clamp_min(_TINY)
    shape = (levels - levels[:, [_OUT]]) / depth[:, None]
    groups = [
        (noise[:, own], weight[..., own], light[..., own])
        for own in torch.tensor_split(torch.arange(light.shape[-1], device=light.device), _GROUPS)
    ]
    errors = torch.stack([own.median(-1).values.log() for own, _, _ in groups], -1)
    relative = torch.stack([_dip(*own) / depth for _, *own in groups], -1)
    scatter = [_roughness(white) / error, _roughness(_joined(white)) / error]
    window = time.amax(1) - time.amin(1)
    numbers = [depth, *scatter, window]
    return torch.cat(
        [
            errors,
            relative,
            shape,
            torch.stack([one.clamp_min(_TINY).log() for one in numbers], -1),
        ],
        -1,
    )


def _quantiles(values: Tensor, levels: tuple[float, ...]) -> Tensor:
    """(B, Q) of values (B, T)."""
    return torch.quantile(values, values.new_tensor(levels), dim=1).mT


def _dip(weight: Tensor, light: Tensor) -> Tensor:
    """Depth (B,) of channels together, by quantiles."""
    curve = (weight * light).sum(-1) / weight.sum(-1).clamp_min(_TINY)
    out, low = _quantiles(curve, (_LEVELS[_OUT], _LEVELS[_DEEP])).unbind(-1)
    return out - low


def _joined(curve: Tensor) -> Tensor:
    """Means of so many bins of a curve (B, T)."""
    whole = curve.shape[1] // _JOINED * _JOINED
    return curve[:, :whole].unflatten(1, (-1, _JOINED)).mean(-1)


def _roughness(curve: Tensor) -> Tensor:
    """Median size (B,) of a curve's second difference (B, T); 0 of curves too short to have one."""
    if curve.shape[1] < _ROUGH:
        return curve.new_zeros(len(curve))
    return (curve[:, 2:] - 2.0 * curve[:, 1:-1] + curve[:, :-2]).abs().median(1).values
