"""The paper's size is held; other sizes are free."""

import pytest

from soundscene_train.assessment.cost import limits_kept, nonzero_bytes, nonzero_parameter_count, require_paper_size
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
