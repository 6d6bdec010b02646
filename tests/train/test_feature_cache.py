"""A cache is whole or grows on: no kill, full disk or damage passes for spectrograms."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.errors import DatasetError
from soundscene_train.feature_cache import Block, fill_cache, is_filled, open_cache, slices_of

ROOT = Path(__file__).parents[2]
CLIPS = [Path(f"{number}.wav") for number in range(35)]


def compute(clips: Sequence[Path], bands: int = 3) -> Block:
    """One window for an even clip, two for an odd one, filled with the clip's number."""
    numbers = [int(clip.stem) for clip in clips]
    counts = [1 + number % 2 for number in numbers]
    windows = np.repeat(np.asarray(numbers, np.float16), counts)[:, None, None] + np.zeros((1, 4, bands), np.float16)
    return counts, dict.fromkeys(("mel", "gammatone", "cqt"), windows)


def require_whole(folder: Path) -> None:
    spectra, clip_of_window = open_cache(folder)
    assert np.bincount(clip_of_window).tolist() == [1 + number % 2 for number in range(len(CLIPS))]
    for stored in spectra.values():
        found = stored[np.arange(len(stored))]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, 0, 0], clip_of_window)


def test_what_is_computed_is_found(tmp_path: Path) -> None:
    """Arrays of float32 come out of half the bytes; nothing else stays in the folder."""
    assert not is_filled(tmp_path)
    fill_cache(tmp_path, CLIPS, compute)
    assert is_filled(tmp_path)
    require_whole(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "cqt.npy",
        "gammatone.npy",
        "index.json",
        "mel.npy",
    ]


def test_what_a_kill_left_beside_the_arrays_goes(tmp_path: Path) -> None:
    """Blocks whose content is joined already are removed by the next call, which computes nothing."""
    fill_cache(tmp_path, CLIPS, compute)
    (tmp_path / "block-0000000.npz").touch()
    assert not is_filled(tmp_path)
    fill_cache(tmp_path, CLIPS, compute, progress=lambda *_: pytest.fail("computed again"))
    assert is_filled(tmp_path)
    require_whole(tmp_path)


