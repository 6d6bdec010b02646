"""Scene classification for users of Essentia: algorithms in the style of `essentia.standard`.

`SceneInputMel`, `SceneInputGammatone` and `SceneInputCQT` turn an audio frame into bands, as Essentia's
`TensorflowInput...` algorithms do. `ScenePredict` turns a signal into predictions, as its `TensorflowPredict...` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundscene._algorithm import Algorithm, Struct
from soundscene.errors import AudioError
from soundscene.settings import NETWORK_NAMES, PRESET_NAMES, FrontEndSettings
from soundscene.windows import Window

if TYPE_CHECKING:
    from soundscene.classifier import SceneClassifier

__all__ = ["SceneInputCQT", "SceneInputGammatone", "SceneInputMel", "ScenePredict", "create_python_algorithms"]

Samples = NDArray[np.float32]

_REFERENCE: Final = """
References:
  [1] Pham, L., Tang, H., Jalali, A., Schindler, A., & King, R. (2021). A Low-Complexity Deep Learning Framework For \
Acoustic Scene Classification. DCASE 2021 Challenge, Task 1A."""


def _parameter(name: str, kind: str, extent: str, default: str, description: str) -> dict[str, str]:
    return {"name": name, "description": description, "type": kind, "range": extent, "default": default}


def _choice(*members: str) -> str:
    return "{" + ",".join(members) + "}"


def _input_struct(name: str, bands: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "category": "Spectral",
        "inputs": [{"name": "frame", "type": "vector_real", "description": "the audio frame"}],
        "outputs": [{"name": "bands", "type": "vector_real", "description": f"the log {bands} bands, low to high"}],
        "parameters": [
            _parameter(
                "bundleDirectory",
                "string",
                "",
                "",
                "the folder of a bundle whose front-end settings to use. Overrides parameter preset",
            ),
            _parameter(
                "preset", "string", _choice(*PRESET_NAMES), PRESET_NAMES[0], "the name of the front-end settings to use"
            ),
        ],
        "description": description + "\n" + _REFERENCE,
    }


class _SceneInput(Algorithm):
    """A frame to bands; the subclass says which."""

    __struct__ = _input_struct("SceneInput", "", "")

    def _configure(self, values: Mapping[str, Any]) -> None:
        settings = _front_end_settings(values)
        self._frame_size, self._bands = self._built(settings)

    def _built(self, settings: FrontEndSettings) -> tuple[int, Callable[[Samples], Samples]]:
        """Return the size of a frame and the function of a frame that gives its bands."""
        raise NotImplementedError

    @property
    def frame_size_samples(self) -> int:
        """Samples of the frame that `compute` takes: what `frameSize` of Essentia's FrameCutter should be."""
        return self._frame_size

    def compute(self, frame: ArrayLike) -> Samples:
        """Return the bands of an audio frame.

        Parameters
        ----------
        frame : array_like [shape=(frame_size_samples,)]
            Audio that no window was applied to.

        Returns
        -------
        np.ndarray [shape=(bands,), float32]
            Natural logarithm of power.

        Raises
        ------
        AudioError
            The frame has another size or holds values that are not finite.
        """
        samples = np.asarray(frame, np.float32)
        if samples.shape != (self.frame_size_samples,):
            raise AudioError(f"{self.name()} takes frames of {self.frame_size_samples} samples, got {samples.shape}")
        return self._bands(samples)


class SceneInputMel(_SceneInput):
    """Frame to log mel bands."""

    __struct__ = _input_struct(
        "SceneInputMel",
        "mel",
        "This algorithm computes the mel bands that the scene networks expect: Windowing (normalized=False, "
        "symmetric=False) and PowerSpectrum with zero padding to 8192 samples, 128 triangles of unit area on Slaney's "
        "mel scale from 10 Hz to Nyquist, natural logarithm with a floor. It takes frames of 4096 samples at 44.1 kHz "
        "that no window was applied to.",
    )

    def _built(self, settings: FrontEndSettings) -> tuple[int, Callable[[Samples], Samples]]:
        from soundscene.frontend import FrontEnd

        front_end = FrontEnd(settings)
        return settings.window_size_samples, lambda frame: front_end.stft_bands(frame)[0].ravel()


class SceneInputGammatone(_SceneInput):
    """Frame to log gammatone bands."""

    __struct__ = _input_struct(
        "SceneInputGammatone",
        "gammatone",
        "This algorithm computes the gammatone bands that the scene networks expect: the magnitude of SceneInputMel's "
        "spectrum weighted by 128 gammatone responses from 10 Hz to Nyquist (the weights of the Python package "
        "gammatone, after D. Ellis), natural logarithm of the squared result with a floor. It takes frames of 4096 "
        "samples at 44.1 kHz that no window was applied to.",
    )

    def _built(self, settings: FrontEndSettings) -> tuple[int, Callable[[Samples], Samples]]:
        from soundscene.frontend import FrontEnd

        front_end = FrontEnd(settings)
        return settings.window_size_samples, lambda frame: front_end.stft_bands(frame)[1].ravel()


