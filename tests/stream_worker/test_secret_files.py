"""A secret file is read, or refused without a word of what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundscene.errors import SettingsError
from soundscene_worker.secret_files import read_secret


def written(tmp_path: Path, content: bytes, mode: int = 0o640) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\n", b"hunter2\r\nmore\n"])
def test_the_first_line_is_the_secret(tmp_path: Path, content: bytes) -> None:
    """However the editor ended it."""
    assert read_secret(written(tmp_path, content)) == "hunter2"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"hunter2", 0o644, "everybody may read it: chmod o="),
        (b"hunter2", 0o602, "everybody may read it: chmod o="),
        (b"", 0o600, "must hold a secret in its first line"),
        (b"\nhunter2", 0o600, "must hold a secret in its first line"),
        (b"hunter2" * 1000, 0o600, "at most 4095 bytes"),
        (b"hunter2\xff", 0o600, "UTF-8"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    """The error names the file and the way out, and holds nothing of the content, nor does its cause."""
    path = written(tmp_path, content, mode)
    with pytest.raises(SettingsError, match=message) as caught:
        read_secret(path)
    assert str(path) in str(caught.value)
    assert "hunter" not in f"{caught.value} {caught.value.__cause__}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message is one line with the path."""
    with pytest.raises(SettingsError, match=f"cannot read the secret in {tmp_path}/nowhere: No such file"):
        read_secret(tmp_path / "nowhere")
