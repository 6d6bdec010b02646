"""Public data sets are held to what their authors published."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene_train.__main__ import main
from soundscene_train.datasets import sources
from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.datasets.download import Archive
from soundscene_train.datasets.sources import DOWNLOADS, Published, describe, download, require_whole
from soundscene_train.datasets.tau import WITHDRAWN, open_tau
from soundscene_train.errors import DatasetError
from tests.train.datasets.loopback import Server, pack
from tests.train.datasets.loopback import describe as describe_archive

HEADER = "filename\tscene_label\n"


def test_the_published_archives() -> None:
    """Eighteen archives of 27,364,817,167 bytes, each with an MD5."""
    _, _, archives = DOWNLOADS["tau2020"]
    assert len(archives) == 18
    assert sum(archive.size_bytes or 0 for archive in archives) == 27_364_817_167
    assert len({archive.md5 for archive in archives}) == 18


def test_the_first_versions_tables_give_todays_counts(tmp_path: Path, real_recordings: Callable[[str], Path]) -> None:
    """Of 13,965 and 2,970 published rows, 13,962 and 2,968 are left, no location on both sides, and that is whole."""
    tables = real_recordings("tau-2020-mobile-splits")
    (tmp_path / "audio").mkdir()
    (tmp_path / "evaluation_setup").mkdir()
    rows = 0
    for table in ("fold1_train.csv", "fold1_evaluate.csv"):
        text = (tables / table).read_text()
        (tmp_path / "evaluation_setup" / table).write_text(text)
        for line in text.splitlines()[1:]:
            rows += 1
            name = line.split("\t")[0]
            if name not in WITHDRAWN:
                (tmp_path / name).touch()
    assert rows == 13_965 + 2_970
    dataset = open_tau(tmp_path)
    assert describe("tau2020", dataset).startswith(
        "clips there of those published: train 13,962 of 13,962, evaluate 2,968 of 2,968 (older tables"
    )
    with pytest.raises(DatasetError, match=r"not audio .*; remove it"):  # the counts are right, the files are empty
        require_whole("tau2020", dataset)


def test_real_recordings_have_the_published_form(
    monkeypatch: pytest.MonkeyPatch, real_recordings: Callable[[str], Path]
) -> None:
    """Seven recordings of seven cities and two devices pass; as ESC-10 they would not."""
    paths = sorted(real_recordings("tau-mobile-clips").glob("*.wav"))
    clips = tuple(Clip(path, path.name.split("-")[0], "train") for path in paths)
    dataset = Dataset("tau2020", ("a", "b"), clips, ("train",), (), "")
    monkeypatch.setitem(sources._WHOLE, "tau2020", Published({"train": len(paths)}, 10.0))
    require_whole("tau2020", dataset)
    monkeypatch.setitem(sources._WHOLE, "tau2020", Published({"train": len(paths)}, 5.0))
    with pytest.raises(DatasetError, match=r"expected 5 seconds at 44100 Hz, got 10\.0"):
        require_whole("tau2020", dataset)


def make_tau(server: Server, monkeypatch: pytest.MonkeyPatch, rate_hz: int = 44_100) -> None:
    """A data set of eight recordings in three archives, published on the loopback."""
    sound = _sound(rate_hz)
    splits = {
        part: [f"{scene}-lyon-{side}{index}-{index}-a" for scene in ("bus", "park") for index in range(2)]
        for side, part in enumerate(("train", "evaluate"))
    }
    root = "TAU-urban-acoustic-scenes-2020-mobile-development"
    tables = {
        f"{root}/evaluation_setup/fold1_{part}.csv": (
            HEADER + "".join(f"audio/{name}.wav\t{name.split('-')[0]}\n" for name in found)
        ).encode()
        for part, found in splits.items()
    }
    contents = [pack(tables)]
    contents += [pack({f"{root}/audio/{name}.wav": sound for name in found}) for found in splits.values()]
    archives = []
    for index, content in enumerate(contents):
        archives.append(describe_archive(content, f"part{index}.zip"))
        server.files[f"part{index}.zip"] = content
    monkeypatch.setitem(sources.DOWNLOADS, "tau2020", (server.address, root, tuple(archives)))
    monkeypatch.setitem(
        sources._WHOLE, "tau2020", Published({part: len(found) for part, found in splits.items()}, 10.0)
    )


def _sound(rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    samples = 0.1 * np.random.default_rng(0).standard_normal(10 * rate_hz)
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_24")
    return buffer.getvalue()


def test_prepare_fetches_checks_and_computes(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One command from nothing to spectrograms, over a line that breaks; again, it asks for nothing."""
    make_tau(server, monkeypatch)
    monkeypatch.chdir(tmp_path)
    server.cut_after = [10**9, 100_000]
    words = ["prepare", "--dataset", "tau2020", "--data-dir", "TAU", "--recipe", "quick", "--download"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "train 4 of 4, evaluate 4 of 4" in printed.out
    assert "tau2020: 8 clips" in printed.out
    assert "part2.zip (MiB)" in printed.err
    count = len(server.asked)
    assert count == 4, "three archives, one of them twice"
    assert main(words) == 0
    assert len(server.asked) == count


def test_prepare_refuses_what_is_not_as_published(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another rate, a clip too few, a set that has no public place: one line each."""
    monkeypatch.chdir(tmp_path)
    make_tau(server, monkeypatch, rate_hz=48_000)
    words = ["prepare", "--dataset", "tau2020", "--data-dir", "TAU", "--recipe", "quick", "--download"]
    assert main(words) == 2
    assert "expected 10 seconds at 44100 Hz, got 10.00 at 48000" in capsys.readouterr().err
    monkeypatch.setitem(sources._WHOLE, "tau2020", Published({"train": 5, "evaluate": 4}, 10.0))
    assert main([*words, "--download-from", server.address]) == 2
    assert "part train has 4 clips, and 5 were published" in capsys.readouterr().err
    assert main(["prepare", "--dataset", "folder", "--data-dir", "TAU", "--download"]) == 2
    assert "folder cannot be downloaded; there are tau2020, esc10" in capsys.readouterr().err


def test_a_source_without_sum_is_taken_as_it_is(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ESC-50 is packed anew by its host each time: no size and no MD5 are asked of it, over a cut line too."""
    content = pack({"ESC-50-master/meta/esc50.csv": b"x" * 50_000, "ESC-50-master/README.md": b"y"})
    server.files["master.zip"] = content
    monkeypatch.setitem(sources.DOWNLOADS, "esc10", (server.address, "ESC-50-master", (Archive("master.zip"),)))
    download("esc10", tmp_path, address=server.address)
    assert (tmp_path / "meta" / "esc50.csv").stat().st_size == 50_000
