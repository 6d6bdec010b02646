from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle
from soundscene.cli import main
from soundscene.synthesis import synthesise

RATE = 44_100
WINDOW_FIELDS = [
    "first_sample",
    "sample_count",
    "sample_rate",
    "start_seconds",
    "end_seconds",
    "scene",
    "score",
    "scores",
    "networks",
    "smoothed_scene",
    "smoothed_score",
    "assessable",
    "reasons",
    "level_dbfs",
    "level_dbspl",
    "model",
]


@pytest.fixture
def park(tmp_path: Path) -> Path:
    path = tmp_path / "park.wav"
    soundfile.write(path, synthesise("park", 10.0, RATE, np.random.default_rng(0)), RATE)
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short.flac"
    soundfile.write(path, synthesise("bus", 2.0, 16_000, np.random.default_rng(0)), 16_000)
    return path


def _analyze(bundle: Bundle, *arguments: object) -> int:
    return main(["analyze", "--bundle", str(bundle.directory), *map(str, arguments)])


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_a_file_of_absurd_values_is_named_and_the_others_are_analysed(
    tiny_bundle: Bundle, park: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: int
) -> None:
    """Finite numbers far beyond full scale are found in a window, which knows no file."""
    absurd = tmp_path / "absurd.wav"
    soundfile.write(absurd, np.full(6 * rate, 1e18, np.float32), rate, subtype="FLOAT")
    assert _analyze(tiny_bundle, "--json", absurd, park) == 2
    captured = capsys.readouterr()
    assert f"{absurd}: samples must be finite numbers" in captured.err
    assert len(_json_lines(captured.out)) == 1


