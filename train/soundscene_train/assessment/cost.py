"""What a bundle costs: bytes by both definitions of the limit, multiply-adds, and processor time per window."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.known_sound import known_sound
from soundscene.windows import WindowGrid
from soundscene_train.errors import TrainingError
from soundscene_train.merging import MergedNetwork
from soundscene_train.network import NetworkSettings
from soundscene_train.recipe import FLOAT_BITS

__all__ = [
    "LIMITS_BYTES",
    "limits_kept",
    "measure_processor_time",
    "nonzero_bytes",
    "nonzero_parameter_count",
    "require_paper_size",
]

LIMITS_BYTES: Final = (131_072, 128_000)
"""Both readings of 128 KB."""

_PAPER_PARAMETERS: Final = {"network": 10_922, "bundle": 32_766}
"""Of the paper's system: Table I with channel restriction and decomposed convolution, ten labels."""

_PAPER_LABELS: Final = 10
_WINDOWS: Final = 15


def nonzero_parameter_count(network: MergedNetwork) -> int:
    """Numbers stored that are not 0, which is what the DCASE 2021 rules count."""
    arrays = [network.dense_kernel, network.dense_bias]
    for block in network.blocks:
        arrays += [*block.kernels, block.bias, *(block.affine or ())]
    return sum(int(np.count_nonzero(array)) for array in arrays)


def require_paper_size(settings: NetworkSettings, label_count: int, parameters: dict[str, int]) -> None:
    """Hold the paper's system to the paper's size; other networks may have any.

    Raises
    ------
    TrainingError
        A network has not 10,922 parameters, or all three have not 32,766.
    """
    paper = NetworkSettings()
    if (settings.widths, settings.decomposed, label_count) != (paper.widths, paper.decomposed, _PAPER_LABELS):
        return
    if (
        set(parameters.values()) != {_PAPER_PARAMETERS["network"]}
        or sum(parameters.values()) != _PAPER_PARAMETERS["bundle"]
    ):
        raise TrainingError(
            f"the paper's system has {_PAPER_PARAMETERS['network']} parameters a network and "
            f"{_PAPER_PARAMETERS['bundle']} in all, got {parameters}: the export is not the network that was trained"
        )


def nonzero_bytes(network: MergedNetwork, weight_bits: int) -> int:
    """Bytes of the numbers that are not 0, scales of the weights included."""
    kernels = [network.dense_kernel, *(kernel for block in network.blocks for kernel in block.kernels)]
    weights = sum(int(np.count_nonzero(kernel)) for kernel in kernels)
    scales = 0 if weight_bits == FLOAT_BITS else sum(kernel.shape[-1] for kernel in kernels)
    others = nonzero_parameter_count(network) - weights + scales
    return -(-weights * weight_bits // 8) + others * FLOAT_BITS // 8


def limits_kept(used_bytes: int) -> dict[str, bool]:
    """Tell which of `LIMITS_BYTES` three networks keep to."""
    return {f"fits_{limit}_bytes": used_bytes <= limit for limit in LIMITS_BYTES}


def measure_processor_time(bundle: Bundle) -> dict[str, Any]:
    """Measure the processor time of one window, here and now.

    Returns
    -------
    dict
        `cpu_milliseconds_per_window` (median, front end and three networks, one thread, no shared frames),
        `windows_measured`, `window_step_seconds` (a stream needs one window per step) and `processor`.
    """
    settings = bundle.front_end
    classifier = SceneClassifier(bundle)
    window = WindowGrid(settings.sample_rate_hz, settings).window(0, known_sound(settings))
    classifier.classify(window)
    times = []
    for _ in range(_WINDOWS):
        started = time.process_time()
        classifier.classify(window)
        times.append(time.process_time() - started)
    return {
        "cpu_milliseconds_per_window": round(1000 * float(np.median(times)), 2),
        "windows_measured": _WINDOWS,
        "window_step_seconds": round(settings.step_frames * settings.hop_size_samples / settings.sample_rate_hz, 3),
        "processor": _processor(),
    }


def _processor() -> str:
    """Name of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