@pytest.mark.parametrize("name", ["mel.npy", "index.json"])
def test_damage_is_found(tmp_path: Path, name: str) -> None:
    """A changed byte or a cut file is refused with what to do."""
    fill_cache(tmp_path, CLIPS, compute)
    content = bytearray((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(content[:-3])
    with pytest.raises(DatasetError, match="remove this folder to compute it again"):
        open_cache(tmp_path)
    if name == "mel.npy":
        content[-1] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=r"mel\.npy is not what was written"):
            open_cache(tmp_path)


def test_damage_at_the_front_of_a_large_array_is_found(tmp_path: Path) -> None:
    """One changed byte in the first of 18 MB is refused, however the file is read."""

    def compute_large(clips: Sequence[Path]) -> Block:
        counts, spectra = compute(clips)
        return counts, spectra | {"cqt": np.zeros((len(spectra["cqt"]), 1, 9_000_000), np.float16)}

    fill_cache(tmp_path, CLIPS[:1], compute_large)
    assert len(open_cache(tmp_path)[0]["cqt"]) == 1
    with (tmp_path / "cqt.npy").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\1")
    with pytest.raises(DatasetError, match=r"cqt\.npy is not what was written"):
        open_cache(tmp_path)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_pieces_put_together_are_the_whole(count: int) -> None:
    """No window is lost or comes twice where a data set is taken piece by piece, and no piece is a large one."""
    windows = np.random.default_rng(0).permutation(1000)[:count]
    pieces = slices_of(windows)
    np.testing.assert_array_equal(np.concatenate(pieces), windows)
    assert {len(piece) for piece in pieces[:-1]} <= {256}
    assert 0 < len(pieces[-1]) <= 256


SLOW = """
import sys, time
from pathlib import Path
from soundscene_train.feature_cache import fill_cache
from tests.train.test_feature_cache import CLIPS, compute
def slow(clips):
    time.sleep(0.2)
    return compute(clips)
fill_cache(Path(sys.argv[1]), CLIPS, slow)
"""


def test_a_kill_loses_no_finished_block(tmp_path: Path) -> None:
    """Killed with SIGKILL after its second block, the work goes on with the third."""
    with subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], cwd=ROOT) as process:
        while len(list(tmp_path.glob("block-*.npz"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = len(list(tmp_path.glob("block-*.npz")))
    told: list[int] = []
    fill_cache(tmp_path, CLIPS, compute, progress=lambda done, total: told.append(done))
    assert told == [30, 35][kept - 2 :]
    require_whole(tmp_path)


def test_runs_that_start_together_share_one_computation(tmp_path: Path) -> None:
    """Four processes at once: each ends well, and the cache is whole."""
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    require_whole(tmp_path)


FULL = """
import resource, sys
from pathlib import Path
from soundscene_train.errors import DatasetError
from soundscene_train.feature_cache import fill_cache
from tests.train.test_feature_cache import CLIPS, compute
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    fill_cache(Path(sys.argv[1]), CLIPS, lambda clips: compute(clips, int(sys.argv[3])))
except DatasetError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_ends_it_with_one_line_and_keeps_what_is_there(tmp_path: Path) -> None:
    """A block that does not fit: the message says what to do, and doing it suffices."""
    command = [sys.executable, "-c", FULL, str(tmp_path), "100", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1
    assert "make room and run the same command again" in done.stderr
    assert not is_filled(tmp_path)
    fill_cache(tmp_path, CLIPS, compute)
    require_whole(tmp_path)


ON_SMALL_DISK = """
mount -t tmpfs -o size=440k tmpfs "$1" || exit 77
shift
exec "$@"
"""


def fill_all_but_the_arrays(folder: Path) -> list[Path]:
    """Leave the blocks of a cache whose joining found no room."""
    (folder / "mel.npy").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match=r"spectrograms cannot be written: No space left on device; make room"):
        fill_cache(folder, CLIPS, compute)
    (folder / "mel.npy").unlink()
    return sorted(folder.glob("block-*.npz"))


def test_a_disk_that_is_full_while_arrays_are_joined_loses_no_block(tmp_path: Path) -> None:
    """The joined array does not fit: one line, and afterwards nothing is computed again."""
    assert len(fill_all_but_the_arrays(tmp_path)) == 4
    told: list[int] = []
    fill_cache(tmp_path, CLIPS, compute, progress=lambda done, total: told.append(done))
    assert told == []
    require_whole(tmp_path)


def test_a_disk_that_fills_up_does_not_kill_the_process(tmp_path: Path) -> None:
    """On a small file system, with room for the blocks (380 kB) and half of an array (125 kB), it is one line too."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK, "sh", str(tmp_path)]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    python = [sys.executable, "-c", FULL, str(tmp_path), str(1 << 30), "300"]
    done = subprocess.run([*command, *python], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system lets nobody mount a small disk of his own")
    assert done.returncode == 1, done.stderr
    assert "spectrograms cannot be written: No space left on device; make room" in done.stderr


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    """A block that was cut short after it was written is one line, and what is around it is kept."""
    blocks = fill_all_but_the_arrays(tmp_path)
    blocks[1].write_bytes(blocks[1].read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"block-0000010\.npz: not a block of spectrograms .* remove it and run"):
        fill_cache(tmp_path, CLIPS, compute)
    blocks[1].unlink()
    fill_cache(tmp_path, CLIPS, compute)
    require_whole(tmp_path)


@pytest.mark.parametrize("change", [-1, 1, -1000])
def test_an_index_that_counts_other_windows_is_named(tmp_path: Path, change: int) -> None:
    """A damaged count is one line with the way out when the cache is opened, not an error where it is used."""
    fill_cache(tmp_path, CLIPS, compute)
    index = json.loads((tmp_path / "index.json").read_text())
    index["windows"][0] += change
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=r"not a whole cache of spectrograms .* remove this folder to compute it"):
        open_cache(tmp_path)