def test_json_is_one_line_per_file_with_the_fields_of_a_prediction(
    tiny_bundle: Bundle, park: Path, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, order and values of the documented form."""
    assert _analyze(tiny_bundle, park, short, "--json") == 0
    first, second = _json_lines(capsys.readouterr().out)
    assert (first["file"], first["duration_seconds"], first["extended_by"]) == (str(park), 10.0, None)
    assert (second["file"], second["duration_seconds"], second["extended_by"]) == (str(short), 2.0, "repeat")
    assert [len(first["windows"]), len(second["windows"])] == [3, 1]
    for window in first["windows"] + second["windows"]:
        assert list(window) == WINDOW_FIELDS
        assert sum(window["scores"].values()) == pytest.approx(1.0)
        assert window["scores"][window["scene"]] == window["score"] == max(window["scores"].values())
        assert list(window["networks"]) == ["mel", "gammatone", "cqt"]
        assert window["model"] == tiny_bundle.model
        assert window["sample_rate"] == RATE
    assert [window["first_sample"] for window in first["windows"]] == [0, 102_400, 204_800]
    assert first["windows"][1]["start_seconds"] == pytest.approx(102_400 / RATE)
    assert second["windows"][0]["end_seconds"] == 2.0


def test_the_summary_and_the_smoothed_verdict_are_the_papers_decision(
    tiny_bundle: Bundle, park: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first window is its own past, and a summary names the best of its scores."""
    _analyze(tiny_bundle, park, "--json")
    (line,) = _json_lines(capsys.readouterr().out)
    first = line["windows"][0]
    assert (first["smoothed_scene"], first["smoothed_score"]) == (first["scene"], pytest.approx(first["score"]))
    summary = line["summary"]
    assert summary["scores"][summary["scene"]] == summary["score"] == max(summary["scores"].values())
    assert sum(summary["scores"].values()) == pytest.approx(1.0)


def test_the_timeline_has_a_row_for_each_window_and_one_for_the_file(
    tiny_bundle: Bundle, park: Path, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times, scenes and levels can be read off; a short clip says how it was extended."""
    assert _analyze(tiny_bundle, park, short) == 0
    printed = capsys.readouterr()
    rows = printed.out.splitlines()
    assert rows[0] == f"{park}: 10.00 s at 44100 Hz"
    assert rows[1].startswith("  0:00.0 - 0:05.0  ")
    assert rows[3].startswith("  0:04.6 - 0:09.6  ")
    assert rows[4].startswith("  whole file")
    assert "dBFS" in rows[1]
    assert rows[5].endswith("shorter than a window of 4.99 s: repeated from its beginning")
    assert len(rows) == 8
    assert printed.err == "tiny 1: Random weights for tests; it knows nothing.\n"


def test_a_silent_window_is_flagged(tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What should not be believed carries its reason, and a file of such windows alone is not believed either."""
    soundfile.write(tmp_path / "zeros.wav", np.zeros(6 * RATE), RATE)
    assert _analyze(tiny_bundle, tmp_path / "zeros.wav") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].endswith("-120.0 dBFS  silent")
    assert rows[-1].strip() == "no window can be assessed: see the reasons above"
    _analyze(tiny_bundle, tmp_path / "zeros.wav", "--json")
    summary = _json_lines(capsys.readouterr().out)[0]["summary"]
    assert (summary["assessable"], summary["assessable_windows"]) == (False, 0)


def test_a_file_that_falls_silent_says_how_much_of_it_counts(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five seconds of sound and ten of silence, the windows that heard something are counted."""
    samples = np.zeros(15 * RATE)
    samples[: 5 * RATE] = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE)
    soundfile.write(tmp_path / "half.wav", samples, RATE)
    assert _analyze(tiny_bundle, tmp_path / "half.wav", "--json") == 0
    (line,) = _json_lines(capsys.readouterr().out)
    believed = [window["assessable"] for window in line["windows"]]
    assert (believed[0], believed[-1]) == (True, False)
    assert (line["summary"]["assessable"], line["summary"]["assessable_windows"]) == (True, sum(believed))
    assert _analyze(tiny_bundle, tmp_path / "half.wav") == 0
    last = capsys.readouterr().out.splitlines()[-1].strip()
    assert last == f"{sum(believed)} of {len(believed)} windows can be assessed: see the reasons above"


def test_missing_and_broken_files_are_one_line_each_and_the_others_are_done(
    tiny_bundle: Bundle, park: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, a line for each bad file on stderr, results of the good ones on stdout."""
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello")
    bad = [tmp_path / "missing.wav", tmp_path / "empty.wav", tmp_path / "text.wav"]
    assert _analyze(tiny_bundle, bad[0], park, *bad[1:], "--json") == 2
    printed = capsys.readouterr()
    assert [line["file"] for line in _json_lines(printed.out)] == [str(park)]
    complaints = printed.err.splitlines()[1:]
    assert len(complaints) == len(bad)
    for complaint, path in zip(complaints, bad, strict=True):
        assert complaint.startswith(f"soundscene: {path}: ")


def test_a_truncated_file_is_analysed_and_complained_about(
    tiny_bundle: Bundle, park: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it holds is worth having; the exit code still says that it is broken."""
    content = park.read_bytes()
    park.write_bytes(content[: 6 * RATE * 2])
    assert _analyze(tiny_bundle, park, "--json") == 2
    printed = capsys.readouterr()
    (line,) = _json_lines(printed.out)
    assert len(line["windows"]) == 1
    assert "truncated" in line["defect"]
    assert printed.err.splitlines()[1] == f"soundscene: {line['defect']}"


def test_a_bundle_that_cannot_be_used_ends_the_command(
    park: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, no traceback."""
    assert main(["analyze", "--bundle", str(tmp_path), str(park)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"soundscene: bundle {tmp_path}: holds no manifest.json")
    assert len(printed.err.splitlines()) == 1


def test_plots_of_several_files_each_get_a_name(
    tiny_bundle: Bundle, park: Path, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file has its picture, and stderr names it."""
    assert _analyze(tiny_bundle, park, short, "--plot", tmp_path / "out.png") == 0
    err = capsys.readouterr().err
    for name in ("out-park.png", "out-short.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"plot: {tmp_path / name}" in err


def test_a_plot_that_cannot_be_written_is_refused_before_the_work(
    tiny_bundle: Bundle, park: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong suffix or folder costs no analysis."""
    assert _analyze(tiny_bundle, park, "--plot", tmp_path / "out.txt") == 2
    assert _analyze(tiny_bundle, park, "--plot", tmp_path / "nowhere" / "out.png") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "must end in .png" in printed.err
    assert "no folder" in printed.err


def test_usage_errors_and_help_follow_the_custom(capsys: pytest.CaptureFixture[str]) -> None:
    """No command is exit code 2 with usage on stderr; help and version are exit code 0 on stdout."""
    for arguments, code in (([], 2), (["analyze"], 2), (["--help"], 0), (["--version"], 0)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == code
    assert "analyze" in capsys.readouterr().out
