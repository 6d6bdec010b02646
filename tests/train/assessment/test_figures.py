"""Plots of a report that can be read, whatever the figures are."""

from typing import Any

import pytest

from soundscene_train.assessment import figures


@pytest.fixture(name="drawn")
def keep_figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what is drawn, before it becomes SVG."""
    kept: list[Any] = []
    monkeypatch.setattr(figures, "_svg", kept.append)
    return kept


def test_each_bar_has_a_text_that_nothing_crosses(drawn: list[Any]) -> None:
    """Accuracies stand beyond the bars and their intervals."""
    figures.bars("By class", {"rain": 0.0, "dog": 1.0}, {"rain": {"low": 0.0, "high": 1.0}})
    texts = drawn[0].axes[0].texts
    assert [text.get_text() for text in texts] == ["0.0%", "100.0%"]
    assert all(text.get_position()[0] > 100.0 for text in texts)


def test_no_accuracy_above_all_is_offered(drawn: list[Any]) -> None:
    """Where everything is right, the scale ends there."""
    figures.curve("Kept", [(0.5, 1.0), (1.0, 1.0)], "kept, %")
    assert drawn[0].axes[0].get_ylim()[1] <= 101.0
