"""The sounds that `synthesis` mixes: each a function of (samples, rate, generator) with an RMS near 1.

Nothing here models physics. Each sound only has the spectrum, the rhythm and the variation that tell its kind apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

Signal = NDArray[np.float64]
Generator = np.random.Generator

_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants of five vowels (Peterson and Barney, 1952, male speakers)."""

_SPEECH_RATE_HZ = 11_025.0


def _unit(samples: Signal) -> Signal:
    """Scale to an RMS of 1; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(samples))))
    return samples / rms if rms > 0.0 else samples


def _noise(count: int, rate_hz: float, generator: Generator, tilt_db: float, band_hz: tuple[float, float]) -> Signal:
    """Gaussian noise between two frequencies, its power falling by `tilt_db` per octave above the lower one."""
    low_hz, high_hz = band_hz
    size = fft.next_fast_len(count, real=True)
    spectrum = fft.rfft(generator.standard_normal(size))
    frequencies = fft.rfftfreq(size, 1.0 / rate_hz)
    octaves = np.log2(np.maximum(frequencies, low_hz) / low_hz)
    gain = 10.0 ** (-tilt_db * octaves / 20.0)
    gain *= 1.0 / (1.0 + (frequencies / min(high_hz, 0.45 * rate_hz)) ** 8)
    gain *= frequencies**2 / (frequencies**2 + (0.5 * low_hz) ** 2)
    return _unit(fft.irfft(spectrum * gain, size)[:count])


def _wander(count: int, rate_hz: float, generator: Generator, period_seconds: float) -> Signal:
    """A smooth random curve, mean about 0 and standard deviation about 1."""
    knots = max(4, math.ceil(count / rate_hz / period_seconds) + 3)
    positions = np.arange(count) / (rate_hz * period_seconds)
    values = generator.standard_normal(knots)
    return np.interp(positions, np.arange(knots), values)


def _events(count: int, rate_hz: float, generator: Generator, per_second: float) -> NDArray[np.int64]:
    """Sample positions of a Poisson process."""
    number = generator.poisson(per_second * count / rate_hz)
    return np.sort(generator.integers(0, count, number))


def _place(count: int, starts: Iterable[int], make: list[Signal]) -> Signal:
    """Add each short sound at its start, cut off at the end."""
    result = np.zeros(count)
    for start, sound in zip(starts, make, strict=True):
        end = min(count, start + sound.size)
        result[start:end] += sound[: end - start]
    return result


def _tone(frequency_hz: Signal, rate_hz: float) -> Signal:
    """Phase in cycles of a tone whose frequency may move."""
    return np.cumsum(frequency_hz) / rate_hz


def _burst(seconds: float, rate_hz: float) -> Signal:
    """Time axis of a short sound, in seconds."""
    return np.arange(max(2, round(seconds * rate_hz))) / rate_hz


def reverberate(samples: Signal, rate_hz: int, seconds: float, generator: Generator) -> Signal:
    """Convolve with exponentially decaying noise, -60 dB after `seconds`, and keep the direct sound."""
    times = _burst(seconds, rate_hz)
    tail = generator.standard_normal(times.size) * 10.0 ** (-3.0 * times / seconds)
    tail = signal.lfilter([0.4], [1.0, -0.6], tail)  # air and walls take the treble first
    wet = signal.oaconvolve(samples, _unit(tail) / math.sqrt(times.size))[: samples.size]
    return samples + 0.8 * _unit(wet) * float(np.sqrt(np.mean(np.square(samples))))


def ventilation(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Air conditioning: falling noise with a faint mains hum."""
    hum_hz = 50.0 * generator.integers(1, 5)
    hum = np.sin(2.0 * np.pi * hum_hz * np.arange(count) / rate_hz)
    return _unit(_noise(count, rate_hz, generator, generator.uniform(4, 7), (80, 9000)) + 0.15 * hum)


