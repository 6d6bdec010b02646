"""The command: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from scripts.processes import free_port
from soundscene_worker.audit.__main__ import main
from tests.stream_worker.audit.city import City, make_prediction


def run(city: City, bundle: Path, *options: str) -> int:
    arguments = ["--chunks-topic", "chunks", "--predictions-topic", "predictions", "--bundle", str(bundle), *options]
    return main(arguments, connect=lambda _: city.cluster)


def fill(city: City) -> None:
    city.hear_seconds(0)
    city.publish(*(make_prediction(index) for index in range(3)))


def test_a_good_run_ends_with_0(city: City, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a sentence that says so, below the table of devices."""
    fill(city)
    assert run(city, bundle) == 0
    text = capsys.readouterr().out
    assert "mic-1" in text
    assert "All 3 windows that must exist were published; nothing differs." in text


def test_a_loss_ends_with_1(city: City, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The missing windows are listed, the first ten at least."""
    city.hear_seconds(0, 1, 2, 3)
    city.publish(make_prediction(0))
    assert run(city, bundle) == 1
    text = capsys.readouterr().out
    assert "missing: device mic-1, session a, 8000 Hz, first sample 2000" in text
    assert "... and 4 more" in text
    assert "14 of 15 windows are missing" in text


def test_the_json_says_it_all(city: City, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object for programs."""
    fill(city)
    city.publish(replace(make_prediction(1), scene="tram"))
    assert run(city, bundle, "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["good"] is False
    assert verdict["total"] == verdict["devices"]["mic-1"] == {
        "expected": 3, "published": 3, "missing": 0, "repeated": 1, "differing": 1, "unexpected": 0,
    }  # fmt: skip
    assert verdict["chunks"]["mic-1"] == {"chunks": 1, "refused": 0, "repeated": 0, "late": 0, "seconds": 1.0}
    assert verdict["missing_windows"] == []


def test_unexpected_predictions_can_be_allowed(city: City, bundle: Path) -> None:
    """For a log whose oldest chunks are gone."""
    city.publish(make_prediction(0))
    assert run(city, bundle) == 1
    assert run(city, bundle, "--allow-unexpected") == 0


def test_hostile_text_does_not_break_the_table(city: City, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from a topic that others can write to: neither markup nor escape sequences take effect."""
    city.publish(replace(make_prediction(0), id="x", device="[b]\x1b[2J"))
    assert run(city, bundle) == 1
    assert "[b]\N{REPLACEMENT CHARACTER}[2J" in capsys.readouterr().out


def test_the_rules_are_those_of_the_worker(city: City, bundle: Path) -> None:
    """A worker that takes shorter chunks only has refused these, and nothing must exist."""
    city.hear_seconds(0)
    assert run(city, bundle) == 1
    assert run(city, bundle, "--max-chunk-seconds", "0.5") == 0
    assert run(city, bundle, "--max-chunk-bytes", "100") == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--chunks-topic", "nowhere"),
        ("--bundle", "/nonexistent"),
        ("--wait-seconds", "-1"),
        ("--follow", "--grace-seconds", "-1"),
        ("--follow", "--grace-seconds", "inf"),
        ("--follow", "--look-seconds", "0"),
        ("--follow", "--look-seconds", "inf"),
        ("--follow", "--http-certificate-file", "/nonexistent"),
        ("--follow", "--http-password-file", "/nonexistent"),
        ("--idle-seconds", "0"),
        ("--hold-back-seconds", "inf"),
        ("--bootstrap-servers", "nonsense"),
        ("--sasl-password-file", "/nonexistent"),
    ],
)
def test_what_cannot_be_used_ends_with_2(
    city: City, bundle: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    """One clear line, no traceback."""
    assert run(city, bundle, *options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("soundscene-audit: ")
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-chunk-bytes", "0"),
        ("--max-chunk-bytes", "8388609"),
        ("--max-chunk-seconds", "0"),
        ("--max-chunk-seconds", "inf"),
    ],
)
def test_a_limit_that_cannot_be_is_named_as_it_was_given(
    city: City, bundle: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """With what was expected, and with what was got."""
    assert run(city, bundle, option, value) == 2
    assert re.fullmatch(rf"soundscene-audit: expected {option} .*, got {value}\n", capsys.readouterr().err)


def test_one_model_can_be_asked_by_name_and_version(city: City, bundle: Path) -> None:
    """A topic that was scored again is audited for the bundle that should have done it."""
    fill(city)
    assert run(city, bundle, "--model", "demo@1") == 0
    assert run(city, bundle, "--model", "demo@2") == 1


def test_the_causes_of_lost_sound_are_printed(city: City, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sound that was never sent is explained, and is no failure."""
    city.hear_seconds(0, 2)
    city.publish(*(make_prediction(index) for index in (0, 1, 2, 8, 9, 10)))
    assert run(city, bundle) == 0
    assert "windows without their sound, by cause" in capsys.readouterr().out
    assert run(city, bundle, "--json") == 0
    assert json.loads(capsys.readouterr().out)["untold"] == {"mic-1": {"never_sent": 5}}


def test_watching_serves_metrics_and_ends_with_the_verdict(
    city: City, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its front page says whose they are; SIGTERM stops it cleanly, and what is missing by then decides the exit."""
    fill(city)
    port, pages = free_port(), list[bytes]()

    def look_and_end() -> None:
        try:
            pages.append(urlopen(f"http://127.0.0.1:{port}/", timeout=10).read())
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Timer(1.0, look_and_end).start()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert run(city, bundle, "--follow", "--http-port", str(port), "--look-seconds", "0.1") == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    assert "/metrics" in captured.err
    assert b"<h1>soundscene auditor " in pages[0]
    assert "All 3 windows that must exist were published" in captured.out
