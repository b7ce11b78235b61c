"""Light curves to what they show of each channel: weighted means over time, as transit depths are."""

import torch
from torch import Tensor, nn

from .denoising_network import Denoised, bin_of_channel


class CurveReader(nn.Module):
    """Curves to features (B, W, C) of each channel, of what was measured and of what is behind the noise.

    Args:
        channels: C of the light curves.
        patch: channels that are averaged to one of the denoised image.
        pools: Q, means over time that are taken of each channel.
        width: W.
        image_features: F of the denoised image, 0 where there is none.
    """

    def __init__(self, channels: int, patch: int, pools: int, width: int, image_features: int):
        super().__init__()
        self.channels, self.patch = channels, patch
        self.course = nn.Conv1d(4 + image_features, width, 5, padding=2)
        self.weights = nn.Conv1d(width, pools, 5, padding=2)
        self.read = nn.Conv1d(2 * pools + image_features if image_features else pools, width, 1)

    def forward(self, light: Tensor, weight: Tensor, denoised: Denoised | None) -> tuple[Tensor, Tensor]:
        """The features, and the weights of times (B, Q, N).

        Args:
            light: (B, N, C), binned in time; ``weight`` (B, N, C), 0 where nothing is valid.
            denoised: of the same times, if there is such a stage.
        """
        total, counted = weight.sum(-1), light * weight
        white = counted.sum(-1) / total.clamp_min(1e-6)
        phase = torch.linspace(-1, 1, total.shape[1]).to(white).expand_as(white)
        course = torch.stack([white.asinh(), light[..., 0].asinh(), total / self.channels, phase], 1)
        if denoised is not None:
            course = torch.cat([course, denoised.features.mean(-1)], 1)
        scores = self.weights(nn.functional.gelu(self.course(course)))
        times = scores.masked_fill(total[:, None] == 0, torch.finfo(scores.dtype).min).softmax(-1)  # (B, Q, N)
        found = [(times @ counted) / (times @ weight).clamp_min(1e-6)]
        if denoised is not None:
            binned = torch.cat([times @ denoised.clean, denoised.features.mean(2)], 1)
            found.append(binned[..., bin_of_channel(self.channels, self.patch).to(binned.device)])
        return self.read(torch.cat(found, 1)), times
