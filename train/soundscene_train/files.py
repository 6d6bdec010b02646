"""Files of a run: written whole or not at all, and one clear line where one is damaged or there is no room."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os.path import normpath
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene_train.errors import TrainingError

__all__ = ["make_folder", "one_name", "read_json", "reading", "reading_arrays", "whole", "write_json", "writing"]

_DAMAGE: Final = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
"""What json and numpy raise on files that are cut short, overwritten, or of another kind."""


def one_name(path: Path) -> Path:
    """Return the absolute path, without `..`, by which a place is known however it was typed; links stay as they are.

    Behind a link `..` leads elsewhere than its letters say, and is kept.
    """
    plain = Path(normpath(path.absolute()))
    return plain if plain.resolve() == path.resolve() else path.absolute()


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream; what is written to it becomes `path` at the end, and nothing does if it fails before."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    with whole(path) as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def writing(
    place: Path, what: str = "", advice: str = "", *, error_type: type[TrainingError] = TrainingError
) -> Iterator[None]:
    """Say in one line when what is written in here has no room or no permission.

    Raises
    ------
    TrainingError
        Or another `error_type`: "PLACE: WHAT cannot be written: REASON; ADVICE".
    """
    try:
        yield
    except OSError as error:
        subject = f"{place}: {what}" if what else f"{place}:"
        line = f"{subject} cannot be written: {error.strerror or error}"
        raise error_type(f"{line}; {advice}" if advice else line) from error


def make_folder(folder: Path) -> None:
    """Make a folder with all above it, before what it shall hold is computed.

    Raises
    ------
    TrainingError
        It cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def reading(path: Path, what: str, advice: str, *, error_type: type[TrainingError] = TrainingError) -> Iterator[None]:
    """Say in one line when what is read in here is not what a run has written.

    Raises
    ------
    TrainingError
        Or another `error_type`: "PATH: not WHAT (REASON); ADVICE".
    """
    try:
        yield
    except _DAMAGE as error:
        raise error_type(f"{path}: not {what} ({error}); {advice}") from error


@contextmanager
def reading_arrays(
    path: Path, what: str, advice: str, *, error_type: type[TrainingError] = TrainingError
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an `.npz` file, as `reading` does; each array is read when it is asked for.

    Raises
    ------
    TrainingError
        Or another `error_type`: the file is not there, damaged, or lacks an array.
    """
    with reading(path, what, advice, error_type=error_type), path.open("rb") as stream, np.load(stream) as arrays:
        yield arrays


def read_json(path: Path, what: str, advice: str) -> Any:
    """Read what `write_json` wrote.

    Raises
    ------
    TrainingError
        The file is not there or damaged.
    """
    with reading(path, what, advice):
        return json.loads(path.read_text(encoding="utf-8"))
