"""Each part has a run of its own."""

from pathlib import Path

import pytest

from soundscene_train.cross_validation import fold_folder


@pytest.mark.parametrize("part", ["1", "spring 2024", "2024/05", "../elsewhere", "nächte"])
def test_every_part_has_a_folder_beside_the_others(part: str) -> None:
    """Where `compress` looks for them, whatever a table calls its folds."""
    assert fold_folder(Path("run"), part).parent == Path("run")
    assert fold_folder(Path("run"), part).match("fold-*")
