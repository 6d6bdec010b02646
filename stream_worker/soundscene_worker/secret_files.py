"""Secrets from files, where no command line, environment or settings file shows them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from soundscene.errors import SettingsError

__all__ = ["read_secret"]

_MOST_BYTES: Final = 4096


def read_secret(path: Path) -> str:
    """Return the first line of a file that only its owner, and perhaps a group, can read.

    Raises
    ------
    SettingsError
        It cannot be read, others can read or change it, or its first line is empty. The message holds nothing of it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise SettingsError(f"cannot read the secret in {path}: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o007:
        raise SettingsError(f"{path} holds a secret, but everybody may read it: chmod o= {path}")
    try:
        secret = content.decode().split("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:  # its message would quote the bytes
        raise SettingsError(f"{path} must hold a secret as UTF-8 text in its first line") from None
    if not secret or len(content) == _MOST_BYTES:
        raise SettingsError(f"{path} must hold a secret in its first line, in at most {_MOST_BYTES - 1} bytes")
    return secret
