"""Where settings come from: the command line, the environment, a TOML file and defaults, in this order."""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from soundscene.errors import SettingsError
from soundscene_worker.settings import ENVIRONMENT_PREFIX, WorkerSettings, is_secret

__all__ = ["bounds", "make_parser", "read_settings", "settings_from"]

_BOUNDS: Final = {"gt": "above", "ge": "at least", "le": "at most"}


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, version: str = "unknown"
) -> WorkerSettings:
    """Read the settings of `soundscene-worker`.

    Parameters
    ----------
    arguments : sequence of str
        The command line, without the program's name.
    environment : mapping of str to str
        `SOUNDSCENE_WORKER_<NAME>` are read; the process's own by default.
    version : str
        What `--version` prints.

    Raises
    ------
    SettingsError
        A value is unknown, malformed or outside its range, or the file cannot be read. The message is one line.
    SystemExit
        After `--help` or `--version`.
    """
    return settings_from(vars(make_parser(version).parse_args(list(arguments))), environment)


def settings_from(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> WorkerSettings:
    """Return what was given on the command line, and else in the environment or the file; see `read_settings`."""
    environment = os.environ if environment is None else environment
    given = dict(given)
    file = given.pop("config", None) or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    values = _from_file(Path(file)) if file else {}
    values |= {
        name: environment[key]
        for name in WorkerSettings.model_fields
        if (key := f"{ENVIRONMENT_PREFIX}{name.upper()}") in environment
    }
    try:
        return WorkerSettings(**values | given)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


class _Parser(argparse.ArgumentParser):
    """Raises our error where argparse would print its usage and exit."""

    def error(self, message: str) -> Any:
        """Raise."""
        raise SettingsError(f"{message}; see --help")


_ABOUT: Final = "Hears chunks of audio in Kafka and publishes which scene each device hears."
_EPILOG: Final = (
    f"Every option is also read from the environment ({ENVIRONMENT_PREFIX}GROUP_ID) and from the file "
    "(group_id = ...); the command line counts most, then the environment, then the file. "
    "ssl_key_password and sasl_password are read from there only, or from files of their own."
)


def make_parser(
    version: str, program: str = "soundscene-worker", description: str = _ABOUT, epilog: str = _EPILOG
) -> argparse.ArgumentParser:
    """Return a parser of all settings that may stand on a command line; it raises SettingsError."""
    parser = _Parser(
        prog=program,
        usage=f"{program} [OPTION ...]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if "\n" in epilog else argparse.HelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"soundscene-worker {version}")
    parser.add_argument("--config", metavar="FILE.toml", help="settings file")
    for name, field in WorkerSettings.model_fields.items():
        if is_secret(field):
            continue
        flag, default = f"--{name.replace('_', '-')}", field.get_default()
        facts = (f"default: {'none' if default is None else default}", bounds(field))
        text = f"{field.description} ({'; '.join(filter(None, facts))})".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag, metavar=_metavar(name, field), help=text)
    return parser


def bounds(field: FieldInfo) -> str:
    """Say which numbers a setting takes, as `at least 0, at most 65535`; nothing of what is no number."""
    limits = ((word, getattr(rule, key, None)) for rule in field.metadata for key, word in _BOUNDS.items())
    return ", ".join(f"{word} {limit}" for word, limit in limits if limit is not None)


def _metavar(name: str, field: FieldInfo) -> str:
    if "Path" in str(field.annotation):
        return "DIR" if name == "bundle" else "FILE"
    return "N" if field.annotation in {int, float} else "TEXT"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}") from error
    for name in values:
        if name not in WorkerSettings.model_fields:
            close = difflib.get_close_matches(name, WorkerSettings.model_fields, 1)
            hint = f"; did you mean {close[0]!r}?" if close else "; see --help for what there is"
            raise SettingsError(f"{path}: there is no setting {name!r}{hint}")
    return values


def _one_line(error: ValidationError) -> str:
    """Return the first fault, by the name and the value the user wrote; never a secret."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    field = WorkerSettings.model_fields.get(name)
    got = "" if field is None or is_secret(field) else f", got {first['input']!r}"
    return f"{name}: {message[:1].lower()}{message[1:]}{got}"
