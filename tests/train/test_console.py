"""What a person sees while a run goes on."""

from __future__ import annotations

import pytest

from soundscene_train.console import ConsoleReporter


def test_plain_lines_are_few_and_end_with_the_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody looks at a terminal, a hundred units are ten lines."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with ConsoleReporter() as reporter:
        for done in range(1, 101):
            reporter.epoch("mel", done, 100, 1 / done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "training mel: 100/100 loss 0.010"


def test_what_is_finished_leaves_the_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred networks in a terminal, one line each stays, and bars of those alone that are under way."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ConsoleReporter() as reporter:
        for number in range(100):
            for done in (1, 2):
                reporter.epoch(f"fold-{number} mel", done, 2, 0.5)
        reporter.epoch("fold-100 mel", 1, 2, 0.5)
    output = capsys.readouterr().err
    lines = [line for line in output.splitlines() if "2/2 loss 0.500" in line and "training fold" in line]
    assert len(lines) == 100
    last_frame = output.rpartition("training fold-99 mel: 2/2")[2]
    assert "training fold-100 mel" in last_frame
    assert "fold-98" not in last_frame
