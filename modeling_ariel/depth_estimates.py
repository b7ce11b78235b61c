"""Three estimates of a spectrum from measured depths: a Gaussian process over wavelength, an autoencoder, and NMF.

Depths are counted in 100 ppm here. Gaussian process: Rasmussen & Williams 2006, chapter 2. Denoising autoencoder:
Vincent et al. 2008 (ICML). Non-negative matrix factorisation: Lee & Seung 1999 (Nature 401, 788), weighted as in
Blanton & Roweis 2007 (AJ 133, 734, arXiv:astro-ph/0606170).
"""

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .correction_head import ZeroLinear

_LENGTH = 0.3  # um: how far features reach, before it is learned
_TINY = 1e-12
_FAINTEST = 1e-2  # of a component's mean: below, softplus would hardly let it grow again
_SWEEPS = 300  # of the factorisation that components start from
_FEWEST = 2  # spectra that anything can be started from


class WavelengthProcess(nn.Module):
    """Gaussian process over wavelength: Matern 3/2 about a level, exact, in float64.

    ``log_amplitude`` and ``log_level``: ln of 1 sigma of features and of the level [100 ppm]; ``log_length`` [ln um].
    """

    def __init__(self, level: float):
        super().__init__()
        self.start = {"log_amplitude": 0.0, "log_length": math.log(_LENGTH), "log_level": math.log(level)}
        self.log_amplitude, self.log_length, self.log_level = (nn.Parameter(torch.empty(())) for _ in self.start)
        self.reset()

    def reset(self) -> None:
        """Features of 100 ppm, a third of a micron long."""
        for name, value in self.start.items():
            init.constant_(getattr(self, name), value)

    @torch.no_grad()
    def start_from(self, spectra: Tensor) -> None:
        """Take the sizes of level and features of true ``spectra`` (N, C)."""
        level = spectra.mean(-1, keepdim=True)
        size = (spectra - level).square().mean().sqrt().clamp_min(_FAINTEST)
        self.log_amplitude.copy_(size.log())
        self.log_level.copy_(level.std().clamp_min(_FAINTEST).log())

    def covariance(self, wavelength: Tensor) -> Tensor:
        """Of spectra (C, C), before anything is measured."""
        scaled = math.sqrt(3.0) * (wavelength[:, None] - wavelength).abs() / self.log_length.double().exp()
        features = (1.0 + scaled) * torch.exp(-scaled)
        return (2.0 * self.log_level.double()).exp() + (2.0 * self.log_amplitude.double()).exp() * features

    def forward(self, depth: Tensor, error: Tensor, wavelength: Tensor, draws: int = 1) -> tuple[Tensor, Tensor]:
        """Posterior mean and sigma (R, C) of depths about their prior mean (R, C), measured with ``error`` (R, C).

        ``draws``: rows of a planet, one after the other; where they have the same errors they share a factorisation.
        """
        if draws > 1:
            of_planet = error.unflatten(0, (-1, draws))
            if torch.equal(of_planet, of_planet[:, :1].expand_as(of_planet)):
                mean, sigma = self._posterior(depth.unflatten(0, (-1, draws)), of_planet[:, 0], wavelength)
                return mean.flatten(0, 1), sigma.repeat_interleave(draws, 0)
        mean, sigma = self._posterior(depth[:, None], error, wavelength)
        return mean[:, 0], sigma

    def _posterior(self, depth: Tensor, error: Tensor, wavelength: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (P, D, C) and sigma (P, C), of depths (P, D, C) with ``error`` (P, C).

        With noise N and signal K: K (K + N)^-1 = 1 - N (K + N)^-1, so the inverse serves both moments.
        """
        noise = error.square()
        factor = torch.linalg.cholesky(self.covariance(wavelength) + torch.diag_embed(noise))
        inverse = torch.cholesky_inverse(factor)
        mean = depth - noise[:, None] * (depth @ inverse)
        variance = noise - noise.square() * inverse.diagonal(dim1=1, dim2=2)
        return mean, variance.clamp_min(_TINY).sqrt()


class DepthAutoencoder(nn.Module):
    """Depths about their mean (R, C) through a bottleneck (R, B) and back; trained on noisy depths, it takes noise off.

    A linear pair, which can start at principal components, and beside it one with a hidden layer, which is told the
    errors too and adds nothing at the start.
    """

    def __init__(self, channels: int, bottleneck: int, hidden: int, dropout: float):
        super().__init__()
        self.encode, self.decode = nn.Linear(channels, bottleneck), nn.Linear(bottleneck, channels)
        inside: list[nn.Module] = [nn.GELU(), nn.Dropout(dropout)]
        self.encode_more = nn.Sequential(nn.Linear(channels + 1, hidden), *inside, ZeroLinear(hidden, bottleneck))
        self.decode_more = nn.Sequential(nn.Linear(bottleneck, hidden), *inside, ZeroLinear(hidden, channels))

    @torch.no_grad()
    def start_from(self, spectra: Tensor) -> None:
        """Start at principal components of true ``spectra`` (N, C) about their means."""
        away = spectra - spectra.mean(-1, keepdim=True)
        mean = away.mean(0)
        _, sizes, axes = torch.linalg.svd(away - mean, full_matrices=False)
        sizes = sizes / math.sqrt(len(spectra) - 1)
        count = min(int((sizes > _FAINTEST).sum()), len(self.encode.weight))
        axes, sizes = axes[:count], sizes[:count, None]
        self.encode.weight[:count] = (axes / sizes).to(self.encode.weight)
        self.encode.bias[:count] = -((axes / sizes) @ mean).to(self.encode.bias)
        self.decode.weight.zero_()
        self.decode.weight[:, :count] = (axes * sizes).mT.to(self.decode.weight)
        self.decode.bias.copy_(mean)

    def forward(self, depth: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """Depths (R, C) without their noise, and the bottleneck (R, B)."""
        x = depth.to(self.encode.weight)
        told = error.log().mean(-1, keepdim=True).to(x)
        code = self.encode(x) + self.encode_more(torch.cat([x, told], -1))
        return self.decode(code) + self.decode_more(code), code


class DepthFactors(nn.Module):
    """Depths as sums of non-negative components (K, C), by coefficients (R, K) that are not negative either.

    ``raw`` (K, C), before softplus; ``log_usual`` (K,), ln of the coefficients that a planet's start from.
    """

    def __init__(self, components: int, channels: int, updates: int):
        super().__init__()
        self.raw, self.log_usual = (
            nn.Parameter(torch.empty(components, channels)),
            nn.Parameter(torch.empty(components)),
        )
        self.updates = updates
        self.reset()

    def reset(self) -> None:
        """A flat component, and bumps side by side."""
        count, channels = self.raw.shape
        width = channels / count
        centre = (torch.arange(count - 1) + 0.5) * channels / max(count - 1, 1)
        bumps = 2.0 * torch.exp(-0.5 * ((torch.arange(channels) - centre[:, None]) / width) ** 2)
        init.copy_(self.raw, _before_softplus(torch.cat([torch.ones(1, channels), bumps])))
        init.zeros_(self.log_usual)

    @property
    def components(self) -> Tensor:
        """(K, C), above 0."""
        return nn.functional.softplus(self.raw.double())

    @torch.no_grad()
    def start_from(self, spectra: Tensor) -> None:
        """Start at a factorisation of true ``spectra`` (N, C); each counts alike, however deep."""
        spectra = spectra.clamp_min(0.0)
        spectra = spectra / spectra.mean(-1, keepdim=True).clamp_min(_TINY)
        components = self.components
        coefficients = spectra.new_full((len(spectra), len(components)), 1.0 / len(components))
        for _ in range(_SWEEPS):
            coefficients = coefficients * (spectra @ components.mT) / (coefficients @ (components @ components.mT))
            expected = (coefficients.mT @ coefficients) @ components
            components = components * (coefficients.mT @ spectra) / expected.clamp_min(_TINY)
        size = components.mean(-1, keepdim=True).clamp_min(_TINY)
        self.raw.copy_(_before_softplus(components / size))
        self.log_usual.copy_((coefficients.mean(0) * size[:, 0]).clamp_min(_FAINTEST).log())

    def forward(self, depth: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """Depths (R, C) as the components give them, and the coefficients (R, K).

        Each multiplicative update lowers the misfit in units of the errors; a fixed number of them can be trained
        through.
        """
        components = self.components
        weight = error.double().square().reciprocal()
        weight = weight / weight.mean(-1, keepdim=True)
        products = components[:, None] * components  # (K, K, C)
        curvature = (weight @ products.flatten(0, 1).mT).unflatten(-1, products.shape[:2])
        slope = (weight * depth.double().clamp_min(0.0)) @ components.mT
        usual = self.log_usual.double().exp()
        coefficients = usual * ((slope @ usual) / (curvature @ usual @ usual))[:, None]
        for _ in range(self.updates):
            expected = (curvature @ coefficients[..., None])[..., 0]
            coefficients = coefficients * slope / expected.clamp_min(_TINY)
        return coefficients @ components, coefficients


def _before_softplus(value: Tensor) -> Tensor:
    """What softplus makes ``value`` of."""
    return value.clamp_min(_FAINTEST).expm1().log()


def check_spectra(spectra: Tensor, channels: int) -> Tensor:
    """True spectra that estimates can start from, float64 (N, C); ValueError for others."""
    if spectra.ndim != 2 or spectra.shape[-1] != channels or len(spectra) < _FEWEST:
        raise ValueError(f"truths: expected (N >= {_FEWEST}, {channels}) spectra, found {tuple(spectra.shape)}")
    if not bool(torch.isfinite(spectra).all()):
        raise ValueError(f"truths: expected finite spectra, found {int((~torch.isfinite(spectra)).sum())} other values")
    return spectra.double()
