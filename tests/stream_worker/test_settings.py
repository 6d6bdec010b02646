"""Settings are checked as a whole, never change, and show no secret."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from soundscene.errors import SettingsError
from soundscene_worker.configuration_page import markdown
from soundscene_worker.messages.dead_letter import DeadLetterPolicy
from soundscene_worker.settings import WorkerSettings
from soundscene_worker.settings_sources import read_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_number_without_end_is_refused_by_name(value: float) -> None:
    """TOML and command lines can write `inf`; clocks and samples cannot count it."""
    names = [name for name, field in WorkerSettings.model_fields.items() if field.annotation is float]
    assert {"hold_back_seconds", "poll_interval_seconds", "session_timeout_seconds"} <= set(names)
    for name in names:
        with pytest.raises(ValidationError, match=rf"{name}\n.*finite"):
            WorkerSettings.model_validate({name: value})


def test_a_limit_of_chunks_that_is_too_large_is_refused_by_name() -> None:
    """The message has the setting's own name, the bound and what was given."""
    with pytest.raises(SettingsError, match=r"^max_chunk_bytes: .* or equal to 8388608, got '8388609'$"):
        read_settings(["--max-chunk-bytes", "8388609"], {})


def test_secrets_are_never_shown() -> None:
    """Neither the settings nor their parts nor an error message hold a password in their text."""
    environment = {
        "SOUNDSCENE_WORKER_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SOUNDSCENE_WORKER_SASL_MECHANISM": "PLAIN",
        "SOUNDSCENE_WORKER_SASL_USERNAME": "worker",
        "SOUNDSCENE_WORKER_SASL_PASSWORD": "hunter2",
        "SOUNDSCENE_WORKER_SSL_KEY_PASSWORD": "hunter2",
    }
    settings = read_settings([], environment)
    assert settings.connection.client_settings()["sasl_plain_password"] == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.connection) + repr(settings.shown())
    with pytest.raises(SettingsError) as caught:
        read_settings([], {"SOUNDSCENE_WORKER_SASL_PASSWORD": "hunter2", "SOUNDSCENE_WORKER_SASL_MECHANISM": "PLAIN"})
    assert "hunter2" not in str(caught.value)


def test_secrets_come_from_files_that_only_we_can_read(tmp_path: Path) -> None:
    """A file takes the place of the secret itself, but not beside it, and not when everybody may read it."""
    file = tmp_path / "password"
    file.write_text("hunter2\nnot this\n")
    file.chmod(0o600)
    user = ["--security-protocol", "SASL_SSL", "--sasl-mechanism", "PLAIN", "--sasl-username", "worker"]
    words = [*user, "--sasl-password-file", str(file), "--http-password-file", str(file)]
    settings = read_settings(words, {})
    assert settings.connection.sasl_password == settings.protection.password == "hunter2"
    assert "hunter2" not in repr(settings) + repr(settings.connection) + repr(settings.protection)
    assert "hunter2" not in repr(settings.shown())
    with pytest.raises(SettingsError, match="sasl_password and sasl_password_file are both given"):
        read_settings(words, {"SOUNDSCENE_WORKER_SASL_PASSWORD": "hunter2"})
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="everybody may read it: chmod o= "):
        read_settings(words, {})


def test_settings_never_change() -> None:
    """A setting cannot be assigned to."""
    settings = read_settings([], {})
    with pytest.raises(ValidationError):
        settings.group_id = "other"


def test_what_is_shown_is_what_was_changed() -> None:
    """The start-up line lists what differs from the defaults."""
    assert read_settings(["--http-port", "0"], {}).shown() == {"http_port": "0"}


def test_the_parts_receive_every_setting() -> None:
    """What the connection, the consumer, the producer and the limits are built from is what was given."""
    words = [
        "--bootstrap-servers",
        "a:1, b:2",
        "--assignor",
        "range",
        "--compression",
        "gzip",
        "--max-chunk-seconds",
        "3",
    ]
    words += ["--dead-letter-payload", "--dead-letter-burst", "7", "--dead-letters-per-second", "0.5"]
    settings = read_settings(words, {})
    assert settings.dead_letters == DeadLetterPolicy(include_payload=True, burst=7, letters_per_second=0.5)
    assert settings.connection.bootstrap_servers == ("a:1", "b:2")
    assert settings.consuming.client_settings()["max_poll_records"] == settings.poll_records
    assert settings.producing.client_settings()["compression_type"] == "gzip"
    assert settings.limits.max_seconds == 3


def test_the_page_is_written_from_the_settings() -> None:
    """`docs/configuration.md` is what the module that writes it prints, and its example can be used."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == markdown()
    example = page.split("```toml\n")[1].split("```")[0]
    WorkerSettings(**tomllib.loads(example))
