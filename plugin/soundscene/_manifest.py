"""The manifest of a bundle: decoding, checking and hashing its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Never

from soundscene.errors import BundleError, SettingsError
from soundscene.frontend import Standardisation
from soundscene.fusion import Calibration, FusionSettings
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

__all__ = ["FILE_NAME", "FORMAT_VERSION", "canonical", "decode", "encode", "parse", "require_name", "validate"]

FILE_NAME: Final = "manifest.json"
FORMAT_VERSION: Final = 2

_TOLD: Final = frozenset({"description", "provenance", "metrics", "self_test"})
"""What is said of a bundle, or measured with it, such as the processor time of a window: another export of the same
networks, on another day or machine, is the same bundle."""

_KEYS: Final = frozenset(
    {
        "format_version",
        "name",
        "version",
        "description",
        "labels",
        "front_end",
        "standardisation",
        "fusion",
        "calibration",
        "parameters",
        "multiply_adds",
        "provenance",
        "metrics",
        "self_test",
        "files",
    }
)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""No separator, no leading dot: such a name can neither leave the bundle's folder nor hide in it."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def decode(content: bytes) -> dict[str, Any]:
    """Read the JSON.

    Raises
    ------
    BundleError
        It is not a JSON object of finite numbers in UTF-8.
    """
    try:
        manifest = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{FILE_NAME} is not valid JSON ({error}); copy or export the bundle again") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{FILE_NAME} must be a JSON object, got {type(manifest).__name__}")
    return manifest


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return the JSON for people: indented, in the order of the keys."""
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """Return the JSON that is hashed: whatever can change a verdict, the same for any order of keys and white space."""
    decisive = {key: value for key, value in manifest.items() if key not in _TOLD}
    return json.dumps(decisive, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def validate(manifest: Mapping[str, Any]) -> None:
    """Check the whole manifest.

    Raises
    ------
    BundleError
        Something is missing, unknown or out of range.
    """
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"has format version {version!r}; this release reads {FORMAT_VERSION}: "
            "export the bundle again, or install the release that wrote it"
        )
    if set(manifest) != _KEYS:
        unknown, missing = sorted(set(manifest) - _KEYS), sorted(_KEYS - set(manifest))
        raise BundleError(f"manifest keys do not fit: unknown {unknown}, missing {missing}; export the bundle again")
    try:
        encode(manifest)
    except (TypeError, ValueError) as error:
        raise BundleError(f"manifest values must be finite JSON: {error}") from error
    require_name("name", manifest["name"])
    require_name("version", manifest["version"])
    if not isinstance(manifest["description"], str):
        raise BundleError("description must be a string")
    if manifest["calibration"] is not None:
        _require_object("calibration", manifest["calibration"])
    for key in ("provenance", "metrics"):
        _require_object(key, manifest[key])
    _check_labels(manifest["labels"])
    _check_counts("parameters", manifest["parameters"])
    _check_counts("multiply_adds", manifest["multiply_adds"])
    _check_self_test(manifest["self_test"], len(manifest["labels"]))
    _check_files(manifest["files"])
    parse(manifest)


def parse(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bundle's fields as this package's types.

    Raises
    ------
    BundleError
        The settings of the front end, the standardisation, the fusion or the calibration are not valid.
    """
    _require_networks("standardisation", manifest["standardisation"])
    for key in ("front_end", "fusion"):
        _require_object(key, manifest[key])
    for name in NETWORK_NAMES:
        _require_object(f"standardisation of {name!r}", manifest["standardisation"][name])
    _check_types(manifest["front_end"])
    calibration = manifest["calibration"]
    try:
        settings = {
            "front_end": FrontEndSettings.from_dict(manifest["front_end"]),
            "fusion": FusionSettings.from_dict(manifest["fusion"]),
            "calibration": None if calibration is None else Calibration.from_dict(calibration),
            "standardisation": {
                name: Standardisation.from_dict(manifest["standardisation"][name]) for name in NETWORK_NAMES
            },
        }
    except (SettingsError, TypeError, KeyError, OverflowError) as error:
        raise BundleError(f"{error}; export the bundle again") from error
    plain = (
        "name",
        "version",
        "description",
        "parameters",
        "multiply_adds",
        "provenance",
        "metrics",
        "self_test",
        "files",
    )
    return {**settings, **{key: manifest[key] for key in plain}, "labels": tuple(manifest["labels"])}


def _check_types(front_end: Mapping[str, Any]) -> None:
    """JSON knows fewer types than Python: a count must not come back as 1600.5, nor a switch as text."""
    for key, default in FrontEndSettings().to_dict().items():
        value = front_end.get(key, default)
        expected = (float, int, type(None)) if isinstance(default, float) else (type(default),)
        if type(value) not in expected:
            raise BundleError(f"front_end {key} must be of type {type(default).__name__}, got {value!r}")


def _check_labels(labels: object) -> None:
    if (
        not isinstance(labels, list | tuple)
        or len(labels) < 2
        or not all(isinstance(label, str) and label.strip() and label.isprintable() for label in labels)
        or len(set(labels)) != len(labels)
    ):
        raise BundleError(f"labels must be at least two different, non-empty, printable strings, got {labels!r}")


def _check_counts(key: str, counts: object) -> None:
    for name, count in _require_networks(key, counts).items():
        if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
            raise BundleError(f"{key} of {name!r} must be an integer above 0, got {count!r}")


def _check_self_test(self_test: object, label_count: int) -> None:
    for name, scores in _require_networks("self_test", self_test).items():
        if (
            not isinstance(scores, list)
            or len(scores) != label_count
            or not all(isinstance(score, float | int) and 0.0 <= score <= 1.0 for score in scores)
        ):
            raise BundleError(f"self_test of {name!r} must be {label_count} scores in [0, 1], got {scores!r}")


def _check_files(files: object) -> None:
    for name, digest in _require_object("files", files).items():
        require_name("file name", name)
        if name == FILE_NAME:
            raise BundleError(f"{FILE_NAME} cannot list itself")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BundleError(f"SHA-256 of {name} must be 64 lower-case hexadecimal digits, got {digest!r}")
    expected = {f"{name}.tflite" for name in NETWORK_NAMES}
    found = {name for name in _require_object("files", files) if name.endswith(".tflite")}
    if found != expected:
        raise BundleError(f"needs exactly the networks {sorted(expected)}, lists {sorted(found)}")


def _require_networks(key: str, value: object) -> Mapping[str, Any]:
    if set(_require_object(key, value)) != set(NETWORK_NAMES):
        raise BundleError(f"{key} needs exactly one entry for each of {', '.join(NETWORK_NAMES)}, got {value!r}")
    return _require_object(key, value)


def _require_object(key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise BundleError(f"{key} must be a JSON object, got {value!r}")
    return value


def require_name(key: str, value: object) -> None:
    if not isinstance(value, str) or not _PLAIN_NAME.fullmatch(value):
        raise BundleError(f"{key} must be letters, digits, '.', '_' or '-', got {value!r}")


def _refuse_constant(text: str) -> Never:
    raise ValueError(f"{text} is not a finite number")
