"""The root of every error this project raises on purpose, and those that the plugin raises.

SceneError
├── AudioError         a signal or an audio file cannot be used
├── BundleError        a bundle is damaged, incomplete or does not fit this version
├── SettingsError      a setting, an option or what it names cannot be used
└── MissingExtraError  an optional dependency is not installed

Each message says what was expected and the way out.
"""

from __future__ import annotations

__all__ = ["AudioError", "BundleError", "MissingExtraError", "SceneError", "SettingsError"]


class SceneError(Exception):
    """Root of all errors of `soundscene`."""


class AudioError(SceneError):
    """A signal or an audio file cannot be used."""


class BundleError(SceneError):
    """A bundle is damaged, incomplete, mixed from two exports, or of an unknown format."""


class SettingsError(SceneError, ValueError):
    """A setting, an option or what it names cannot be used."""


class MissingExtraError(SceneError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
