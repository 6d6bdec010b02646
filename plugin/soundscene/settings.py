"""The front end's settings: one frozen object that travels with the networks it was used to train."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from soundscene.errors import SettingsError

__all__ = ["NETWORK_NAMES", "PRESET_NAMES", "FrontEndSettings"]

NETWORK_NAMES: Final = ("mel", "gammatone", "cqt")
"""The three inputs, in the order of every array that has a network axis."""

_HOPS_SAMPLES: Final = {"five-seconds": 1600, "paper": 1850, "paper-1s": 620, "paper-2s": 1120, "paper-10s": 2048}
PRESET_NAMES: Final = tuple(_HOPS_SAMPLES)

_MOST: Final = 2**31 - 1
"""Largest whole number that the libraries below can count to."""

_FLOAT32_RANGE: Final = (2.0**-126, 2.0**127)
"""Powers are float32: below it a floor would be lost, or be 0, whose logarithm is no number."""


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """How a window of sound becomes three patches. The weights of a network depend on every field.

    Parameters
    ----------
    sample_rate_hz : int > 0
        Rate the front end works at; other rates are resampled to it.
    window_size_samples, fft_size_samples, hop_size_samples : int > 0
        Short-time Fourier transform: periodic Hann window of 2 samples or more, zero-padded to an even size; frame t
        starts at sample t * hop.
    patch_frames, step_frames : int > 0
        Frames a network sees, and frames from one window to the next.
    delta_width_frames : odd int >= 3
        Regression width of delta and delta-delta, both "valid" in time.
    band_count : int > 0
        Bands of each spectrogram.
    min_frequency_hz : float > 0
        Lower edge of the mel and gammatone banks; the upper edge is Nyquist.
    cqt_min_frequency_hz, cqt_bins_per_octave
        Centre of the lowest constant-Q bin and its resolution.
    power_floor : float, 1.2e-38 to 1.7e38
        Added guard of the logarithm: powers below it count as it. 1e-16 is -160 dB.
    dynamic_range_db : float > 0 or None
        Floor each window this far below its own maximum; None keeps the fixed floor alone.
    remove_window_mean : bool
        Subtract each window's mean level, which makes scores independent of gain.
    remove_band_means : tuple of str
        Networks from whose input each band's mean over the window's frames is subtracted: cepstral mean normalisation
        (Atal 1974), which takes the colour of a microphone away, and that of a steady sound with it.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    sample_rate_hz: int = 44_100
    window_size_samples: int = 4_096
    fft_size_samples: int = 8_192
    hop_size_samples: int = 1_600
    patch_frames: int = 128
    step_frames: int = 64
    delta_width_frames: int = 5
    band_count: int = 128
    min_frequency_hz: float = 10.0
    cqt_min_frequency_hz: float = 32.7
    cqt_bins_per_octave: int = 16
    power_floor: float = 1e-16
    dynamic_range_db: float | None = 80.0
    remove_window_mean: bool = True
    remove_band_means: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every range, so that no invalid settings can exist."""
        for field in fields(self):
            if field.name != "remove_band_means":
                self._check_positive(field.name, field.type)
        self._check_networks()
        if self.min_frequency_hz >= self.sample_rate_hz / 2:
            raise SettingsError(f"min_frequency_hz must lie below Nyquist ({self.sample_rate_hz / 2:g} Hz)")
        if self.delta_width_frames < 3 or self.delta_width_frames % 2 == 0:
            raise SettingsError(f"delta_width_frames must be odd and at least 3, got {self.delta_width_frames}")
        if self.window_size_samples < 2:
            raise SettingsError(f"window_size_samples must be 2 or more, got {self.window_size_samples}")
        if self.fft_size_samples < self.window_size_samples or self.fft_size_samples % 2:
            raise SettingsError(
                f"fft_size_samples ({self.fft_size_samples}) must be even and not below "
                f"window_size_samples ({self.window_size_samples})"
            )
        least, most = _FLOAT32_RANGE
        if not least <= self.power_floor <= most:
            raise SettingsError(f"power_floor must lie in [{least:.2g}, {most:.2g}], got {self.power_floor:g}")
        if self.step_frames > self.window_frames:
            raise SettingsError(f"step_frames ({self.step_frames}) must not exceed {self.window_frames}")
        if self.cqt_max_frequency_hz >= self.sample_rate_hz / 2:
            raise SettingsError(
                f"the top constant-Q bin ({self.cqt_max_frequency_hz:.6g} Hz) must lie below Nyquist "
                f"({self.sample_rate_hz / 2:.0f} Hz): raise cqt_bins_per_octave or lower cqt_min_frequency_hz"
            )

    def _check_positive(self, name: str, kind: object) -> None:
        value = getattr(self, name)
        if kind == "bool":
            if not isinstance(value, bool):
                raise SettingsError(f"{name} must be true or false, got {value!r}")
            return
        if value is None and "None" in str(kind):
            return
        allowed, most = ((int,), _MOST) if kind == "int" else ((int, float), sys.float_info.max)
        if isinstance(value, bool) or not isinstance(value, allowed) or not 0 < value <= most:
            wanted = "a whole number" if kind == "int" else "a number"
            raise SettingsError(f"{name} must be {wanted} above 0 and at most {most:.10g}, got {value!r}")

    def _check_networks(self) -> None:
        names = self.remove_band_means
        known = isinstance(names, tuple) and all(name in NETWORK_NAMES for name in names)
        if not known or len(set(names)) < len(names):
            raise SettingsError(
                f"remove_band_means must be different names of {', '.join(NETWORK_NAMES)}, got {names!r}"
            )

    @property
    def window_frames(self) -> int:
        """Frames of a window: the patch and what two valid deltas consume."""
        return self.patch_frames + 2 * (self.delta_width_frames - 1)

    @property
    def window_length_samples(self) -> int:
        """Samples a window spans."""
        return (self.window_frames - 1) * self.hop_size_samples + self.window_size_samples

    @property
    def step_samples(self) -> int:
        """Samples from one window's start to the next."""
        return self.step_frames * self.hop_size_samples

    @property
    def window_length_seconds(self) -> float:
        """Seconds a window spans."""
        return self.window_length_samples / self.sample_rate_hz

    @property
    def cqt_max_frequency_hz(self) -> float:
        """Centre of the highest constant-Q bin."""
        octaves = min((self.band_count - 1) / self.cqt_bins_per_octave, 1000.0)  # Python's powers end soon after
        return float(self.cqt_min_frequency_hz * 2.0**octaves)

    @classmethod
    def preset(cls, name: str) -> Self:
        """Settings by name.

        `five-seconds` is the default: a true 5-second buffer, wide constant-Q, level-proof. The `paper` presets keep
        the paper's hops, the authors' narrow constant-Q (24 bins per octave from 10 Hz) and absolute levels.

        Raises
        ------
        SettingsError
            No preset has this name.
        """
        if name not in PRESET_NAMES:
            raise SettingsError(f"no preset {name!r}; there are {', '.join(PRESET_NAMES)}")
        hop = _HOPS_SAMPLES[name]
        if name == "five-seconds":
            return cls(hop_size_samples=hop)
        return cls(
            hop_size_samples=hop,
            cqt_min_frequency_hz=10.0,
            cqt_bins_per_octave=24,
            power_floor=1e-10,
            dynamic_range_db=None,
            remove_window_mean=False,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return asdict(self) | {"remove_band_means": list(self.remove_band_means)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read settings back. Those written before `remove_band_means` existed have none.

        Raises
        ------
        SettingsError
            A key is unknown or missing, or a value is outside its range.
        """
        names = {field.name for field in fields(cls)}
        values = {"remove_band_means": [], **values}
        if set(values) != names:
            raise SettingsError(
                f"front-end settings need exactly the keys {sorted(names)}; "
                f"unknown {sorted(set(values) - names)}, missing {sorted(names - set(values))}"
            )
        networks = values["remove_band_means"]
        return cls(**values | {"remove_band_means": tuple(networks) if isinstance(networks, list) else networks})
