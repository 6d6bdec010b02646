"""The plugin against two peers, on one core: milliseconds of processor time per window of sound.

The plugin classifies successive windows of a session, so it computes only frames that are new. The peers are handed a
whole window each time, because the libraries they use offer nothing else. All use the same three networks with random
weights: speed does not depend on what they know. Each round runs every variant in turn, in one process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import machine, write_section

COMMAND = "python -m benchmarks.plugin"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
LEFT_TO_THE_MACHINE = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Set for another machine they make products slower, and one without the other is worse still."""

PLUGIN, FUNCTION, PREDICT = "plugin", "tf.function", "keras.predict"
DESCRIPTIONS = {
    PLUGIN: "soundscene, new frames only, LiteRT",
    FUNCTION: "librosa + gammatone, three `tf.function`s",
    PREDICT: "librosa + gammatone, three `keras.Model.predict`",
}
TARGETS = {PREDICT: 25.0, FUNCTION: 12.0}
WARM_UP_WINDOWS = 3
MEMORY_WINDOWS = 5
WINDOWS_PER_ROUND = 8
LABELS = [f"scene_{number}" for number in range(10)]

Array = NDArray[np.float32]
Variant = Callable[[], NDArray[np.float64]]


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="at least 10 (default 15)")
    parser.add_argument("--memory", choices=DESCRIPTIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 10:
        parser.error("medians need 10 rounds or more")
    settle()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    with tempfile.TemporaryDirectory() as folder:
        if arguments.memory:
            print(peak_memory_bytes(arguments.memory, Path(folder)))
            return 0
        return compare(arguments.rounds, Path(folder))


def settle() -> None:
    """Start again with one thread per library and with matrix products tuned for this machine."""
    wanted = {name: value for name, value in os.environ.items() if name not in LEFT_TO_THE_MACHINE}
    wanted |= dict.fromkeys(ONE_THREAD, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.plugin", *sys.argv[1:]], wanted)


def compare(rounds: int, folder: Path) -> int:
    """Measure, print and store; return 1 if a target is missed."""
    session = Session(folder, WARM_UP_WINDOWS + rounds * WINDOWS_PER_ROUND)
    variants = {name: session.variant(name) for name in DESCRIPTIONS}
    agreement = session.largest_difference(variants)
    timed = measure(variants, rounds)
    memory = {name: memory_of_a_process_with(name) for name in variants}
    report = table(timed, memory, session.step_seconds) + notes(timed, agreement, rounds)
    print(report)
    write_section("Plugin", report)
    return int(any(ratio(timed, name) < target for name, target in TARGETS.items()))


class Session:
    """A signal, the networks and the three ways to classify a window of it."""

    def __init__(self, folder: Path, window_count: int) -> None:
        from soundscene.settings import FrontEndSettings

        self.settings = FrontEndSettings()
        self.step_seconds = self.settings.step_samples / self.settings.sample_rate_hz
        self._folder = folder
        self._window_count = window_count
        self._signal = signal(self.settings.window_length_samples + window_count * self.settings.step_samples)
        self._models = random_networks()

    def variant(self, name: str) -> Variant:
        """Return a function that classifies the next window each time it is called."""
        from benchmarks import peers

        if name == PLUGIN:
            return self._plugin()
        build = peers.with_predict if name == PREDICT else peers.with_function
        scores, windows = build(self._models, self.settings), self._windows()
        return lambda: scores(next(windows).samples)

    def largest_difference(self, variants: Mapping[str, Variant]) -> float:
        """Warm everything up, and return how far the scores of the same window lie apart."""
        scores = [np.stack([variant() for _ in range(WARM_UP_WINDOWS)]) for variant in variants.values()]
        return float(max(np.abs(one - scores[0]).max() for one in scores))

    def _plugin(self) -> Variant:
        from soundscene.classifier import SceneClassifier

        classifier = SceneClassifier(self._bundle())
        frames, windows = classifier.shared_frames(), self._windows()
        return lambda: classifier.classify(next(windows), frames).scores

    def _windows(self) -> Any:
        from soundscene.windows import WindowGrid

        grid = WindowGrid(self.settings.sample_rate_hz, self.settings)
        return (grid.window(k, self._signal[slice(*grid.span(k))]) for k in range(self._window_count))

    def _bundle(self) -> Any:
        from soundscene.bundle import write_bundle
        from soundscene.frontend import Standardisation
        from soundscene.fusion import FusionSettings
        from soundscene.settings import NETWORK_NAMES
        from soundscene_train import graphs
        from soundscene_train.merging import merge
        from soundscene_train.network import NetworkSettings, multiply_add_count

        merged = {n: merge(m, NetworkSettings()) for n, m in zip(NETWORK_NAMES, self._models, strict=True)}
        channels = {n: (tuple(m.channel_scale.tolist()), tuple(m.channel_offset.tolist())) for n, m in merged.items()}
        fields = {
            "name": "benchmark",
            "version": "1",
            "description": "Random weights.",
            "labels": LABELS,
            "front_end": self.settings.to_dict(),
            "standardisation": {n: Standardisation(0.0, 1.0, *c).to_dict() for n, c in channels.items()},
            "fusion": FusionSettings().to_dict(),
            "calibration": None,
            "parameters": {n: m.parameter_count for n, m in merged.items()},
            "multiply_adds": dict.fromkeys(merged, multiply_add_count(NetworkSettings(), len(LABELS))),
            "provenance": {"command": COMMAND},
            "metrics": {},
        }
        bands, frames = self.settings.band_count, self.settings.patch_frames
        files = {f"{n}.tflite": graphs.litert_model(m, bands, frames) for n, m in merged.items()}
        return write_bundle(self._folder / "bundle", fields, files)


def signal(sample_count: int) -> Array:
    """Return a minute of pink noise and four modulated tones in 16 bits, again and again."""
    rng = np.random.default_rng(2021)
    period = min(sample_count, 60 * 44_100)
    spectrum = np.fft.rfft(rng.standard_normal(period))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), period)
    seconds = np.arange(period) / 44_100
    tones = [np.sin(2 * np.pi * f * seconds) * np.sin(2 * np.pi * m * seconds) for f, m in ((110, 0.3), (440, 0.7))]
    tones += [np.sin(2 * np.pi * f * seconds + 3 * np.sin(seconds)) for f in (1_300.0, 5_200.0)]
    mixed = noise / np.abs(noise).max() + 0.1 * sum(tones)
    rounded = np.round(0.5 * mixed / np.abs(mixed).max() * 32_767) / 32_768
    return np.resize(rounded.astype(np.float32), sample_count)


