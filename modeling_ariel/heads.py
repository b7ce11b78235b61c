"""What stands on the backbone: the decoder of pretraining, and the head that corrects spectra."""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from .configuration_ariel import ArielConfig
from .layers import ArielEncoder, patch_centres, time_embedding


class ArielDecoder(nn.Module):
    """The light decoder of pretraining: tokens back to bins of all channels."""

    def __init__(self, config: ArielConfig):
        super().__init__()
        width = config.decoder_hidden_size
        self.bins = config.patch_bins
        self.narrow = nn.Linear(config.hidden_size, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.encoder = ArielEncoder(config, config.decoder_num_hidden_layers, width, 2 * width)
        self.rebuild = nn.Linear(width, config.patch_bins * config.n_channels)

    def forward(self, tokens: Tensor, used: Tensor, time: Tensor) -> Tensor:
        """Reconstruction (B, N * bins, C) from tokens (B, 1 + N, D), those not ``used`` replaced by the mask token."""
        x = torch.where(used[..., None], self.narrow(tokens), self.mask_token.to(tokens.dtype))
        place = time_embedding(patch_centres(time, self.bins), x.shape[-1]).to(x.dtype)
        x = torch.cat([x[:, :1], x[:, 1:] + place], 1)
        x = self.encoder(x, torch.ones_like(used)).tokens[:, 1:]
        return self.rebuild(x).unflatten(-1, (self.bins, -1)).flatten(1, 2)


class ArielSpectrumHead(nn.Module):
    """A residual perceptron over all channels at once, what is known of the visit, and the pooled temporal tokens."""

    def __init__(self, config: ArielConfig):
        super().__init__()
        channels, width = config.n_channels, config.spectral_hidden_size
        n_context = 2 * config.n_shared + config.prior_components + 2 + config.n_star_features
        self.queries = nn.Parameter(torch.zeros(config.pooling_queries, config.hidden_size))
        self.spectrum = nn.Linear(3 * channels, width)
        self.context = nn.Linear(n_context, width)
        self.visits = nn.Linear(config.pooling_queries * config.hidden_size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width, eps=config.layer_norm_eps),
                nn.Linear(width, 2 * width),
                ACT2FN[config.hidden_act],
                nn.Dropout(config.hidden_dropout_prob),
                nn.Linear(2 * width, width),
            )
            for _ in range(config.spectral_num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.level, self.channel = nn.Linear(width, 2), nn.Linear(width, 2 * channels)

    def forward(self, channels: Tensor, context: Tensor, visits: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrections of channels (P, C, 2) and of the level (P, 2), of mean and ln sigma; and the features (P, W).

        From ``channels`` (P, C, 3), ``context`` (P, G), and ``visits`` (P, V, D), the tokens of all of a planet's
        visits, those ``used`` (P, V).
        """
        dtype = self.spectrum.weight.dtype
        scores = visits @ self.queries.T * visits.shape[-1] ** -0.5  # (P, V, Q)
        weights = scores.masked_fill(~used[..., None], torch.finfo(scores.dtype).min).softmax(1)
        pooled = (weights.transpose(1, 2) @ visits).flatten(1)
        x = self.spectrum(channels.flatten(1).to(dtype)) + self.context(context.to(dtype)) + self.visits(pooled)
        for block in self.blocks:
            x = x + block(x)
        x = self.norm(x)
        return self.channel(x).unflatten(-1, (-1, 2)), self.level(x), x