class SceneInputCQT(_SceneInput):
    """Frame to log constant-Q bands."""

    __struct__ = _input_struct(
        "SceneInputCQT",
        "constant-Q",
        "This algorithm computes the constant-Q bands that the scene networks expect: 128 bins, natural logarithm of "
        "power with a floor. Its frame holds the longest kernel and has a power of two as its size: 32768 samples at "
        "44.1 kHz with the default preset. Centre it on the frame that SceneInputMel gets: there, frame t begins at "
        "sample t * hopSize; here, at t * hopSize + 2048 - 16384, with silence before the signal.\n\n"
        "ScenePredict computes whole windows in a fraction of the time, because frames share their work there.",
    )

    def _built(self, settings: FrontEndSettings) -> tuple[int, Callable[[Samples], Samples]]:
        from soundscene.frontend.cqt import ConstantQ, enclosing_frame_size_samples
        from soundscene.frontend.front_end import log_power, usable_samples

        frame_size = enclosing_frame_size_samples(settings)
        constant_q = ConstantQ(settings, np.array([frame_size // 2]), frame_size)
        return frame_size, lambda frame: log_power(constant_q.power(usable_samples(frame)), settings).ravel()


class ScenePredict(Algorithm):
    """Signal to predictions."""

    __struct__: ClassVar[Struct] = {
        "name": "ScenePredict",
        "category": "Machine Learning",
        "inputs": [
            {"name": "signal", "type": "vector_real", "description": "the input audio signal sampled at 44.1 kHz"}
        ],
        "outputs": [
            {
                "name": "predictions",
                "type": "matrix_real",
                "description": "one row of scores for each patch, one column for each label",
            }
        ],
        "parameters": [
            _parameter(
                "bundleDirectory",
                "string",
                "",
                "",
                "the folder of the bundle with the networks, their labels and settings. Empty for the bundle that "
                "comes with the package",
            ),
            _parameter(
                "lastPatchMode",
                "string",
                _choice("discard", "repeat"),
                "discard",
                "what to do with the samples after the last complete patch: discard them, or repeat them to fill "
                "one more",
            ),
            _parameter(
                "output",
                "string",
                _choice("scores", *NETWORK_NAMES),
                "scores",
                "whose scores to return: those of all networks together, or those of one network",
            ),
            _parameter(
                "patchHopSize",
                "integer",
                "[-1,inf)",
                "-1",
                "number of frames between the beginnings of adjacent patches. 0 to avoid overlap, -1 for the hop of "
                "the bundle",
            ),
        ],
        "description": "This algorithm classifies acoustic scenes with a bundle of three small networks, which see "
        "mel, gammatone and constant-Q spectrograms [1]. Scores of a patch sum to 1. The attribute labels names the "
        "columns.\n\nA prediction depends on the samples of its patch alone (220096 with the default settings, about 5 "
        "seconds). Networks run one patch at a time, which is fastest on a CPU, so there is no batchSize.\n"
        + _REFERENCE,
    }

    def _configure(self, values: Mapping[str, Any]) -> None:
        from soundscene.bundle import load_bundle
        from soundscene.classifier import SceneClassifier

        self._classifier: SceneClassifier = SceneClassifier(load_bundle(values["bundleDirectory"] or None))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of the predictions."""
        return self._classifier.bundle.labels

    def compute(self, signal: ArrayLike) -> Samples:
        """Return the predictions for a signal.

        Parameters
        ----------
        signal : array_like [shape=(n,)]
            Mono audio at the bundle's rate (44.1 kHz), full scale 1.0.

        Returns
        -------
        np.ndarray [shape=(patches, labels), float32]
            No row where the signal is shorter than a patch and `lastPatchMode` is "discard", or where it is empty.

        Raises
        ------
        AudioError
            The signal is not mono or holds values that are not finite.
        """
        samples = np.ascontiguousarray(signal, np.float32)
        if samples.ndim != 1:
            raise AudioError(f"{self.name()} takes a mono signal of shape (n,), got {samples.shape}")
        frames = self._classifier.shared_frames()
        output = self.paramValue("output")
        rows = []
        for window in self._windows(samples):
            verdict = self._classifier.classify(window, frames)
            is_fused = output == "scores"
            rows.append(verdict.scores if is_fused else verdict.network_scores[NETWORK_NAMES.index(output)])
        return np.array(rows, np.float32).reshape(-1, len(self.labels))

    def _windows(self, samples: Samples) -> Iterator[Window]:
        from soundscene.audio_files import extend

        settings = self._classifier.bundle.front_end
        length, hop = settings.window_length_samples, self._hop_samples(settings)
        first = 0
        for first in range(0, len(samples) - length + 1, hop):
            yield _window(first // hop, first, samples[first : first + length], settings)
        complete = len(samples) >= length
        rest = samples[first + hop :] if complete else samples
        is_new = first + length < len(samples) if complete else len(samples) > 0
        if is_new and len(rest) and self.paramValue("lastPatchMode") == "repeat":
            index = first // hop + int(complete)
            yield _window(index, index * hop, extend(rest, length, "repeat"), settings)

    def _hop_samples(self, settings: FrontEndSettings) -> int:
        hop_frames = self.paramValue("patchHopSize")
        frames = {-1: settings.step_frames, 0: settings.patch_frames}.get(hop_frames, hop_frames)
        return int(frames * settings.hop_size_samples)


def create_python_algorithms(module: ModuleType) -> None:
    """Add the algorithms to a module: `create_python_algorithms(essentia.standard)` puts them beside Essentia's own."""
    for algorithm in (SceneInputMel, SceneInputGammatone, SceneInputCQT, ScenePredict):
        setattr(module, algorithm.__name__, algorithm)


def _front_end_settings(values: Mapping[str, Any]) -> FrontEndSettings:
    if values["bundleDirectory"]:
        from soundscene.bundle import load_bundle

        return load_bundle(values["bundleDirectory"]).front_end
    return FrontEndSettings.preset(values["preset"])


def _window(index: int, first: int, samples: Samples, settings: FrontEndSettings) -> Window:
    return Window(
        index=index,
        first_sample=first,
        sample_count=settings.window_length_samples,
        source_first_sample=first,
        sample_rate_hz=settings.sample_rate_hz,
        samples=samples,
    )
