"""Bundles: a folder that holds three networks and everything that must travel with them.

    manifest.json                               labels, front end, standardisation, fusion, calibration,
                                                provenance, scores of a known sound, SHA-256 of all
    mel.tflite  gammatone.tflite  cqt.tflite    the networks, for serving
    soundscene-<input>-<dataset>-<version>.pb   the same for Essentia, each with its model-zoo fields in a .json
    <input>.weights, report.html                the bytes that are counted, and how well they do

A bundle is checked as a whole before anything uses it, and what was checked is what is served: the networks' bytes are
read once.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundscene import _manifest
from soundscene.errors import BundleError
from soundscene.frontend import Standardisation
from soundscene.fusion import Calibration, FusionSettings, decide
from soundscene.networks import Network, patch_shape
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

__all__ = [
    "DEMO_BUNDLE_NAME",
    "FORMAT_VERSION",
    "Bundle",
    "load_bundle",
    "require_place",
    "rewrite_bundle",
    "write_bundle",
]

FORMAT_VERSION: Final = _manifest.FORMAT_VERSION
DEMO_BUNDLE_NAME: Final = "esc10-demo"
"""The bundle inside the package."""

_MADE_BY_WRITING: Final = ("format_version", "self_test", "files")
"""Fields of the manifest that nobody gives."""

_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""Far above any scene network; keeps a folder named by mistake from filling the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle that passed every check.

    Parameters
    ----------
    directory : Path
        Where it was read from.
    name, version : str
        What it calls itself; letters, digits, dot, dash and underscore.
    description : str
        What it knows, in words.
    hash : str
        SHA-256 of what can change a verdict: name, version, labels, settings, and the SHA-256 of every file. Two
        bundles with the same hash give the same verdicts; what is said of them or measured with them may differ.
    labels : tuple of str
        In the order of the networks' outputs.
    front_end : FrontEndSettings
        How a window becomes patches.
    standardisation : mapping of network to Standardisation
        Training constants of each network's input.
    fusion : FusionSettings
        How scores become verdicts.
    calibration : Calibration or None
        What makes scores mean how often they are right; None where nobody has measured it.
    parameters, multiply_adds : mapping of network to int
        Size and cost of each network; multiply-adds are per patch.
    provenance, metrics : mapping
        Where it comes from and how well it did; free-form JSON.
    self_test : mapping of network to list of float
        Scores of `known_sound.known_sound` when the bundle was written.
    files : mapping of file name to str
        SHA-256 of each file.
    networks : mapping of network to bytes
        Content of the `.tflite` files.
    """

    directory: Path
    name: str
    version: str
    description: str
    hash: str
    labels: tuple[str, ...]
    front_end: FrontEndSettings
    standardisation: Mapping[str, Standardisation]
    fusion: FusionSettings
    calibration: Calibration | None
    parameters: Mapping[str, int]
    multiply_adds: Mapping[str, int]
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]
    self_test: Mapping[str, list[float]]
    files: Mapping[str, str]
    networks: Mapping[str, bytes] = field(repr=False)

    @property
    def parameter_count(self) -> int:
        """Parameters of all networks together."""
        return sum(self.parameters.values())

    @property
    def temperature(self) -> float:
        """What decisions are calibrated with; 1 where there is no calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def decide(self, network_scores: ArrayLike) -> NDArray[np.float64]:
        """Join scores of shape (networks, patches, labels) to one per label, as this bundle does."""
        return decide(network_scores, self.fusion.rule, self.temperature)

    @property
    def model(self) -> dict[str, str]:
        """Return `name`, `version` and `hash`, as each prediction carries them."""
        return {"name": self.name, "version": self.version, "hash": self.hash}

    def load_network(self, name: str) -> Network:
        """Make a scorer of its own from one network's bytes."""
        return Network(name, self.networks[name], patch_shape(self.front_end), len(self.labels))


def load_bundle(directory: Path | str | None = None) -> Bundle:
    """Read and check a bundle.

    Parameters
    ----------
    directory : path or None
        Its folder; None is the demo bundle inside this package.

    Raises
    ------
    BundleError
        It is missing, damaged, incomplete, mixed from two exports, or of an unknown format.
    """
    folder = _demo_directory() if directory is None else Path(directory)
    try:
        return _read(folder)
    except BundleError as error:
        raise BundleError(f"bundle {folder}: {error}") from error
    except OSError as error:
        raise BundleError(f"bundle {folder}: cannot be read: {error.strerror or error}") from error


def require_place(directory: Path | str, name: str, version: str) -> None:
    """Refuse what `write_bundle` would refuse of a bundle's place and name, before hours are spent on its content.

    Raises
    ------
    BundleError
        The place is taken, or name or version hold what a file's name cannot.
    """
    _manifest.require_name("name", name)
    _manifest.require_name("version", version)
    _require_free(Path(directory))


