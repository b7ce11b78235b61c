"""How sure a spectrum is: ln of sigma's factor from raw numbers of each channel, and what teaches more than sigma.

Quantiles are taught by the pinball loss (Koenker & Bassett 1978, Econometrica 46, 33). The flow is a sinh-arcsinh
transform of a Gaussian (Jones & Pewsey 2009, Biometrika 96, 761), taught by its likelihood. Both are held in units of
the answer's mean and sigma, so that sigma is a tenth to nine tenths' distance over 2.563, or the flow's own standard
deviation. All give ln 1 where raw numbers are 0.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

_UNIT = math.log(math.e - 1.0)  # where softplus is 1
_FLOOR = 1e-3  # of the factor
_LEVELS = (0.1, 0.5, 0.9)
Q90 = 1.2815515655446004  # sigma: of a Gaussian
_MOST_SKEW, _MOST_TAIL = 1.0, 0.7
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class SigmaHead(nn.Module):
    """Raw ``numbers`` of each channel to ln of sigma's factor, and what the loss looks at."""

    numbers: int

    def forward(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ln factor (R, C) of raw (R, C, numbers), and what else is known of each channel (R, C)."""
        raise NotImplementedError

    def quantiles(self, parts: dict[str, Tensor], mean: Tensor, sigma: Tensor) -> Tensor | None:
        """Quantiles 10, 50 and 90 (R, C, 3) [depth] of an answer (R, C); None where they are a Gaussian's."""
        return None

    def loss(self, parts: dict[str, Tensor], mean: Tensor, sigma: Tensor, labels: Tensor) -> Tensor | None:
        """Mean over known labels (R, C) of what is taught beside the answer, whose mean and sigma are given."""
        return None


class SoftplusSigma(SigmaHead):
    """One number a channel; its softplus over a floor is the factor."""

    numbers = 1

    def forward(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ln factor (R, C), and nothing else."""
        return _factor(raw[..., 0]).log(), {}


class QuantileSigma(SigmaHead):
    """Two numbers: how far the 10th and 90th percentiles lie from the median, which is the mean that is answered.

    Distances are above 0: the quantiles are in order whatever is learned.
    """

    numbers = 2

    def forward(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ln factor (R, C), and "below" and "above" (R, C): those distances in sigma, 2 * Q90 together."""
        below, above = _factor(raw).unbind(-1)
        half = 0.5 * (below + above)
        return half.log(), {"below": Q90 * below / half, "above": Q90 * above / half}

    def quantiles(self, parts: dict[str, Tensor], mean: Tensor, sigma: Tensor) -> Tensor | None:
        """(R, C, 3)."""
        return torch.stack([mean - sigma * parts["below"], mean, mean + sigma * parts["above"]], -1)

    def loss(self, parts: dict[str, Tensor], mean: Tensor, sigma: Tensor, labels: Tensor) -> Tensor | None:
        """Pinball loss of all three, in sigma."""
        three = torch.stack([mean - sigma * parts["below"], mean, mean + sigma * parts["above"]])
        known = ~torch.isnan(labels)
        total = mean.new_zeros(())
        for level, quantile in zip(_LEVELS, three, strict=True):
            error = (torch.where(known, labels, quantile.detach()) - quantile) / sigma.detach()
            total = total + torch.maximum(level * error, (level - 1.0) * error).sum()
        return total / known.sum().clamp_min(1)


class FreeQuantileSigma(QuantileSigma):
    """Three numbers: sigma's factor, and both distances as they come: nothing but a rule keeps quantiles in order."""

    numbers = 3

    def forward(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ln factor (R, C), and "below" and "above" (R, C) in sigma, which may be below 0."""
        below, above = (Q90 * (1.0 + raw[..., 1:])).unbind(-1)
        return _factor(raw[..., 0]).log(), {"below": below, "above": above}


class FlowSigma(SigmaHead):
    """Three numbers: the factor, and the skewness and the tails of a sinh-arcsinh of a Gaussian."""

    numbers = 3
    nodes: Tensor
    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        nodes, weights = np.polynomial.hermite_e.hermegauss(32)
        self.register_buffer("nodes", torch.tensor(nodes).float())
        self.register_buffer("weights", torch.tensor(weights / weights.sum()).float())

    def forward(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ln factor (R, C), and "skew" and "log_tail" (R, C)."""
        skew, tail = _MOST_SKEW * raw[..., 1].tanh(), _MOST_TAIL * raw[..., 2].tanh()
        return _factor(raw[..., 0]).log(), {"skew": skew, "log_tail": tail}

    def transform(self, z: Tensor, skew: Tensor, log_tail: Tensor) -> Tensor:
        """Gaussian numbers ``z`` as those of the flow, with mean 0 and standard deviation 1; shapes broadcast."""
        centre, size = self._moments(skew, log_tail)
        return (_bent(z, skew, log_tail) - centre) / size

    def log_density(self, x: Tensor, skew: Tensor, log_tail: Tensor) -> Tensor:
        """ln of the density at ``x``, in which mean is 0 and standard deviation 1; shapes broadcast."""
        centre, size = self._moments(skew, log_tail)
        bent = x * size + centre
        angle = bent.asinh() * log_tail.exp() - skew
        slope = log_tail + _log_cosh(angle) - 0.5 * bent.square().log1p()
        return slope - 0.5 * angle.sinh().square() - _HALF_LOG_2PI + size.log()

    def loss(self, parts: dict[str, Tensor], mean: Tensor, sigma: Tensor, labels: Tensor) -> Tensor | None:
        """- ln likelihood."""
        known = ~torch.isnan(labels)
        away = (torch.where(known, labels, mean.detach()) - mean) / sigma
        nll = sigma.log() - self.log_density(away.float(), parts["skew"].float(), parts["log_tail"].float())
        return (nll * known).sum() / known.sum().clamp_min(1)

    def _moments(self, skew: Tensor, log_tail: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the transform by Gauss-Hermite quadrature."""
        values = _bent(self.nodes, skew[..., None], log_tail[..., None])
        mean = (values * self.weights).sum(-1)
        spread = ((values - mean[..., None]).square() * self.weights).sum(-1)
        return mean, spread.sqrt()


SIGMAS: dict[str, type[SigmaHead]] = {
    "softplus": SoftplusSigma,
    "quantiles": QuantileSigma,
    "free_quantiles": FreeQuantileSigma,
    "flow": FlowSigma,
}


def _factor(raw: Tensor) -> Tensor:
    """Above _FLOOR, and 1 where raw is 0."""
    return _FLOOR + (1.0 - _FLOOR) * nn.functional.softplus(raw + _UNIT)


def _bent(z: Tensor, skew: Tensor, log_tail: Tensor) -> Tensor:
    return ((z.asinh() + skew) * (-log_tail).exp()).sinh()


def _log_cosh(x: Tensor) -> Tensor:
    return x.abs() + (-2.0 * x.abs()).exp().log1p() - math.log(2.0)
