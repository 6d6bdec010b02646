"""The table of the demo."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from scripts.demo import board as module
from scripts.demo.board import Board


def prediction(device: str, **changes: Any) -> bytes:
    """Return the fields of a prediction that the table shows."""
    content = {
        "device": device,
        "scene": "crackling_fire",
        "score": 0.87,
        "level_dbfs": -31.4,
        "assessable": True,
        "reasons": [],
        "latency_seconds": {"features": 0.004, "total": 0.52},
    }
    return json.dumps({**content, **changes}).encode()


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a board with three devices prints, two of them with predictions."""
    monkeypatch.setattr(module, "PLAIN_INTERVAL_SECONDS", 0.0)
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80)
    with Board(["mic-3-helicopter", "mic-2", "mic-3"], console) as board:
        board.prediction(prediction("mic-3-helicopter"))
        board.prediction(prediction("mic-2", assessable=False, reasons=["silent"]))
        board.coverage({"mic-3-helicopter": 0.975, "stranger": 1.0})
        board.show("12 s")
        assert board.windows == 2
    return output.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_every_device_is_shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table on a terminal and lines elsewhere show scene, score, level, coverage and latency in 80 columns."""
    text = shown(terminal, monkeypatch)
    for expected in ("mic-3-helicopter", "crackling_fire", "0.87", "-31 dBFS", "98 %", "0.52 s", "mic-3", "..."):
        assert expected in text
    assert "(silent)" in text
    assert "stranger" not in text


def test_without_a_terminal_there_are_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines for a file hold plain text."""
    assert "\x1b" not in shown(False, monkeypatch)
