"""Contrastive pretraining: patches in transit are told from those out of it, under two views of a light curve.

InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) with several positives (Khosla et al. 2020, arXiv:2004.11362): a
patch is near the patches of the same visit and side of the transit in the other view, and far from those of the other
side in all visits of the batch. Each view hides other channels, so that no single one tells. Which patches are in
transit is read from the white light alone; no label is looked at.
"""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from .configuration_ariel import ArielConfig
from .masking import patch_valid, random_mask
from .modeling_ariel import ArielModel, ArielTransformer
from .outputs import ArielContrastiveOutput
from .visit_batch import checked_visits

OUT, IN, NEITHER = 0, 1, -1
_SEEN = 6.0  # sigma of a patch: a dip as deep is a transit
_INSIDE, _OUTSIDE = 0.3, 0.75  # of the way from the deepest to the highest level; between them are its edges
_LEVEL = 0.9, 0.05  # quantiles of patches that are the highest and the deepest level


def transit_sides(light_curve: Tensor, valid: Tensor, patch_bins: int) -> Tensor:
    """IN, OUT or NEITHER for each patch (B, N) of ``light_curve`` (B, T, C) [sigma], by its white light.

    NEITHER: the edges of a transit, patches without data, and visits where no transit is seen.
    """
    seen = valid.to(torch.float32)
    total = torch.where(valid, light_curve.float(), torch.zeros_like(light_curve, dtype=torch.float32)).sum(-1)
    pad = (0, -light_curve.shape[1] % patch_bins)
    total, count = (nn.functional.pad(one, pad).unflatten(1, (-1, patch_bins)).sum(-1) for one in (total, seen.sum(-1)))
    known = count > 0
    white = torch.where(known, total / count.clamp_min(1.0), torch.full_like(total, float("nan")))
    high, low = (white.nanquantile(level, 1, keepdim=True) for level in _LEVEL)
    step = (white[:, 1:] - white[:, :-1]).abs().nanmedian(1, keepdim=True).values
    noise = 1.05 * step  # 1 sigma of white noise from the median step
    place = (white - low) / (high - low).clamp_min(1e-9)
    side = torch.full_like(white, NEITHER, dtype=torch.long)
    side = torch.where(place < _INSIDE, IN, torch.where(place > _OUTSIDE, OUT, side))
    return torch.where(known & (high - low > _SEEN * noise), side, NEITHER)


def info_nce(one: Tensor, two: Tensor, side: Tensor, visit: Tensor, temperature: float) -> Tensor:
    """Mean loss of K patches: unit vectors ``one`` and ``two`` (K, E) of both views, ``side`` and ``visit`` (K,).

    Between unit vectors that all agree it is ln(1 + the number of patches on the other side).
    """
    if not len(one):
        return one.sum()
    like = one.float() @ two.float().T / temperature
    same = side[:, None] == side
    positive = (same & (visit[:, None] == visit)).to(like)
    others = like.masked_fill(same, torch.finfo(like.dtype).min).logsumexp(1, keepdim=True)
    lost = torch.logaddexp(like, others) - like
    return ((positive * lost).sum(1) / positive.sum(1)).mean()


class ArielForContrastive(ArielTransformer):
    """The backbone with a head that pretraining throws away, a small perceptron on each patch's token."""

    def __init__(self, config: ArielConfig):
        super().__init__(config)
        self.ariel = ArielModel(config)
        width = config.hidden_size
        self.head = nn.Sequential(
            nn.Linear(width, width), ACT2FN[config.hidden_act], nn.Linear(width, config.contrastive_size)
        )
        self.post_init()

    def embed(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor | None = None,
        star_features: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Unit vectors (B, N, E) of the patches; arguments as :class:`ArielModel` has them."""
        encoded = self.ariel(light_curve, valid, time, centroid, star_features, hidden=hidden)
        return nn.functional.normalize(self.head(encoded.last_hidden_state[:, 1:]).float(), dim=-1)

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor | None = None,
        star_features: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> ArielContrastiveOutput:
        """Two views, each without ``mask_ratio`` of the channels, and how well they agree on the transit.

        Args:
            light_curve: (B, T, C) relative flux in sigma; the others as :class:`ArielModel` has them.
            noise: (B, C) uniform numbers; those with the lowest are hidden in the first view, with the highest in the
                second. Else drawn from torch's global generator.
        """
        checked_visits(self.config, light_curve, valid, time, centroid, star_features)
        side = transit_sides(light_curve, valid, self.config.patch_bins)
        patch = patch_valid(valid, self.config.patch_bins)
        usable = valid.any(1)
        if noise is None:
            noise = torch.rand(usable.shape, device=usable.device)
        views = []
        for drawn in (noise, 1.0 - noise):
            hidden = random_mask(usable, self.config.mask_ratio, drawn)[:, None].expand_as(patch)
            views.append(self.embed(light_curve, valid, time, centroid, star_features, hidden))
        known = side != NEITHER
        visit = torch.arange(len(side), device=side.device)[:, None].expand_as(side)[known]
        one, two = (view[known] for view in views)
        told = side[known], visit, self.config.contrastive_temperature
        loss = 0.5 * (info_nce(one, two, *told) + info_nce(two, one, *told))
        return ArielContrastiveOutput(loss, views[0], side)