def road(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Tyres and body of a vehicle from inside: low rumble that breathes with the speed."""
    speed = 1.0 + 0.3 * _wander(count, rate_hz, generator, 2.5)
    return _unit(_noise(count, rate_hz, generator, generator.uniform(7, 10), (60, 4000)) * np.abs(speed))


def distant_traffic(count: int, rate_hz: float, generator: Generator) -> Signal:
    """A city behind the houses."""
    swell = 1.0 + 0.25 * _wander(count, rate_hz, generator, 3.0)
    return _unit(_noise(count, rate_hz, generator, generator.uniform(5, 8), (50, 3000)) * np.abs(swell))


def leaves(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Wind in trees: bright noise in gusts."""
    gusts = np.exp(0.4 * _wander(count, rate_hz, generator, 1.5))
    return _unit(_noise(count, rate_hz, generator, generator.uniform(1, 4), (300, 9000)) * gusts)


def fountain(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Falling water: steady bright noise."""
    return _noise(count, rate_hz, generator, generator.uniform(0, 2), (generator.uniform(400, 1200), 12000))


def diesel(count: int, rate_hz: float, generator: Generator) -> Signal:
    """A combustion engine: harmonics of the firing rate, rough and slowly changing."""
    firing_hz = generator.uniform(22, 55) * (1.0 + 0.12 * _wander(count, rate_hz, generator, 2.0))
    phase = _tone(firing_hz, rate_hz)
    pulses = np.mod(phase, 1.0) ** 3 - 0.25
    rough = pulses * (1.0 + 0.4 * _noise(count, rate_hz, generator, 3, (20, 400)))
    cut = generator.uniform(300, 900) / (rate_hz / 2)
    return _unit(signal.sosfilt(signal.butter(2, cut, output="sos"), rough))


def traction(count: int, rate_hz: float, generator: Generator) -> Signal:
    """An electric drive: a whine that glides with the speed."""
    base_hz = generator.uniform(250, 900)
    frequency = base_hz * np.exp(0.25 * _wander(count, rate_hz, generator, 3.0))
    phase = 2.0 * np.pi * _tone(frequency, rate_hz)
    return _unit(np.sin(phase) + 0.5 * np.sin(2.0 * phase) + 0.3 * np.sin(3.02 * phase))


def rails(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Wheels on rails: rumble and the double beat of the joints."""
    rumble = _noise(count, rate_hz, generator, generator.uniform(5, 8), (70, 5000))
    interval = round(rate_hz * generator.uniform(0.45, 1.2))
    firsts = np.arange(generator.integers(0, interval), count, interval)
    starts = np.sort(np.concatenate([firsts, firsts + round(0.14 * rate_hz)]))
    starts = starts[starts < count]
    times = _burst(0.12, rate_hz)
    knocks = [np.exp(-times / 0.02) * generator.standard_normal(times.size) for _ in starts]
    beat = signal.lfilter([0.15], [1.0, -0.85], _place(count, starts, knocks))
    return _unit(rumble + generator.uniform(0.5, 2.0) * _unit(beat))


def squeal(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Flanges in a curve, or brakes: a narrow tone that swells once or twice."""
    frequency = generator.uniform(1800, min(5500.0, 0.4 * rate_hz)) * (
        1.0 + 0.02 * _wander(count, rate_hz, generator, 0.7)
    )
    envelope = np.maximum(_wander(count, rate_hz, generator, 1.2), 0.0)
    return _unit(np.sin(2.0 * np.pi * _tone(frequency, rate_hz)) * envelope)


def passing_cars(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Cars that come and go."""
    centres = generator.uniform(0, count / rate_hz, max(1, generator.poisson(count / rate_hz / 3.0)))
    times = np.arange(count) / rate_hz
    widths = generator.uniform(0.5, 1.8, centres.size)
    heights = np.exp(generator.normal(0, 0.4, centres.size))
    envelope = 0.1 + np.sum(heights[:, None] / (1.0 + ((times - centres[:, None]) / widths[:, None]) ** 2) ** 2, axis=0)
    return _unit(_noise(count, rate_hz, generator, generator.uniform(3, 6), (150, 7000)) * envelope)


def footsteps(count: int, rate_hz: float, generator: Generator) -> Signal:
    """A few people walking, each with their own pace and shoes."""
    result = np.zeros(count)
    for _ in range(generator.integers(1, 5)):
        interval = rate_hz / generator.uniform(1.5, 2.3)
        starts = np.arange(generator.uniform(0, interval), count, interval)
        starts = np.clip(starts + generator.normal(0, 0.02 * rate_hz, starts.size), 0, count - 1).astype(np.int64)
        times = _burst(0.08, rate_hz)
        decay = generator.uniform(0.005, 0.02)
        steps = [np.exp(-times / decay) * generator.standard_normal(times.size) for _ in starts]
        shoe = generator.uniform(0.2, 0.8)
        result += generator.uniform(0.3, 1.0) * signal.lfilter([1.0 - shoe], [1.0, -shoe], _place(count, starts, steps))
    return _unit(result)


def trolleys(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Small wheels on tiles: rattle at the rate of the joints."""
    rate = generator.uniform(5, 14) * (1.0 + 0.15 * _wander(count, rate_hz, generator, 1.0))
    rattle = np.exp(-6.0 * np.mod(_tone(rate, rate_hz), 1.0))
    nearness = np.abs(_wander(count, rate_hz, generator, 2.0))
    return _unit(_noise(count, rate_hz, generator, 2, (400, 6000)) * rattle * nearness)


def birds(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Short whistles that sweep between two pitches, in groups."""
    top_hz = min(7000.0, 0.42 * rate_hz)
    starts, calls = [], []
    for first in _events(count, rate_hz, generator, 0.7):
        low, high = np.sort(generator.uniform(0.35 * top_hz, top_hz, 2))
        times = _burst(generator.uniform(0.06, 0.25), rate_hz)
        sweep = low + (high - low) * np.sin(np.pi * generator.uniform(0.5, 3.0) * times / times[-1]) ** 2
        call = np.sin(2.0 * np.pi * _tone(sweep, rate_hz)) * np.hanning(times.size)
        for repeat in range(generator.integers(1, 6)):
            start = int(first + repeat * 1.5 * times.size)
            if start < count:
                starts.append(start)
                calls.append(call * generator.uniform(0.5, 1.0))
    return _unit(_place(count, starts, calls))


def babble(count: int, rate_hz: float, generator: Generator) -> Signal:
    """People talking, at different distances."""
    voices = [_voice(count, rate_hz, generator) for _ in range(generator.integers(2, 5))]
    far = _noise(count, rate_hz, generator, 6, (350, 3500)) * np.exp(0.3 * _wander(count, rate_hz, generator, 0.2))
    gains = generator.uniform(0.3, 1.0, len(voices))
    return _unit(sum((g * v for g, v in zip(gains, voices, strict=True)), start=0.8 * far))


def _voice(count: int, rate_hz: float, generator: Generator) -> Signal:
    """One speaker, made at a rate just high enough for speech and brought to the asked one."""
    share = min(1.0, _SPEECH_RATE_HZ / rate_hz)
    size = fft.next_fast_len(count, real=True)
    small = _spoken(math.ceil(size * share), rate_hz * share, generator)
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    spectrum[: small.size // 2 + 1] = fft.rfft(small)[: spectrum.size]
    return _unit(fft.irfft(spectrum, size)[:count])


def _spoken(count: int, rate_hz: float, generator: Generator) -> Signal:
    """A buzz through moving formants, in syllables and pauses."""
    pitch_hz = generator.uniform(90, 240) * np.exp(0.12 * _wander(count, rate_hz, generator, 0.3))
    buzz = np.mod(_tone(pitch_hz, rate_hz), 1.0) - 0.5 + 0.1 * generator.standard_normal(count)
    syllables = np.maximum(_wander(count, rate_hz, generator, 1.0 / generator.uniform(4, 7)), 0.0)
    talking = _wander(count, rate_hz, generator, 1.5) > -0.4
    size = generator.uniform(0.9, 1.2)
    spoken = np.zeros(count)
    vowels = generator.permutation(len(_VOWELS_HZ))[:2]
    mouth = 0.5 + 0.5 * np.sin(np.pi * _wander(count, rate_hz, generator, 0.25))
    for vowel, share in zip(vowels, (mouth, 1.0 - mouth), strict=True):
        for formant_hz, weight in zip(_VOWELS_HZ[vowel], (1.0, 0.5, 0.25), strict=True):
            numerator, denominator = signal.iirpeak(min(formant_hz * size, 0.45 * rate_hz), 8.0, rate_hz)
            spoken += weight * share * signal.lfilter(numerator, denominator, buzz)
    return spoken * syllables * talking


def announcement(count: int, rate_hz: float, generator: Generator) -> Signal:
    """A chime and a loudspeaker voice somewhere in the stretch."""
    start = int(generator.uniform(0, 0.6) * count)
    times = np.arange(count - start) / rate_hz
    pitches = generator.choice([440.0, 523.3, 587.3, 659.3, 784.0], 2, replace=False)
    chime = sum(
        np.sin(2 * np.pi * pitch * times) * np.exp(-3.0 * np.maximum(times - 0.4 * k, 0)) * (times >= 0.4 * k)
        for k, pitch in enumerate(pitches)
    )
    voice = _voice(count - start, rate_hz, generator) * (times > 1.0)
    band = signal.butter(2, [400 / (rate_hz / 2), min(3400, 0.45 * rate_hz) / (rate_hz / 2)], "band", output="sos")
    result = np.zeros(count)
    result[start:] = signal.sosfilt(band, 0.5 * chime + voice)
    return _unit(result)


def music(count: int, rate_hz: float, generator: Generator) -> Signal:
    """Background music: chords and a beat."""
    beat = round(rate_hz * 60.0 / generator.uniform(80, 130))
    root_hz = 220.0 * 2.0 ** (generator.integers(0, 12) / 12.0)
    times = _burst(2.0 * beat / rate_hz, rate_hz)
    starts = np.arange(0, count, 2 * beat)
    chords = []
    for _ in starts:
        degree = generator.choice([0, 3, 5, 7, 8])
        notes = root_hz * 2.0 ** ((degree + np.array([0, 4, 7, 12])) / 12.0)
        tones = np.sin(2 * np.pi * notes[:, None] * times) + 0.3 * np.sin(4 * np.pi * notes[:, None] * times)
        chords.append(tones.sum(axis=0) * np.exp(-2.0 * times))
    knock = np.exp(-_burst(0.1, rate_hz) / 0.03) * np.sin(2 * np.pi * 70 * _burst(0.1, rate_hz))
    kicks = np.arange(0, count, beat)
    return _unit(_unit(_place(count, starts, chords)) + 0.7 * _unit(_place(count, kicks, [knock] * kicks.size)))


def door_signal(count: int, rate_hz: float, generator: Generator) -> Signal:
    """The warning of closing doors: a few equal beeps."""
    pitch_hz = generator.uniform(700, 2000)
    times = _burst(0.18, rate_hz)
    beep = np.sin(2 * np.pi * pitch_hz * times) * np.hanning(times.size) ** 0.3
    first = int(generator.uniform(0, 0.8) * count)
    starts = np.arange(first, count, round(0.36 * rate_hz))[: generator.integers(3, 8)]
    return _unit(_place(count, starts, [beep] * starts.size))
