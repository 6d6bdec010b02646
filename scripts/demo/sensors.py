"""What the demo's sensors hear, and how one of them misbehaves."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from soundscene_worker.sensor.sources import AUDIO_SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
ESC50_NAME = re.compile(r"\d-\d+-[A-Z]-(?P<target>\d+)\.\w+")
ESC10_SOUNDS = {  # those of the ten that go on long enough to be called a scene
    "10": "rain",
    "11": "sea",
    "12": "fire",
    "38": "clock",
    "40": "helicopter",
    "41": "chainsaw",
}
SCENES = {
    "park": "park",
    "metro": "metro",
    "street": "street_traffic",
    "bus": "bus",
    "mall": "shopping_mall",
    "tram": "tram",
}
EQUIPMENT: tuple[tuple[str, ...], ...] = (  # one entry per sensor: what a city's collection of hardware is like
    ("--calibration-db", "94"),
    ("--encoding", "flac"),
    ("--rate", "48000"),
    ("--encoding", "pcm_f32le", "--chunk-seconds", "0.5"),
    ("--encoding", "pcm_s24le"),
    ("--channels", "2"),
)
MISBEHAVIOUR = (
    *("--fault", "drop:0.04", "--fault", "duplicate:0.06", "--fault", "reorder:0.08=2", "--fault", "corrupt:0.04"),
    *("--fault", "silence@12+10", "--fault", "restart@30", "--fault", "clip@38+6"),
)
FAULTY = "faulty"
MOST_FILES = 40


@dataclass(frozen=True)
class SensorPlan:
    """One sensor: its id and the options of `soundscene-sensor` that make it."""

    device: str
    options: tuple[str, ...]


def plan_sensors() -> tuple[str, list[SensorPlan]]:
    """Return a sentence on what is heard, and the sensors: real recordings when there are any, made-up scenes else."""
    folder = find_audio()
    sources: dict[str, tuple[str, ...]]
    if folder is None:
        sources = {name: ("--scene", scene) for name, scene in SCENES.items()}
        heard = "scenes made up on the spot (SOUNDSCENE_DEMO_AUDIO names a folder of recordings to use instead)"
    else:
        sources = recordings(folder)
        heard = f"recordings in {folder}"
    plans = [
        SensorPlan(f"mic-{number}-{name}", (*source, *EQUIPMENT[number - 1]))
        for number, (name, source) in enumerate(sources.items(), start=1)
    ]
    first_source = next(iter(sources.values()))
    return heard, [*plans, SensorPlan(f"mic-{len(plans) + 1}-{FAULTY}", (*first_source, *MISBEHAVIOUR))]


def find_audio() -> Path | None:
    """Return the folder of recordings: SOUNDSCENE_DEMO_AUDIO, else one beside the checkout, else None."""
    named = os.environ.get("SOUNDSCENE_DEMO_AUDIO")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "esc10" / "audio"
    return folder if any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.glob("*")) else None


def recordings(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return options by name: one sensor per kind of sound where files are named as in ESC-50, else files in turn."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
    by_sound: dict[str, list[Path]] = {}
    for path in files:
        match = ESC50_NAME.fullmatch(path.name)
        if match and match["target"] in ESC10_SOUNDS:
            by_sound.setdefault(ESC10_SOUNDS[match["target"]], []).append(path)
    if len(by_sound) < len(EQUIPMENT):
        count = len(EQUIPMENT)
        by_sound = {
            f"recordings-{index + 1}": files[index::count] or [files[index % len(files)]] for index in range(count)
        }
    return {name: ("--loop", *(str(path) for path in paths[:MOST_FILES])) for name, paths in by_sound.items()}
