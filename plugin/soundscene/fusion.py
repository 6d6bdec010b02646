"""From the scores of patches and networks to one decision: equations 1 and 3 of Pham et al. (DCASE 2021)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundscene.errors import SettingsError

__all__ = ["RULES", "SHORT_CLIP_RULES", "TEMPERATURES", "Calibration", "FusionSettings", "decide"]

RULES: Final = ("product", "average")
"""How networks are joined: equation 3, or the plain mean."""

SHORT_CLIP_RULES: Final = ("repeat", "silence")
"""How a clip shorter than a window is extended."""

TEMPERATURES: Final = (0.05, 20.0)
"""The least and the largest that may be applied."""

_TINY: Final = float(np.finfo(np.float64).tiny)
"""Stands for a score of exactly 0 in the logarithm: one network's zero must not turn a whole product into 0/0."""


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """How a bundle turns scores into verdicts.

    Parameters
    ----------
    rule : {"product", "average"}
        How the networks are joined.
    smoothing_windows : int >= 1
        Windows a smoothed verdict looks back on, its own included.
    short_clip : {"repeat", "silence"}
        How a clip shorter than a window is extended.
    unsure_below : float in [0, 1)
        A verdict whose best score lies below it is not assessable; 0 believes every verdict.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    rule: str = "product"
    smoothing_windows: int = 2
    short_clip: str = "repeat"
    unsure_below: float = 0.0

    def __post_init__(self) -> None:
        """Check every range, so that no invalid settings can exist."""
        _require_choice("rule", self.rule, RULES)
        _require_choice("short_clip", self.short_clip, SHORT_CLIP_RULES)
        windows = self.smoothing_windows
        if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
            raise SettingsError(f"smoothing_windows must be an integer of at least 1, got {windows!r}")
        threshold = self.unsure_below
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0.0 <= threshold < 1.0:
            raise SettingsError(f"unsure_below must lie in [0, 1), got {threshold!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read settings back.

        Raises
        ------
        SettingsError
            A key is unknown or missing, or a value is outside its range.
        """
        _require_keys("fusion", cls, values)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes a bundle's scores mean how often they are right.

    Parameters
    ----------
    temperature : float in 0.05..20
        Divides the logarithms of the joined scores (Guo et al., 2017); above 1 it takes back confidence.
    fitted_on : str
        The clips that it was fitted on, in words.

    Raises
    ------
    SettingsError
        The temperature is outside its range, or nothing is said of the clips.
    """

    temperature: float
    fitted_on: str

    def __post_init__(self) -> None:
        """Check both."""
        _require_temperature(self.temperature)
        if not isinstance(self.fitted_on, str) or not self.fitted_on.strip():
            raise SettingsError(f"calibration needs fitted_on, the clips in words, got {self.fitted_on!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read it back.

        Raises
        ------
        SettingsError
            A key is unknown or missing, or a value is outside its range.
        """
        _require_keys("a calibration", cls, values)
        return cls(**values)


def decide(network_scores: ArrayLike, rule: str = "product", temperature: float = 1.0) -> NDArray[np.float64]:
    """Join the scores of patches and networks to one score per label.

    Each network's scores are averaged over its patches (equation 1); then the networks are multiplied (equation 3), in
    log space and renormalised, or averaged; and what comes out is calibrated.

    Parameters
    ----------
    network_scores : array_like [shape=(networks, patches, labels)]
        Scores in [0, 1], each row summing to 1.
    rule : {"product", "average"}
        How the networks are joined.
    temperature : float in 0.05..20
        Of a `Calibration`; 1 changes nothing.

    Returns
    -------
    np.ndarray [shape=(labels,), float64]
        Scores in [0, 1] that sum to 1.

    Raises
    ------
    SettingsError
        The rule is unknown, the temperature outside its range, or the array is empty or not of three dimensions.
    """
    _require_choice("rule", rule, RULES)
    _require_temperature(temperature)
    scores = np.asarray(network_scores, np.float64)  # (networks, patches, labels)
    if scores.ndim != 3 or not scores.size:
        raise SettingsError(f"expected scores of shape (networks, patches, labels), none empty, got {scores.shape}")
    by_network = scores.mean(axis=1)  # (networks, labels)
    if rule == "average":
        logarithms = np.log(np.maximum(by_network.mean(axis=0), _TINY))  # (labels,)
    else:
        logarithms = np.log(np.maximum(by_network, _TINY)).sum(axis=0)  # (labels,)
    joined = np.exp((logarithms - logarithms.max()) / temperature)
    return np.asarray(joined / joined.sum(), np.float64)


def _require_temperature(value: object) -> None:
    low, high = TEMPERATURES
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"temperature must lie in [{low}, {high}], got {value!r}")


def _require_keys(what: str, cls: type[FusionSettings | Calibration], values: dict[str, Any]) -> None:
    names = sorted(field.name for field in fields(cls))
    if sorted(values) != names:
        raise SettingsError(f"{what} needs exactly the keys {names}, got {sorted(values)}")


def _require_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{field} must be one of {', '.join(choices)}, got {value!r}")
