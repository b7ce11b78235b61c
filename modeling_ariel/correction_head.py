"""The last layers of a network of spectra."""

from torch import Tensor, nn


class ZeroLinear(nn.Linear):
    """Starts at zero, so that nothing is corrected until something is learned.

    A class of its own: transformers does not initialise a module that has no weights of its own.
    """


class CorrectionHead(nn.Module):
    """Features (R, W) to corrections of channels (R, C, 2) and of the level (R, 2), of mean and ln sigma."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.level, self.channel = ZeroLinear(width, 2), ZeroLinear(width, 2 * channels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections of channels and of the level."""
        return self.channel(features).unflatten(-1, (-1, 2)), self.level(features)

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Its layers, and those of their outputs that are of ln sigma alone."""
        return [(layer, slice(1, None, 2)) for layer in (self.level, self.channel)]
