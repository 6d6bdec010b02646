"""What a look at the clips finds before hours are spent on them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.errors import AudioError
from soundscene.frontend.front_end import usable_samples
from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.datasets.inspection import (
    ClipFacts,
    format_inspection,
    inspect_clips,
    leaks,
    require_readable,
    write_inspection,
)
from soundscene_train.errors import DatasetError


@pytest.mark.parametrize(("scale", "is_absurd"), [(1e16, False), (1e18, True), (1e20, True)])
def test_what_the_front_end_refuses_cannot_be_read(tmp_path: Path, scale: float, is_absurd: bool) -> None:
    """A file whose numbers are absurd is named here already, by the limit that would end everything later."""
    samples = (scale * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    soundfile.write(tmp_path / "scaled.wav", samples, 16_000, subtype="FLOAT")
    facts = inspect_clips(Dataset("own", ("hum",), (Clip(tmp_path / "scaled.wav", "hum", "1"),), ("1",), (), ""))
    if not is_absurd:
        require_readable(facts)
        usable_samples(samples)
        return
    with pytest.raises(DatasetError, match=r"scaled\.wav: holds absurd values, up to .* --skip-unreadable"):
        require_readable(facts)
    with pytest.raises(AudioError, match="absurd values"):
        usable_samples(samples)


def test_facts_are_of_the_whole_file(tmp_path: Path) -> None:
    """Level, peak and full scale count what came before the last block; so does what tells two sounds apart."""
    quiet = np.full(100_000, 0.01, np.float32)
    loud = quiet.copy()
    loud[:1000], loud[1000:1050] = 0.95, -1.0
    for name, samples in (("quiet", quiet), ("loud", loud)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 8_000, subtype="FLOAT")
    soundfile.write(tmp_path / "again.w64", loud, 8_000, format="W64", subtype="FLOAT")
    clips = tuple(Clip(tmp_path / name, "hum", "1") for name in ("loud.wav", "again.w64", "quiet.wav"))
    told: list[tuple[int, int]] = []
    loud_facts, same, other = inspect_clips(
        Dataset("own", ("hum",), clips, ("1",), (), ""), progress=lambda done, total: told.append((done, total))
    )
    power = (1000 * 0.95**2 + 50 + 98_950 * 0.01**2) / 100_000
    assert loud_facts.level_dbfs == pytest.approx(10.0 * math.log10(power), abs=1e-4)
    assert (loud_facts.seconds, loud_facts.rate_hz, loud_facts.peak_dbfs) == (12.5, 8_000, 0.0)
    assert loud_facts.clipped_share == pytest.approx(50 / 100_000)
    assert (other.level_dbfs, other.peak_dbfs, other.clipped_share) == pytest.approx((-40.0, -40.0, 0.0), abs=1e-4)
    assert same.digest == loud_facts.digest != other.digest
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_recording_that_breaks_off_cannot_be_used(tmp_path: Path) -> None:
    """A FLAC file with a damaged middle still begins well, and is refused with the ways out."""
    path = tmp_path / "clip.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(160_000), 16_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    path.write_bytes(content)
    facts = inspect_clips(Dataset("own", ("rain",), (Clip(path, "rain", "1"),), ("1",), (), ""))
    with pytest.raises(DatasetError, match=r"clip\.flac: truncated or damaged, .* --skip-unreadable"):
        require_readable(facts)


def test_the_table_has_a_line_for_each_clip(tmp_path: Path) -> None:
    """Those that cannot be used are there with the reason, and so is a name that is no UTF-8."""
    facts = [make_facts("caf\udce9", "hum", "1"), make_facts("b", "hum", "2", error="b is torn")]
    write_inspection(tmp_path / "new" / "clips.csv", facts)
    rows = list(csv.DictReader((tmp_path / "new" / "clips.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["path"], row["fold"], row["seconds"], row["error"]) for row in rows] == [
        ("/own/caf\\udce9", "1", "2.0", ""),
        ("/own/b", "2", "2.0", "b is torn"),
    ]


def make_facts(name: str, label: str, fold: str, **others: str | float) -> ClipFacts:
    held = {"group": name, "device": "", "seconds": 2.0, "rate_hz": 8_000, "level_dbfs": -30.0, "peak_dbfs": -10.0}
    return ClipFacts(f"/own/{name}", label=label, fold=fold, **(held | {"digest": name} | others))  # type: ignore[arg-type]


def test_an_inspection_says_how_many_and_how_long() -> None:
    """Clips and groups are counted by class and fold; lengths, levels, rates and devices are of what can be read."""
    facts = [
        make_facts("a", "hum", "1", group="yard", level_dbfs=-50.0, seconds=60.0, device="b"),
        make_facts("b", "hum", "1", group="road", level_dbfs=-40.0, rate_hz=16_000, device="a"),
        make_facts("c", "hum", "2", group="park", seconds=4.0, device="b"),
        make_facts("d", "hiss", "1", level_dbfs=-20.0, seconds=1.0),
        make_facts("e", "hiss", "2", level_dbfs=-10.0, seconds=5.0),
        make_facts("f", "hiss", "2", level_dbfs=0.0, seconds=900.0, error="f is torn"),
    ]
    clips = tuple(Clip(Path(one.path), one.label, one.fold, one.group) for one in facts)
    text = format_inspection(Dataset("own", ("hiss", "hum"), clips, ("1",), ("2",), ""), facts, 2.0)
    assert text.splitlines() == [
        "own: 6 clips, 1.2 minutes",
        "",
        "class     clips  groups         1         2   by part",
        "hiss          2       2         1         1",
        "hum           3       3         2         1",
        "",
        "length   1.00 to 60.00 s, median 4.00 s",
        "level    -50.0 to -10.0 dBFS, median -30.0 dBFS",
        "rate     8000 Hz: 4, 16000 Hz: 1",
        "device   a: 1, b: 2",
        "",
        "1 cannot be read: f",
        "1 shorter than a window of 2.0 s, and repeated to fill it: d",
    ]


def test_only_what_deserves_it_is_remarked() -> None:
    """A few samples at full scale are no clipping, a low level is no silence, a whole window is not short."""
    facts = [
        make_facts("click", "hum", "1", level_dbfs=-85.0, peak_dbfs=-40.0),
        make_facts("drum", "hum", "2", clipped_share=0.001),
        make_facts("distorted", "hum", "2", clipped_share=0.002),
    ]
    dataset = Dataset("own", ("hum",), (Clip(Path("/own/click"), "hum", "1"),), ("1",), (), "")
    remarks = format_inspection(dataset, facts, 2.0).split("\n\n")[-1]
    assert remarks == "1 clipped, more than 0.1 % of the samples at full scale: distorted\n"


def test_a_sound_leaks_by_its_fold_and_if_it_can_be_read() -> None:
    """Copies in one fold leak nothing whatever they are called, nor do files of which nothing was heard."""
    copies = [make_facts("a", "hum", "1", digest="same"), make_facts("b", "hiss", "1", digest="same")]
    torn = [make_facts(name, "hum", name, digest="", error="torn") for name in "12"]
    assert not leaks([*copies, *torn])
    assert leaks([*copies, make_facts("c", "hum", "2", digest="same"), *torn]).endswith("trained on it: a, b, c")
