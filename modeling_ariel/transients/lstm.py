"""A recurrent network over measurements in order of time, pooled by attention: the baseline of light-curve papers.

After Charnock & Moss 2017 (ApJL 837, L28).
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers import AutoModelForSequenceClassification as AutoClassifier

from .classifier import MEASURED, CurveBatch, TransientClassifier
from .configuration_transient import TransientLstmConfig
from .feature_extraction_transient import TransientFeatureExtractor
from .outputs import TransientModelOutput

_DAYS = 10.0  # unit of steps between measurements


class TransientLstm(TransientClassifier):
    """Classes from cells that read measurements one after another."""

    config: TransientLstmConfig
    config_class = TransientLstmConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_transient.TransientLstmConfig",
        "AutoModel": "lstm.TransientLstm",
        "AutoModelForSequenceClassification": "lstm.TransientLstm",
        "AutoFeatureExtractor": "feature_extraction_transient.TransientFeatureExtractor",
    }

    def __init__(self, config: TransientLstmConfig):
        width, n_scalars = config.hidden_size, 2 * (config.n_host + len(config.feature_names or []))
        super().__init__(config, width + n_scalars)
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        inputs = MEASURED + 2 + len(config.band_wavelength or [])
        self.cells = kind(
            inputs, width, config.num_hidden_layers, batch_first=True,
            dropout=config.hidden_dropout_prob if config.num_hidden_layers > 1 else 0.0,
        )  # fmt: skip
        self.attention = nn.Linear(width, 1)
        self.post_init()

    def embed(
        self, batch: CurveBatch, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> TransientModelOutput:
        """The cells' states, weighed by attention, beside host and features."""
        order = torch.where(batch.observed, batch.time, torch.inf).argsort(dim=1, stable=True)  # what is padded is last
        names = ("time", "wavelength", "flux", "flux_err", "observed")
        batch = replace(batch, **{name: getattr(batch, name).gather(1, order) for name in names})
        x, _ = self.cells(self._inputs(batch))
        weights = self.attention(x)[..., 0].masked_fill(~batch.observed, torch.finfo(x.dtype).min).softmax(1)
        pooled = (weights[:, None] @ x)[:, 0]
        return TransientModelOutput(x, batch.observed, torch.cat([pooled, batch.scalars().to(pooled)], 1))

    def _inputs(self, batch: CurveBatch) -> Tensor:
        """(B, N, inputs) of a batch in order of time: measured numbers, time, the step before it, and the band."""
        steps = torch.diff(batch.time, dim=1, prepend=batch.time[:, :1])
        clock = torch.stack([torch.asinh(batch.time / _DAYS), torch.asinh(steps / _DAYS)], -1)
        bands = batch.time.new_tensor(self.config.band_wavelength)
        band = nn.functional.one_hot(batch.bands(bands), len(bands)).to(batch.time)
        return torch.cat([batch.measured, clock, band], -1).to(self.attention.weight.dtype)


AutoConfig.register("transient_lstm", TransientLstmConfig, exist_ok=True)
AutoModel.register(TransientLstmConfig, TransientLstm, exist_ok=True)
AutoClassifier.register(TransientLstmConfig, TransientLstm, exist_ok=True)
AutoFeatureExtractor.register(TransientLstmConfig, TransientFeatureExtractor, exist_ok=True)
TransientLstmConfig.register_for_auto_class()
TransientLstm.register_for_auto_class("AutoModel")
