"""What a user would write without the plugin: the same method from librosa, gammatone and Keras."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene.fusion import decide
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

Array = NDArray[np.float32]


def spectra(samples: Array, settings: FrontEndSettings) -> list[Array]:
    """Return log power of mel, gammatone and constant-Q bands, each (bands, window frames)."""
    powers = (_mel(samples, settings), _gammatone(samples, settings), _constant_q(samples, settings))
    return [np.log(np.maximum(power, settings.power_floor)).astype(np.float32) for power in powers]


def patch(spectrum: Array, settings: FrontEndSettings, network: str) -> Array:
    """Return (1, bands, patch frames, 3) of a log spectrogram: floor, level, deltas."""
    import librosa

    if settings.dynamic_range_db is not None:
        spectrum = np.maximum(spectrum, spectrum.max() - settings.dynamic_range_db * np.log(10.0) / 10.0)
    if network in settings.remove_band_means:
        spectrum = spectrum - spectrum.mean(axis=1, keepdims=True)
    elif settings.remove_window_mean:
        spectrum = spectrum - spectrum.mean()
    width = settings.delta_width_frames
    delta = librosa.feature.delta(spectrum, width=width)
    channels = np.stack([spectrum, delta, librosa.feature.delta(delta, width=width)], axis=-1)
    return np.asarray(channels[np.newaxis, :, width - 1 : -(width - 1)], np.float32)


def _patches(samples: Array, settings: FrontEndSettings) -> list[Array]:
    named = zip(NETWORK_NAMES, spectra(samples, settings), strict=True)
    return [patch(spectrum, settings, network) for network, spectrum in named]


def with_predict(models: Sequence[Any], settings: FrontEndSettings) -> Callable[[Array], NDArray[np.float64]]:
    """Return samples to scores with three calls of `keras.Model.predict`."""

    def scores(samples: Array) -> NDArray[np.float64]:
        patches = _patches(samples, settings)
        return decide([model.predict(x, verbose=0) for model, x in zip(models, patches, strict=True)])

    return scores


def with_function(models: Sequence[Any], settings: FrontEndSettings) -> Callable[[Array], NDArray[np.float64]]:
    """Return samples to scores with three compiled `tf.function`s, as who knows TensorFlow would write it."""
    import tensorflow as tf

    shape = (1, settings.band_count, settings.patch_frames, 3)
    signature = [tf.TensorSpec(shape, tf.float32)]
    functions = [tf.function(_inference(model), input_signature=signature) for model in models]

    def scores(samples: Array) -> NDArray[np.float64]:
        patches = _patches(samples, settings)
        return decide([function(x).numpy() for function, x in zip(functions, patches, strict=True)])

    return scores


def _inference(model: Any) -> Callable[[Any], Any]:
    return lambda x: model(x, training=False)


def _mel(samples: Array, settings: FrontEndSettings) -> Array:
    import librosa

    power: Array = librosa.feature.melspectrogram(
        y=np.pad(samples, _margin(settings)),
        sr=settings.sample_rate_hz,
        n_fft=settings.fft_size_samples,
        win_length=settings.window_size_samples,
        hop_length=settings.hop_size_samples,
        center=False,
        n_mels=settings.band_count,
        fmin=settings.min_frequency_hz,
    )
    return power


def _gammatone(samples: Array, settings: FrontEndSettings) -> Array:
    from gammatone.fftweight import fft_gtgram

    rate_hz, margin = settings.sample_rate_hz, _margin(settings)
    magnitude: Array = fft_gtgram(
        np.pad(samples, (margin, 2 * margin)),
        rate_hz,
        settings.window_size_samples / rate_hz - 1e-9,  # rounding up would double its FFT
        settings.hop_size_samples / rate_hz,
        settings.band_count,
        settings.min_frequency_hz,
    )
    return np.square(magnitude[:, : settings.window_frames] * settings.fft_size_samples)


def _constant_q(samples: Array, settings: FrontEndSettings) -> Array:
    import librosa

    centre, hop = settings.window_size_samples // 2, settings.hop_size_samples
    shift = -centre % hop  # librosa centres frame t on sample t * hop
    complex_bins = librosa.cqt(
        np.pad(samples, (shift, 0)),
        sr=settings.sample_rate_hz,
        hop_length=hop,
        fmin=settings.cqt_min_frequency_hz,
        n_bins=settings.band_count,
        bins_per_octave=settings.cqt_bins_per_octave,
        tuning=0.0,
        pad_mode="constant",
    )
    first = (centre + shift) // hop
    return np.asarray(np.square(np.abs(complex_bins[:, first : first + settings.window_frames])), np.float32)


def _margin(settings: FrontEndSettings) -> int:
    """Return what librosa and gammatone put on each side of a window inside its FFT."""
    return (settings.fft_size_samples - settings.window_size_samples) // 2
