"""A recipe: every setting that decides what a training run produces, as one frozen object."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from soundscene.errors import SettingsError
from soundscene.fusion import FusionSettings
from soundscene.settings import FrontEndSettings
from soundscene_train.network import NetworkSettings

__all__ = [
    "DEVICES",
    "ENGINES",
    "FLOAT_BITS",
    "AugmentationSettings",
    "FitSettings",
    "Recipe",
    "StorageSettings",
]

SCHEDULES: Final = ("constant", "cosine")
ENGINES: Final = ("fast", "keras")
DEVICES: Final = ("one", "all")
_PLAIN_NAME: Final = re.compile(r"\w[^/\\]*")
FLOAT_BITS: Final = 32
"""Bits of a weight that is stored as it was trained."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How weights are found.

    Parameters
    ----------
    epochs, batch_size : int > 0
        Fixed length; the last weights count, none are chosen on test data.
    learning_rate : float > 0
        Adam's, at its highest.
    schedule : {"constant", "cosine"}
        Cosine falls to 1 % after a linear warm-up.
    warm_up_share : float in [0, 1)
        Share of all steps that the warm-up takes.
    weight_decay : float >= 0
        lambda of the paper's loss term lambda / 2 * ||theta||^2 over all trained variables.
    decoupled_decay : bool
        Shrink the variables by learning rate * weight_decay at each step instead (AdamW); the loss has no such term.
    average_last_share : float in [0, 1)
        Average the weights of this last share of the epochs and measure the batch norms' statistics anew; 0 keeps the
        last weights as they are.
    quantise_last_share : float in [0, 1)
        In this last share of the epochs, training sees all kernels' weights as they will be stored, in their bits and
        pruned (quantisation-aware training); engine `fast` only.
    teacher_share : float in [0, 1]
        Share of each target that the scores of a teacher make, a run that is trained already; the label makes the rest.
    teacher_temperature : float > 0
        The teacher's scores are raised to the inverse of it, which shows more of what it almost said.
    engine : {"fast", "keras"}
        Who takes the steps: this package on one core, or Keras on whatever its backend runs on.
    devices : {"one", "all"}
        Whether Keras shares each batch among all devices, those of several machines too where these train together.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warm_up_share: float = 0.0
    weight_decay: float = 1e-4
    decoupled_decay: bool = False
    average_last_share: float = 0.0
    quantise_last_share: float = 0.0
    teacher_share: float = 0.0
    teacher_temperature: float = 2.0
    engine: str = "fast"
    devices: str = "one"

    def __post_init__(self) -> None:
        """Check every range."""
        _require(self.epochs >= 1, "epochs must be at least 1", self.epochs)
        _require(self.batch_size >= 2, "batch_size must be at least 2", self.batch_size)
        _require(self.learning_rate > 0.0, "learning_rate must be above 0", self.learning_rate)
        _require(self.schedule in SCHEDULES, f"schedule must be one of {', '.join(SCHEDULES)}", self.schedule)
        _require(0.0 <= self.warm_up_share < 1.0, "warm_up_share must lie in [0, 1)", self.warm_up_share)
        _require(self.weight_decay >= 0.0, "weight_decay must not be below 0", self.weight_decay)
        _require(0.0 <= self.average_last_share < 1.0, "average_last_share must lie in [0, 1)", self.average_last_share)
        share = self.quantise_last_share
        _require(0.0 <= share < 1.0, "quantise_last_share must lie in [0, 1)", share)
        _require(self.engine == "fast" or not share, "quantise_last_share needs engine fast", share)
        _require(0.0 <= self.teacher_share <= 1.0, "teacher_share must lie in [0, 1]", self.teacher_share)
        _require(self.teacher_temperature > 0.0, "teacher_temperature must be above 0", self.teacher_temperature)
        _require(self.engine in ENGINES, f"engine must be one of {', '.join(ENGINES)}", self.engine)
        _require(self.devices in DEVICES, f"devices must be one of {', '.join(DEVICES)}", self.devices)
        _require(
            self.engine == "keras" or self.devices == "one", "devices other than one need engine keras", self.devices
        )


