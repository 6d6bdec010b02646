"""What a person sees while a run goes on."""

from __future__ import annotations

import pytest

from soundscene_train.console import ConsoleReporter, duration_text


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


def test_stages_that_go_in_leaps_are_told_as_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips that are done ten at a time are ten lines too; of a size that is not known, the end alone is one."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with ConsoleReporter() as reporter:
        for done in [*range(10, 16_930, 10), 16_930]:
            reporter.step("spectrograms", done, 16_930)
        for done in range(1, 601):
            reporter.step("master.zip (MiB)", done, 0)
        reporter.step("master.zip (MiB)", 600, 600)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "spectrograms: 1700/16930"
    assert lines[-2:] == ["spectrograms: 16930/16930", "master.zip (MiB): 600/600"]


def test_what_is_finished_leaves_the_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred networks in a terminal, one line each stays, and bars of those alone that are under way."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ConsoleReporter() as reporter:
        for number in range(100):
            for done in (1, 2):
                reporter.epoch(f"fold-{number} mel", done, 2, 0.5)
        reporter.epoch("fold-100 mel", 1, 2, 0.5)
        reporter.step("master.zip (MiB)", 5, 0)
    output = capsys.readouterr().err
    lines = [line for line in output.splitlines() if "2/2 loss 0.500" in line and "training fold" in line]
    assert len(lines) == 100
    last_frame = output.rpartition("training fold-99 mel: 2/2")[2]
    assert "training fold-100 mel" in last_frame
    assert "fold-98" not in last_frame
    assert "5/?" in last_frame


def test_plain_lines_tell_when_all_networks_will_be_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many networks, the first that is known and each tenth of the whole work are a line with the time left."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with ConsoleReporter() as reporter:
        for done in range(1, 1001):
            reporter.whole(12, done // 10, 7.2 * (1000 - done))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[:2] == ["all 12 networks: 0 %, about 2 h 0 min left", "all 12 networks: 10 %, about 1 h 48 min left"]
    assert lines[-1] == "all 12 networks: 90 %, about 12 min left"


def test_a_terminal_shows_the_time_left_of_all_networks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar of the whole has the time that was told, until nothing is left."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ConsoleReporter() as reporter:
        reporter.whole(3, 40, 5_000.0)
        reporter.remark("look")
    assert "1 h 24 min" in capsys.readouterr().err
    with ConsoleReporter() as reporter:
        reporter.whole(3, 40, 5_000.0)
        reporter.whole(3, 100, 0.0)
        reporter.step("spectrograms", 1, 2)
        reporter.remark("look")
    last_frame = capsys.readouterr().err.rpartition("look")[2]
    assert "spectrograms" in last_frame
    assert "all 3 networks" not in last_frame


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 min"), (1.0, "1 min"), (3_600.0, "1 h 0 min"), (3_601.0, "1 h 1 min")],
)
def test_durations_are_rounded_up_to_minutes(seconds: float, text: str) -> None:
    """A begun minute counts, so that nothing is said to be over before it is."""
    assert duration_text(seconds) == text
