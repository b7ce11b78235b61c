"""Configurations of the models of transients: what all have, and the sizes of each network."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .surveys import SURVEYS


@strict
class TransientModelConfig(PreTrainedConfig):
    """What a classifier of transients has whatever its network; validated where it is built, never changed by a model.

    Args:
        classes: names of the classes; ``positive`` is the one that is looked for.
        class_weights: of the loss, one a class; None for all alike.
        loss: "cross_entropy", or "focal" (Lin et al. 2017, arXiv:1708.02002) with ``focal_gamma``.
        feature_names: F features that are read beside the light curve.
        n_host: numbers that describe the object and its host.
        band_wavelength: (K,) [A] ascending, bands of networks that need a fixed set; a measurement goes to the nearest
            in ln wavelength. None for LSST's.
        hidden_size: of the embedding.
    """

    classes: list[str] | None = None
    positive: str = "TDE"
    class_weights: list[float] | None = None
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    feature_names: list[str] | None = None
    n_host: int = 4
    band_wavelength: list[float] | None = None
    hidden_size: int = 64
    hidden_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in classes, features and bands."""
        self.classes = self.classes or ["AGN", "SN", "TDE"]
        self.feature_names = self.feature_names or []
        self.band_wavelength = self.band_wavelength or list(SURVEYS["lsst"].values())
        super().__post_init__(**kwargs)

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        return ("hidden_size", "n_host")

    def validate_classes(self) -> None:
        """Reject classes that cannot be told apart, or among which the positive one is not."""
        names = self.classes or []
        if len(set(names)) != len(names) or len(names) < 2 or self.positive not in names:
            raise ValueError(f"classes: expected two or more with {self.positive} among them, found {names}")
        if self.class_weights is not None and (
            len(self.class_weights) != len(names) or not min(self.class_weights) > 0.0
        ):
            raise ValueError(f"class_weights: expected {len(names)} numbers above 0, found {self.class_weights}")

    def validate_numbers(self) -> None:
        """Reject settings that cannot be meant."""
        for name in self.counts():
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if self.loss not in ("cross_entropy", "focal"):
            raise ValueError(f"loss: expected cross_entropy or focal, found {self.loss!r}")
        if not self.focal_gamma >= 0.0:
            raise ValueError(f"focal_gamma: expected 0 or more, found {self.focal_gamma}")
        if not 0.0 <= self.hidden_dropout_prob < 1.0:
            raise ValueError(f"hidden_dropout_prob: expected 0 to 1, found {self.hidden_dropout_prob}")
        bands = self.band_wavelength or []
        if bands != sorted(set(bands)) or not bands[0] > 0.0:
            raise ValueError(f"band_wavelength: expected Angstrom, ascending, found {bands}")

    @property
    def positive_class(self) -> int:
        """Place of the positive class."""
        return (self.classes or []).index(self.positive)


@strict
class TransientConfig(TransientModelConfig):
    """Sizes and choices of the transformer.

    Args:
        num_hidden_layers, num_attention_heads, intermediate_size: of the encoder.
        num_harmonics: sines and cosines by which time modulates a token.
        shortest_period, longest_period: of them [d] in the object's frame, spaced geometrically.
        rest_frame: whether times and wavelengths are taken to the object's frame, where the redshift is known.
        within_band: whether measurements look only at those of their own band, and at nothing else of the object.
        mask_ratio: share of measurements whose flux pretraining hides.
        error_floor: least error of a flux, in peaks, by which pretraining weighs it.
    """

    model_type = "transient"

    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 128
    hidden_act: str = "gelu"
    attention_probs_dropout_prob: float = 0.0
    num_harmonics: int = 16
    shortest_period: float = 4.0
    longest_period: float = 4000.0
    rest_frame: bool = True
    within_band: bool = False
    mask_ratio: float = 0.4
    error_floor: float = 0.05

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        sizes = ("num_hidden_layers", "num_attention_heads", "intermediate_size", "num_harmonics")
        return (*super().counts(), *sizes)

    def validate_transformer(self) -> None:
        """Reject sizes that do not go together."""
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size: expected a multiple of num_attention_heads = {self.num_attention_heads}, found "
                f"{self.hidden_size}"
            )
        if not 0.0 < self.shortest_period < self.longest_period:
            raise ValueError("shortest_period, longest_period: expected days, ascending, found others")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio: expected between 0 and 1, found {self.mask_ratio}")
        if not self.error_floor > 0.0:
            raise ValueError(f"error_floor: expected above 0, found {self.error_floor}")


@strict
class TransientAstromerConfig(TransientConfig):
    """Sizes of the single-band transformer, those of ASTROMER as far as a small one has them."""

    model_type = "transient_astromer"

    within_band: bool = True
    rest_frame: bool = False
    num_hidden_layers: int = 2

    def validate_bands(self) -> None:
        """Bands are read apart, or it is another model."""
        if not self.within_band or self.rest_frame:
            raise ValueError("within_band, rest_frame: expected true and false, found others: use transient")


@strict
class TransientLstmConfig(TransientModelConfig):
    """Sizes of the recurrent network.

    Args:
        cell: "lstm" or "gru".
        num_hidden_layers: of cells.
    """

    model_type = "transient_lstm"

    cell: str = "lstm"
    num_hidden_layers: int = 2

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        return (*super().counts(), "num_hidden_layers")

    def validate_cell(self) -> None:
        """Reject other cells."""
        if self.cell not in ("lstm", "gru"):
            raise ValueError(f"cell: expected lstm or gru, found {self.cell!r}")


@strict
class TransientSwinConfig(TransientModelConfig):
    """Sizes of the SwinV2 on images of light curves.

    Args:
        image_size, patch_size, window_size: pixels of an image, a patch, and patches of a window.
        embed_dim, depths, num_heads: of SwinV2's stages, each twice as wide as the one before.
        window_days: time [d] that an image shows, the most significant measurement at a quarter of it.
    """

    model_type = "transient_swin"

    image_size: int = 64
    patch_size: int = 4
    window_size: int = 4
    embed_dim: int = 24
    depths: list[int] | None = None
    num_heads: list[int] | None = None
    window_days: float = 400.0

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in the stages."""
        self.depths, self.num_heads = self.depths or [2, 2, 2], self.num_heads or [2, 4, 8]
        super().__post_init__(**kwargs)

    def validate_image(self) -> None:
        """Reject sizes that do not go together."""
        stages = 2 ** (len(self.depths or []) - 1)
        if self.image_size % (self.patch_size * self.window_size * stages):
            raise ValueError(
                f"image_size: expected a multiple of {self.patch_size * self.window_size * stages} (patches, windows, "
                f"stages), found {self.image_size}"
            )
        if len(self.depths or []) != len(self.num_heads or []) or not self.window_days > 0.0:
            raise ValueError("depths, num_heads, window_days: expected as many heads and days above 0, found others")
