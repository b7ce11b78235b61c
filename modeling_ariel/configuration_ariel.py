"""Configuration of the Ariel transformers."""

from huggingface_hub.dataclasses import strict

from .spectrum_config import ArielSpectrumConfig


@strict
class ArielConfig(ArielSpectrumConfig):
    """Sizes and choices of the transformers; what else there is see :class:`ArielSpectrumConfig`.

    Args:
        patch_bins: time bins in a temporal patch.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: of the temporal encoder.
        pooling_queries: attention-weighted means of the temporal tokens that the spectrum head reads.
        spectral_hidden_size, spectral_num_hidden_layers: of that head, a residual perceptron over all channels.
        decoder_hidden_size, decoder_num_hidden_layers: of the decoder that pretraining throws away.
        mask_ratio: share of patches (or of channels) that pretraining hides.
        mask_strategy: "random" or "block" in time, "band" or "snr" over channels.
        contrastive_size, contrastive_temperature: of the vectors that contrastive pretraining compares.
    """

    model_type = "ariel"

    patch_bins: int = 15
    hidden_size: int = 64
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 192
    pooling_queries: int = 4
    spectral_hidden_size: int = 256
    spectral_num_hidden_layers: int = 3
    decoder_hidden_size: int = 64
    decoder_num_hidden_layers: int = 1
    hidden_act: str = "gelu"
    mask_ratio: float = 0.6
    mask_strategy: str = "random"
    contrastive_size: int = 32
    contrastive_temperature: float = 0.1

    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values that each field of words may have."""
        return super().choices() | {"mask_strategy": ("random", "block", "band", "snr")}

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        sizes = ("patch_bins", "hidden_size", "num_attention_heads", "intermediate_size", "pooling_queries")
        return (*super().counts(), *sizes, "spectral_hidden_size", "decoder_hidden_size", "contrastive_size")

    def validate_transformer(self) -> None:
        """Reject sizes that do not go together."""
        for name in ("hidden_size", "decoder_hidden_size"):
            if getattr(self, name) % self.num_attention_heads:
                raise ValueError(
                    f"{name}: expected a multiple of num_attention_heads = {self.num_attention_heads}, found "
                    f"{getattr(self, name)}"
                )
        if not self.contrastive_temperature > 0.0:
            raise ValueError(f"contrastive_temperature: expected above 0, found {self.contrastive_temperature}")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio: expected between 0 and 1, found {self.mask_ratio}")
