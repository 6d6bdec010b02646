"""What a network's folder holds decides what is left to train."""

from pathlib import Path

import pytest

from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, fit_run


@pytest.mark.parametrize("damage", [b"", b"{", b"{}"])
def test_damaged_constants_of_a_trained_network_are_measured_again(
    esc_plan: Plan, esc_run: Path, damage: bytes
) -> None:
    """`fit` writes a damaged standardisation.json anew, as it was, and trains nothing again."""
    path, checkpoint = esc_run / "mel" / "standardisation.json", esc_run / "mel" / "checkpoint.npz"
    before, trained = path.read_bytes(), checkpoint.read_bytes()
    path.write_bytes(damage)
    fit_run(esc_plan, esc_run, Reporter(), ["mel"])
    assert path.read_bytes() == before
    assert checkpoint.read_bytes() == trained
