"""The paper's size is held; other sizes are free."""

import math
import time

import pytest

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.known_sound import known_sound
from soundscene.windows import WindowGrid
from soundscene_train.assessment.cost import (
    limits_kept,
    measure_processor_time,
    nonzero_bytes,
    nonzero_parameter_count,
    require_paper_size,
)
from soundscene_train.errors import TrainingError
from soundscene_train.merging import merge
from soundscene_train.network import NetworkSettings
from tests.train.helpers import lively_model

NAMES = ("mel", "gammatone", "cqt")


def test_the_papers_system_has_the_papers_size() -> None:
    """A merged default network has 10,922 numbers, three have 32,766; one number more or less is refused."""
    settings = NetworkSettings()
    merged = merge(lively_model(settings, labels=10), settings)
    counts = dict.fromkeys(NAMES, merged.parameter_count)
    assert sum(counts.values()) == 32_766
    require_paper_size(settings, 10, counts)
    for wrong in (10_921, 10_923):
        with pytest.raises(TrainingError, match="has 10922 parameters a network and 32766 in all"):
            require_paper_size(settings, 10, counts | {"cqt": wrong})
    require_paper_size(NetworkSettings(widths=(8,) * 6), 10, dict.fromkeys(NAMES, 5))
    require_paper_size(settings, 3, dict.fromkeys(NAMES, 10_467))


def test_zeros_and_both_limits_are_counted() -> None:
    """A number set to 0 is no longer counted; 131,064 bytes fit 128 KiB and not 128,000 bytes."""
    settings = NetworkSettings(widths=(8,) * 6)
    merged = merge(lively_model(settings), settings)
    before = nonzero_parameter_count(merged)
    assert before == merged.parameter_count
    merged.blocks[2].bias[:3] = 0.0
    assert nonzero_parameter_count(merged) == before - 3
    assert nonzero_bytes(merged, 32) == 4 * (before - 3)
    assert limits_kept(131_064) == {"fits_131072_bytes": True, "fits_128000_bytes": False}
    assert set(limits_kept(128_000).values()) == {True}, "a limit itself is kept"


@pytest.mark.parametrize("bits", [8, 3])
def test_weights_of_few_bits_are_counted_by_their_bits(bits: int) -> None:
    """Weights that are not 0 fill whole bytes together; scales, biases and affine maps take four each."""
    settings = NetworkSettings(widths=(8,) * 6)
    merged = merge(lively_model(settings), settings)
    kernels = [kernel for block in merged.blocks for kernel in block.kernels] + [merged.dense_kernel]
    weights, scales = sum(kernel.size for kernel in kernels), sum(kernel.shape[-1] for kernel in kernels)
    others = 4 * (merged.parameter_count - weights + scales)
    assert nonzero_bytes(merged, bits) == math.ceil(weights * bits / 8) + others
    merged.dense_kernel[0, :3] = 0.0
    assert nonzero_bytes(merged, bits) == math.ceil((weights - 3) * bits / 8) + others


def test_processor_time_is_of_one_window(tiny_bundle: Bundle) -> None:
    """Its milliseconds are about what a window takes when it is timed apart; a stream needs one each 64 frames."""
    front_end = tiny_bundle.front_end
    classifier = SceneClassifier(tiny_bundle)
    window = WindowGrid(front_end.sample_rate_hz, front_end).window(0, known_sound(front_end))
    classifier.classify(window)
    started = time.process_time()
    for _ in range(10):
        classifier.classify(window)
    apart = 1000.0 * (time.process_time() - started) / 10
    found = measure_processor_time(tiny_bundle)
    assert apart / 8 < found["cpu_milliseconds_per_window"] < 8 * apart
    assert found["window_step_seconds"] == pytest.approx(64 * 1600 / 44_100, abs=1e-3)