@dataclass(frozen=True, slots=True)
class AugmentationSettings:
    """How one clip becomes many.

    Parameters
    ----------
    mixup_alpha : float >= 0
        Both parameters of mixup's beta distribution; 0 switches it off.
    frequency_mask_bands, time_mask_frames : int >= 0
        SpecAugment: the widest frequency mask and the widest time mask, one of each per patch.
    roll : bool
        Rotate each window in time by a random number of frames.
    crop_frames : int >= 0
        Train on random stretches of so many frames, which hold at least half as much sound as the window's best; the
        trained network still takes whole patches. 0 trains on whole patches.
    response_probability : float in [0, 1]
        Share of windows that get the colour of another recording device before anything else is done to them.
    response_spread : float in [0, 1]
        The decibels of such a colour are stretched by a factor that is uniform in 1 - spread to 1 + spread.
    held_out_responses : tuple of str
        Measured devices, by file name without ending, that are kept for tests.
    noise_probability : float in [0, 1]
        Share of windows that get white, pink or brown noise.
    noise_min_snr_db, noise_max_snr_db : float
        The ratio of the window's power to the noise's is uniform in between.
    style_probability : float in [0, 1]
        Share of windows that take over some of another's mean and deviation in each band (Freq-MixStyle).

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    mixup_alpha: float = 0.4
    frequency_mask_bands: int = 16
    time_mask_frames: int = 16
    roll: bool = False
    crop_frames: int = 0
    response_probability: float = 0.0
    response_spread: float = 0.0
    held_out_responses: tuple[str, ...] = ()
    noise_probability: float = 0.0
    noise_min_snr_db: float = 0.0
    noise_max_snr_db: float = 40.0
    style_probability: float = 0.0

    def __post_init__(self) -> None:
        """Check every range."""
        _require(self.mixup_alpha >= 0.0, "mixup_alpha must not be below 0", self.mixup_alpha)
        _require(self.frequency_mask_bands >= 0, "frequency_mask_bands must not be below 0", self.frequency_mask_bands)
        _require(self.time_mask_frames >= 0, "time_mask_frames must not be below 0", self.time_mask_frames)
        _require(self.crop_frames >= 0, "crop_frames must not be below 0", self.crop_frames)
        _require(
            0.0 <= self.response_probability <= 1.0,
            "response_probability must lie in [0, 1]",
            self.response_probability,
        )
        _require(0.0 <= self.response_spread <= 1.0, "response_spread must lie in [0, 1]", self.response_spread)
        _require(0.0 <= self.noise_probability <= 1.0, "noise_probability must lie in [0, 1]", self.noise_probability)
        lowest, highest = self.noise_min_snr_db, self.noise_max_snr_db
        _require(
            -100.0 <= lowest <= highest <= 100.0,
            "noise_min_snr_db must not exceed noise_max_snr_db, both within -100 to 100",
            (lowest, highest),
        )
        _require(0.0 <= self.style_probability <= 1.0, "style_probability must lie in [0, 1]", self.style_probability)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How a trained network is stored, and so what is evaluated and served.

    Parameters
    ----------
    weight_bits : int in 2..8, or 32
        Bits of each weight of convolutions and dense layer; everything else stays float32.
    pruned_share : float in [0, 1)
        Of each convolution's weights, the smallest, that are stored as 0.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    weight_bits: int = 32
    pruned_share: float = 0.0

    def __post_init__(self) -> None:
        """Check every range."""
        _require(self.weight_bits in {*range(2, 9), FLOAT_BITS}, "weight_bits must be 2 to 8, or 32", self.weight_bits)
        _require(0.0 <= self.pruned_share < 1.0, "pruned_share must lie in [0, 1)", self.pruned_share)

    @property
    def is_exact(self) -> bool:
        """Whether weights are stored as they were trained."""
        return self.weight_bits == FLOAT_BITS and not self.pruned_share


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a training run.

    Parameters
    ----------
    name : str
        For reports, provenance and a run's folder, which it cannot lead out of.
    seed : int >= 0
        Weights, order, augmentation and dropout follow from it.
    front_end, network, fit, augmentation, storage, fusion
        The parts.
    """

    name: str = "unnamed"
    seed: int = 0
    front_end: FrontEndSettings = field(default_factory=FrontEndSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)

    def __post_init__(self) -> None:
        """Check what concerns the whole."""
        is_text = isinstance(self.name, str) and self.name.isprintable()
        is_plain = is_text and _PLAIN_NAME.fullmatch(self.name) is not None
        _require(is_plain, "name must begin with a letter or digit and hold no slash, as a folder's", self.name)
        _require(self.seed >= 0, "seed must not be below 0", self.seed)
        needless = bool(self.fit.quantise_last_share) and self.storage.is_exact
        _require(not needless, "quantise_last_share needs weight_bits below 32 or pruned_share above 0", self.storage)
        crop, patch = self.augmentation.crop_frames, self.front_end.patch_frames
        _require(crop <= patch, f"crop_frames must not exceed the patch's {patch} frames", crop)
        least, front_end = 2 ** len(self.network.pool_after), self.training_front_end
        shape = front_end.band_count, front_end.patch_frames
        _require(min(shape) >= least, f"bands and frames must be at least {least}, as each pool halves them", shape)

    @property
    def training_front_end(self) -> FrontEndSettings:
        """The front end of what a network is trained on: patches as long as a crop, where crops are taken."""
        crop = self.augmentation.crop_frames
        if not crop:
            return self.front_end
        return dataclasses.replace(self.front_end, patch_frames=crop, step_frames=min(crop, self.front_end.step_frames))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy; `recipe_files.parse_recipe` reads it back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]  # tuples become lists

    def with_fit(self, **changes: Any) -> Recipe:
        """Return a copy with other fit settings."""
        return dataclasses.replace(self, fit=dataclasses.replace(self.fit, **changes))


def _require(condition: bool, expectation: str, value: object) -> None:
    if not condition:
        raise SettingsError(f"{expectation}, got {value!r}")
