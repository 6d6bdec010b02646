"""Fetching large files over HTTP: resumed where they broke off, checked before they count."""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from soundscene_train.errors import DatasetError
from soundscene_train.files import whole, writing
from soundscene_train.progress import StageProgress

__all__ = ["Archive", "fetch", "fetch_and_unpack"]

_BLOCK_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 6
_TIMEOUT_SECONDS: Final = 30.0
_LATER: Final = frozenset({408, 429})
"""Answers of a server that has too much to do, beside those from 500 up."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file as its publisher describes it.

    Parameters
    ----------
    name : str
        Of the file.
    size_bytes : int or None
        None where it changes and is not known.
    md5 : str or None
        Likewise.
    """

    name: str
    size_bytes: int | None = None
    md5: str | None = None


def fetch(
    url: str, archive: Archive, folder: Path, progress: StageProgress | None = None, pause_seconds: float = 1.0
) -> Path:
    """Download one file, going on where an earlier attempt broke off.

    Parameters
    ----------
    url : str
        Of the file.
    archive : Archive
        What must arrive.
    folder : Path
        Where it goes; `NAME.part` while it grows.
    progress : callable or None
        Told the file's name, bytes there and bytes in all, 0 while these are not known.
    pause_seconds : float >= 0
        Before the second attempt; it doubles with each one more.

    Returns
    -------
    Path
        The file, whole and checked.

    Raises
    ------
    DatasetError
        It cannot be had, or is not what it should be; what arrived stays for the next attempt unless it is wrong.
    OSError
        The folder cannot be written.
    """
    import requests

    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.is_file():
        return target
    problem = "nothing arrived"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            _receive(url, archive, part, progress)
        except requests.RequestException as error:
            problem = str(error)
            continue
        if archive.size_bytes is None or part.stat().st_size >= archive.size_bytes:
            _check(archive, part)
            part.replace(target)
            return target
        problem = f"{part.stat().st_size} of {archive.size_bytes} bytes arrived"
    raise DatasetError(f"{url}: {problem}, after {_ATTEMPTS} attempts; the same command goes on from there")


def fetch_and_unpack(
    url: str, archive: Archive, folder: Path, root: str, progress: StageProgress | None = None
) -> None:
    """Download a zip file, unpack it and keep a note of it instead; does nothing where that has been done.

    Parameters
    ----------
    url, archive, folder
        As for `fetch`.
    root : str
        Folder inside the archive that becomes `folder`.
    progress : callable or None
        Told the file's name, bytes there and bytes in all, 0 while these are not known.

    Raises
    ------
    DatasetError
        As for `fetch`; or the archive is damaged or has members that do not belong into the folder.
    """
    notes = folder / ".unpacked"
    note = notes / archive.name
    if note.is_file():
        return
    with writing(folder, advice="make room and go on", error_type=DatasetError):
        notes.mkdir(parents=True, exist_ok=True)
        path = fetch(url, archive, folder, progress)
        try:
            _unpack(path, folder, root)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"{path}: not a zip file ({error}); remove it and try again") from error
        note.touch()
        path.unlink()


def _receive(url: str, archive: Archive, part: Path, progress: StageProgress | None) -> None:
    """Append what is missing."""
    import requests

    have = part.stat().st_size if part.is_file() else 0
    if archive.size_bytes is not None and have >= archive.size_bytes:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return
        if not answer.ok and answer.status_code < 500 and answer.status_code not in _LATER:  # asking again cannot help
            raise DatasetError(f"{url}: the server answers {answer.status_code} {answer.reason}")
        answer.raise_for_status()
        goes_on = answer.status_code == requests.codes.partial_content
        tell = progress or (lambda *_: None)
        with part.open("ab" if goes_on else "wb") as stream:
            have = have if goes_on else 0
            length = answer.headers.get("Content-Length")
            total = archive.size_bytes or (have + int(length) if length else 0)
            for block in answer.iter_content(_BLOCK_BYTES):
                stream.write(block)
                have += len(block)
                tell(archive.name, have, total)
        if not total:
            tell(archive.name, have, have)


def _check(archive: Archive, part: Path) -> None:
    """Refuse, and remove, what is not the file."""
    size_bytes = part.stat().st_size
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    found, expected = digest.hexdigest(), archive.md5
    if archive.size_bytes not in (None, size_bytes) or expected not in (None, found):
        part.unlink()
        raise DatasetError(
            f"{archive.name}: expected {archive.size_bytes} bytes with MD5 {expected}, got {size_bytes} with {found}; "
            "it was removed: run the same command again, and if that does not help, ask its publisher"
        )


def _unpack(path: Path, folder: Path, root: str) -> None:
    """Unpack what lies below the root; the rest is not for us, and nothing may lie outside."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            place = PurePosixPath(member.filename)
            if place.is_absolute() or ".." in place.parts:
                raise DatasetError(f"{path.name}: has a member {member.filename!r} outside its folder; do not use it")
            if member.is_dir() or place.parts[:1] != (root,):
                continue
            target = folder.joinpath(*place.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, whole(target) as stream:
                shutil.copyfileobj(source, stream, _BLOCK_BYTES)