def random_networks() -> list[Any]:
    """Return three networks with weights, and norms, that are far from trivial."""
    import keras
    import tensorflow as tf

    from soundscene_train.network import NetworkSettings, build_network

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(2021)
    rng = np.random.default_rng(2021)
    models = [build_network(NetworkSettings(), len(LABELS)) for _ in range(3)]
    for model in models:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                size = layer.gamma.shape[0]
                ranges = ((0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 2.0))
                layer.set_weights([rng.uniform(low, high, size) for low, high in ranges])
    return models


def measure(variants: Mapping[str, Variant], rounds: int) -> dict[str, list[float]]:
    """Return processor milliseconds per window and round."""
    timed: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, variant in variants.items():
            repeats = WINDOWS_PER_ROUND if name == PLUGIN else 1
            started = time.process_time()
            for _ in range(repeats):
                variant()
            timed[name].append(1e3 * (time.process_time() - started) / repeats)
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return timed


def memory_of_a_process_with(name: str) -> int:
    """Return the peak of a process of its own, in bytes."""
    command = [sys.executable, "-m", "benchmarks.plugin", "--memory", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def peak_memory_bytes(name: str, folder: Path) -> int:
    """Run one variant alone; the plugin from a bundle that another process has made, without TensorFlow."""
    if name == PLUGIN:
        return _peak_of_the_plugin(folder)
    variant = Session(folder, MEMORY_WINDOWS).variant(name)
    for _ in range(MEMORY_WINDOWS):
        variant()
    return _own_peak_bytes()


def _peak_of_the_plugin(folder: Path) -> int:
    maker = (
        f"from pathlib import Path; from benchmarks.plugin import Session; Session(Path({str(folder)!r}), 1)._bundle()"
    )
    subprocess.run([sys.executable, "-c", maker], check=True, capture_output=True)
    from soundscene.bundle import load_bundle
    from soundscene.classifier import SceneClassifier
    from soundscene.windows import WindowGrid

    classifier = SceneClassifier(load_bundle(folder / "bundle"))
    settings = classifier.bundle.front_end
    samples = signal(settings.window_length_samples + MEMORY_WINDOWS * settings.step_samples)
    grid, frames = WindowGrid(settings.sample_rate_hz, settings), classifier.shared_frames()
    for k in range(MEMORY_WINDOWS):
        classifier.classify(grid.window(k, samples[slice(*grid.span(k))]), frames)
    return _own_peak_bytes()


def _own_peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def ratio(timed: Mapping[str, list[float]], name: str) -> float:
    """Return how many times the plugin is faster: the median over rounds of the ratio within each."""
    return statistics.median(peer / own for peer, own in zip(timed[name], timed[PLUGIN], strict=True))


def table(timed: Mapping[str, list[float]], memory: Mapping[str, int], step_seconds: float) -> str:
    """Return a Markdown table."""
    lines = [
        "| variant | CPU ms per window: median (range) | plugin is faster by | sensors per core | peak memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, times in timed.items():
        median = statistics.median(times)
        lines.append(
            f"| {DESCRIPTIONS[name]} | {median:.1f} ({min(times):.1f} to {max(times):.1f}) | {ratio(timed, name):.1f} "
            f"| {1e3 * step_seconds / median:.0f} | {memory[name] / 1e6:.0f} MB |"
        )
    return "\n".join(lines)


def notes(timed: Mapping[str, list[float]], agreement: float, rounds: int) -> str:
    """Return what a reader must know about the table."""
    from soundscene.bundle import load_bundle

    bundle = load_bundle()
    parameters, multiply_adds = (max(counts.values()) for counts in (bundle.parameters, bundle.multiply_adds))
    verdicts = ", ".join(
        f"{ratio(timed, name):.1f} against {name} ({'met' if ratio(timed, name) >= target else 'MISSED'}: {target:.0f})"
        for name, target in TARGETS.items()
    )
    text = f"""
Targets: {verdicts}.

Median of {rounds} interleaved rounds in one process on one core. A window is 5 seconds; each sensor brings a new one
every 2.3 seconds. *Sensors per core* leaves out Kafka and head-room. Scores of the plugin and of the peers for the same
windows differ by {agreement:.1e} at most. Memory is that of a process of its own, measured on a few windows. The
networks are three of the paper's size with random weights, 10,922 parameters and 28.2 million multiply-adds each, not
the shipped bundle's, which have {parameters:,} and {multiply_adds / 1e6:.1f} million.

{machine()}. Made by `{COMMAND}`."""
    return "\n" + text


if __name__ == "__main__":
    sys.exit(main())
