"""Settings come from four places in a fixed order, and a wrong one stops the worker before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundscene.errors import SettingsError
from soundscene_worker.settings import ENVIRONMENT_PREFIX, WorkerSettings, is_secret
from soundscene_worker.settings_sources import read_settings


def toml(folder: Path, text: str) -> str:
    file = folder / "worker.toml"
    file.write_text(text)
    return str(file)


def test_the_command_line_counts_most_then_environment_then_file(tmp_path: Path) -> None:
    """Each source replaces the ones below it, setting by setting; defaults fill the rest."""
    file = toml(tmp_path, 'group_id = "file"\nhttp_port = 1\nmax_devices = 3\n')
    environment = {"SOUNDSCENE_WORKER_GROUP_ID": "environment", "SOUNDSCENE_WORKER_HTTP_PORT": "2"}
    settings = read_settings(["--config", file, "--group-id", "line"], environment)
    assert (settings.group_id, settings.http_port, settings.max_devices) == ("line", 2, 3)
    assert settings.chunks_topic == "audio.chunks"


def test_the_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    """A container needs no command line at all."""
    file = toml(tmp_path, 'group_id = "file"')
    assert read_settings([], {"SOUNDSCENE_WORKER_CONFIG": file}).group_id == "file"


def test_every_setting_can_be_given_everywhere(tmp_path: Path) -> None:
    """The default of each setting, written out, is accepted on the command line and in the environment."""
    for name, field in WorkerSettings.model_fields.items():
        default = field.get_default()
        if default is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        words = [flag] if default is True else [f"--no{flag[1:]}"] if default is False else [flag, str(default)]
        assert getattr(read_settings(words, {}), name) == default
        environment = {f"{ENVIRONMENT_PREFIX}{name.upper()}": str(default)}
        assert getattr(read_settings([], environment), name) == default


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--heartbeat-seconds", "40"], "heartbeat_seconds .* third of session_timeout_seconds"),
        (["--poll-records", "many"], "poll_records.*integer.*'many'"),
        (["--poll-records", "0"], "poll_records.*greater than or equal to 1.*'0'"),
        (["--poll-seconds", "nan"], "poll_seconds.*'nan'"),
        (["--bootstrap-servers", "kafka"], "bootstrap_servers takes host:port.*'kafka'"),
        (["--bootstrap-servers", "kafka:0"], "host:port"),
        (["--group-id", ""], "group_id"),
        (["--chunks-topic", "a b"], "chunks_topic.*'a b'"),
        (["--chunks-topic", "scene.predictions"], "three different topics"),
        (["--http-port", "65536"], "http_port.*65535"),
        (["--compression", "rar"], "compression must be one of none, gzip"),
        (["--assignor", "random"], "assignor must be one of cooperative-sticky, range"),
        (["--security-protocol", "SASL_SSL"], "needs sasl_mechanism, sasl_username, sasl_password"),
        (["--sasl-mechanism", "PLAIN"], "needs security_protocol"),
        (["--ssl-ca-file", "/nowhere/ca.pem", "--security-protocol", "SSL"], "no such file: /nowhere/ca.pem"),
        (["--log-level", "loud"], "log_level.*'loud'"),
        (["--config", "/nowhere.toml"], "cannot read the settings file /nowhere.toml"),
        (["--grup-id", "x"], "unrecognized arguments: --grup-id x; see --help"),
        (["--group", "x"], "unrecognized"),
        (["stray"], "unrecognized arguments: stray"),
        (["--sasl-password", "hunter2"], "unrecognized"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(words: list[str], message: str) -> None:
    """The message says which setting, what was expected and what was given."""
    with pytest.raises(SettingsError, match=message) as caught:
        read_settings(words, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('grup_id = "x"', "no setting 'grup_id'; did you mean 'group_id'"),
        ("[kafka]", "no setting 'kafka'"),
        ("group_id = ", "is no TOML"),
        ("group_id = 3", "group_id.*string.*3"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A misspelt name is an error, not a setting that silently has no effect."""
    with pytest.raises(SettingsError, match=message):
        read_settings(["--config", toml(tmp_path, text)], {})


def test_foreign_environment_variables_are_left_alone() -> None:
    """Orchestrators add variables that begin with the name of a service."""
    read_settings([], {"SOUNDSCENE_WORKER_SERVICE_HOST": "10.0.0.1", "SOUNDSCENE_WORKER_PORT": "tcp://10.0.0.1:9464"})


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting that may be on a command line is explained, with its default and bounds, and seconds as such."""
    with pytest.raises(SystemExit) as ended:
        read_settings(["--help"], {})
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in WorkerSettings.model_fields.items():
        assert (f"--{name.replace('_', '-')} " in text or f"--{name.replace('_', '-')}," in text) != is_secret(field)
        assert field.description
        if name.endswith("_seconds"):
            assert "(s" in field.description
    assert "(default: audio.chunks)" in text
    assert "(default: 9464; at least 0, at most 65535)" in text
    assert all(form in text for form in ("--bundle DIR", "--ssl-ca-file FILE", "--http-port N", "--group-id TEXT"))


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints what it was given, and ends the program."""
    with pytest.raises(SystemExit) as ended:
        read_settings(["--version"], {}, version="1.2.3")
    assert (ended.value.code, capsys.readouterr().out) == (0, "soundscene-worker 1.2.3\n")


def test_the_process_s_own_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other is given, settings come from the environment the program runs in."""
    monkeypatch.setenv("SOUNDSCENE_WORKER_GROUP_ID", "scenes")
    assert read_settings([]).group_id == "scenes"
