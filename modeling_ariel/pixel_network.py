"""Bad pixels filled by a small U-Net, beside the median of their neighbours.

U-Net: Ronneberger et al. 2015 (arXiv:1505.04597). It learns from any images by hiding good pixels of them.
"""

import torch
from torch import Tensor, nn


def fill_by_median(image: Tensor, bad: Tensor, reach: int = 1) -> Tensor:
    """Images (B, H, W) whose ``bad`` (B, H, W) pixels are the median of the good ones at most ``reach`` away.

    Where there is none, it is the median of the image's good pixels; 0 where it has none.
    """
    unknown = torch.where(bad, torch.nan, image)
    side = 2 * reach + 1
    padded = nn.functional.pad(unknown, (reach,) * 4, value=torch.nan)
    near = padded.unfold(1, side, 1).unfold(2, side, 1).flatten(3).nanmedian(-1).values
    overall = unknown.flatten(1).nanmedian(1).values[:, None, None]
    near = torch.where(near.isnan(), overall, near)
    return torch.where(bad, near.nan_to_num(), image)


class PixelNetwork(nn.Module):
    """Fills bad pixels of images (B, H, W): what the median leaves is predicted by a U-Net of two scales.

    Images of any unit: each is scaled by the mean and the scatter of its good pixels.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(2, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
        self.coarse = nn.Sequential(
            nn.Conv2d(width, width, 2, 2), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU()
        )
        self.merge = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.GELU())
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        for weight in self.last.parameters():  # the median until something is learned
            nn.init.zeros_(weight)

    def forward(self, image: Tensor, bad: Tensor) -> Tensor:
        """The images with their ``bad`` (B, H, W) pixels filled; others as they were."""
        tall, wide = image.shape[1:]
        filled = fill_by_median(image, bad)
        good = (~bad).to(image)
        count = good.sum((1, 2), keepdim=True).clamp_min(1.0)
        mean = (filled * good).sum((1, 2), keepdim=True) / count
        scatter = (((filled - mean) ** 2 * good).sum((1, 2), keepdim=True) / count).sqrt().clamp_min(1e-12)
        x = nn.functional.pad(torch.stack([(filled - mean) / scatter, 1.0 - good], 1), (0, wide % 2, 0, tall % 2))
        fine = nn.functional.gelu(self.fine(x))
        coarse = nn.functional.interpolate(self.coarse(fine), scale_factor=2, mode="nearest")
        more = self.last(self.merge(torch.cat([fine, coarse], 1)))[:, 0, :tall, :wide]
        return torch.where(bad, filled + scatter * more, image)


def filling_loss(network: PixelNetwork, image: Tensor, bad: Tensor, share: float = 0.05) -> Tensor:
    """Mean squared error of good pixels hidden at random, a ``share`` of them, over the scatter of each image.

    Args:
        network: that fills them.
        image: (B, H, W), any unit; ``bad`` (B, H, W) bool, pixels whose truth is not known.
    """
    hidden = (torch.rand(image.shape, device=image.device) < share) & ~bad
    known = torch.where(bad, torch.nan, image).flatten(1)
    scatter = (known - known.nanmean(1, keepdim=True)).square().nanmean(1).sqrt().clamp_min(1e-12)
    error = (network(image, bad | hidden) - image) / scatter[:, None, None]
    return torch.where(hidden, error.square(), 0.0).sum() / hidden.sum().clamp_min(1)