def write_bundle(directory: Path | str, manifest_fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle, check it, and only then move it into place.

    Parameters
    ----------
    directory : path
        Where it goes. A bundle already there is replaced; anything else there is refused.
    manifest_fields : mapping
        The manifest without `format_version`, `self_test` and `files`, which are filled in here.
    files : mapping of file name to bytes
        `mel.tflite`, `gammatone.tflite`, `cqt.tflite` and whatever else belongs to it.

    Raises
    ------
    BundleError
        The bundle would not load, the place is taken, or the disk refuses. Nothing is left behind.
    """
    from soundscene.classifier import SceneClassifier  # it stands on this module
    from soundscene.known_sound import measured

    target = Path(directory)
    made_here = {
        "format_version": FORMAT_VERSION,
        "self_test": _not_yet_measured(manifest_fields.get("labels")),
        "files": {name: _sha256(content) for name, content in sorted(files.items())},
    }
    manifest = {**manifest_fields, **made_here}
    _manifest.validate(manifest)  # before a file name is used as a path
    _require_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            for name, content in files.items():
                (fresh / name).write_bytes(content)
            (fresh / _manifest.FILE_NAME).write_bytes(_manifest.encode(manifest))
            manifest["self_test"] = measured(SceneClassifier(_read(fresh)))
            (fresh / _manifest.FILE_NAME).write_bytes(_manifest.encode(manifest))
            _replace(target, fresh, Path(temporary) / "old")
    except OSError as error:
        raise BundleError(f"bundle {target}: cannot be written: {error.strerror or error}") from error
    return load_bundle(target)


def rewrite_bundle(
    bundle: Bundle, directory: Path | str, changes: Mapping[str, Any], new_files: Mapping[str, bytes] | None = None
) -> Bundle:
    """Write a bundle again, the same files under a manifest of which some fields are changed.

    Parameters
    ----------
    bundle : Bundle
        Stays as it is, unless `directory` is its own.
    directory : path
        As in `write_bundle`.
    changes : mapping
        Fields of the manifest.
    new_files : mapping of file name to bytes, or None
        Instead of files of these names, or beside the others.

    Raises
    ------
    BundleError
        The old bundle has changed since it was read, does not score a known sound as it did where it was made, or the
        new one cannot be written.
    """
    from soundscene.classifier import SceneClassifier
    from soundscene.known_sound import require_known_scores

    try:
        fields = _manifest.decode(_read_file(bundle.directory / _manifest.FILE_NAME))
        files = _read_files(bundle.directory, bundle.files)
    except OSError as error:
        raise BundleError(f"bundle {bundle.directory}: cannot be read: {error.strerror or error}") from error
    require_known_scores(SceneClassifier(bundle))  # writing stores what is scored here
    kept = {key: value for key, value in fields.items() if key not in _MADE_BY_WRITING}
    return write_bundle(directory, {**kept, **changes}, {**files, **(new_files or {})})


def _not_yet_measured(labels: object) -> dict[str, list[float]]:
    return {name: [0.0] * len(labels) if isinstance(labels, list | tuple) else [] for name in NETWORK_NAMES}


def _demo_directory() -> Path:
    return Path(str(resources.files("soundscene").joinpath("bundles", DEMO_BUNDLE_NAME)))


def _read(folder: Path) -> Bundle:
    if not (folder / _manifest.FILE_NAME).is_file():
        raise BundleError(f"holds no {_manifest.FILE_NAME}; name the folder that an export wrote")
    manifest = _manifest.decode(_read_file(folder / _manifest.FILE_NAME))
    _manifest.validate(manifest)
    contents = _read_files(folder, manifest["files"])
    bundle = Bundle(
        directory=folder,
        hash=_sha256(_manifest.canonical(manifest)),
        networks={name: contents[f"{name}.tflite"] for name in NETWORK_NAMES},
        **_manifest.parse(manifest),
    )
    for name in NETWORK_NAMES:
        bundle.load_network(name)  # its tensors must fit the labels and the front end
    return bundle


def _read_files(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """Read every listed file and compare its hash; refuse networks that the manifest does not list."""
    strangers = {path.name for path in folder.iterdir() if path.suffix in {".tflite", ".pb"}} - set(hashes)
    if strangers:
        raise BundleError(f"holds networks that its manifest does not list: {_names(strangers)}; remove them")
    missing = {name for name in hashes if not (folder / name).is_file()}
    if missing:
        raise BundleError(f"is incomplete, {_names(missing)} missing; copy or export it again")
    contents = {name: _read_file(folder / name) for name in hashes}
    changed = {name for name, content in contents.items() if _sha256(content) != hashes[name]}
    if changed:
        raise BundleError(
            f"is damaged or mixed from two exports, {_names(changed)} differs from its manifest; export it again"
        )
    return contents


def _read_file(path: Path) -> bytes:
    with path.open("rb") as stream:
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise BundleError(f"{path.name} is larger than {_MAX_FILE_BYTES} bytes, which no scene network is")
    return content


def _require_free(target: Path) -> None:
    if not _is_free(target):
        raise BundleError(f"{target} holds something other than a bundle; choose another folder or empty it")


def _is_free(target: Path) -> bool:
    """Whether the place is empty, or holds a bundle and nothing that is not part of it."""
    if target.is_symlink():
        return False
    if not target.exists():
        return True
    if not target.is_dir():
        return False
    present = {path.name for path in target.iterdir()}
    if not present:
        return True
    try:
        manifest = _manifest.decode(_read_file(target / _manifest.FILE_NAME))
    except (BundleError, OSError):
        return False
    files = manifest.get("files")
    return isinstance(files, dict) and present <= {*files, _manifest.FILE_NAME}


def _replace(target: Path, fresh: Path, old: Path) -> None:
    """Move the fresh folder into place; when that fails, put the old one back."""
    had_old = target.exists()
    if had_old:
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if had_old:
            shutil.move(old, target)
        raise


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))
