"""What a look at the clips finds before hours are spent on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.errors import AudioError
from soundscene.frontend.front_end import usable_samples
from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.datasets.inspection import inspect_clips, require_readable
from soundscene_train.errors import DatasetError


@pytest.mark.parametrize(("scale", "is_absurd"), [(1e16, False), (1e18, True), (1e20, True)])
def test_what_the_front_end_refuses_cannot_be_read(tmp_path: Path, scale: float, is_absurd: bool) -> None:
    """A file whose numbers are absurd is named here already, by the limit that would end everything later."""
    samples = (scale * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    soundfile.write(tmp_path / "scaled.wav", samples, 16_000, subtype="FLOAT")
    facts = inspect_clips(Dataset("own", ("hum",), (Clip(tmp_path / "scaled.wav", "hum", "1"),), ("1",), (), ""))
    if not is_absurd:
        require_readable(facts)
        usable_samples(samples)
        return
    with pytest.raises(DatasetError, match=r"scaled\.wav: holds absurd values, up to .* --skip-unreadable"):
        require_readable(facts)
    with pytest.raises(AudioError, match="absurd values"):
        usable_samples(samples)
