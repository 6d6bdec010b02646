"""Acoustic scene classification for sound that never stops.

    import soundscene

    classifier = soundscene.SceneClassifier(soundscene.load_bundle())
    print(soundscene.analyze_file("street.wav", classifier).scene)

Names are loaded when first used: importing the package loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from soundscene.analysis import FileAnalysis as FileAnalysis
    from soundscene.analysis import analyze_file as analyze_file
    from soundscene.assessment import Reason as Reason
    from soundscene.audio_files import AudioFile as AudioFile
    from soundscene.bundle import Bundle as Bundle
    from soundscene.bundle import load_bundle as load_bundle
    from soundscene.bundle import write_bundle as write_bundle
    from soundscene.classifier import SceneClassifier as SceneClassifier
    from soundscene.classifier import WindowVerdict as WindowVerdict
    from soundscene.classifier import smooth as smooth
    from soundscene.errors import AudioError as AudioError
    from soundscene.errors import BundleError as BundleError
    from soundscene.errors import MissingExtraError as MissingExtraError
    from soundscene.errors import SceneError as SceneError
    from soundscene.errors import SettingsError as SettingsError
    from soundscene.fusion import Calibration as Calibration
    from soundscene.fusion import FusionSettings as FusionSettings
    from soundscene.fusion import decide as decide
    from soundscene.settings import NETWORK_NAMES as NETWORK_NAMES
    from soundscene.settings import FrontEndSettings as FrontEndSettings
    from soundscene.windows import Window as Window
    from soundscene.windows import WindowAssembler as WindowAssembler
    from soundscene.windows import WindowGrid as WindowGrid

    __version__: str

_HOMES: Final = {
    "analysis": ("FileAnalysis", "analyze_file"),
    "assessment": ("Reason",),
    "audio_files": ("AudioFile",),
    "bundle": ("Bundle", "load_bundle", "write_bundle"),
    "classifier": ("SceneClassifier", "WindowVerdict", "smooth"),
    "errors": ("AudioError", "BundleError", "MissingExtraError", "SceneError", "SettingsError"),
    "fusion": ("Calibration", "FusionSettings", "decide"),
    "settings": ("NETWORK_NAMES", "FrontEndSettings"),
    "windows": ("Window", "WindowAssembler", "WindowGrid"),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "NETWORK_NAMES",
    "AudioError",
    "AudioFile",
    "Bundle",
    "BundleError",
    "Calibration",
    "FileAnalysis",
    "FrontEndSettings",
    "FusionSettings",
    "MissingExtraError",
    "Reason",
    "SceneClassifier",
    "SceneError",
    "SettingsError",
    "Window",
    "WindowAssembler",
    "WindowGrid",
    "WindowVerdict",
    "__version__",
    "analyze_file",
    "decide",
    "load_bundle",
    "smooth",
    "write_bundle",
]


if not TYPE_CHECKING:  # a checker would take it for a promise that every name exists

    def __getattr__(name: str) -> Any:
        """Load a public name from the module it lives in."""
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("soundscene")
        elif name in _HOME_OF:
            value = getattr(import_module(f"soundscene.{_HOME_OF[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
