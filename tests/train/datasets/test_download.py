"""Large files arrive whole or not at all, whatever the line does."""

import zipfile
from pathlib import Path

import pytest

from soundscene_train.datasets import download as module
from soundscene_train.datasets.download import Archive, fetch, fetch_and_unpack
from soundscene_train.errors import DatasetError
from tests.train.datasets.loopback import CONTENT, Server, describe, pack


def get(server: Server, folder: Path, archive: Archive | None = None) -> Path:
    return fetch(f"{server.address}/sound.zip", archive or describe(CONTENT), folder, pause_seconds=0.0)


def test_a_cut_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    """Three cuts cost three more requests, each for the rest alone; the file is whole and nothing else is left."""
    server.cut_after = [100_000, 50_000, 0]
    path = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-"]
    assert [found.name for found in tmp_path.iterdir()] == ["sound.zip"]


def test_another_day_goes_on_from_what_is_there(server: Server, tmp_path: Path) -> None:
    """After a line that broke too often, or a kill, the next command asks for the rest only; then for nothing."""
    server.cut_after = [20_000] * 6
    with pytest.raises(DatasetError, match=r"after 6 attempts; the same command goes on from there"):
        get(server, tmp_path)
    assert (tmp_path / "sound.zip.part").stat().st_size == 120_000
    server.asked.clear()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=120000-"]
    get(server, tmp_path)
    assert server.asked == ["bytes=120000-"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    """What such a server sends again does not land behind what is there."""
    server.knows_ranges = False
    server.cut_after = [70_000]
    told: list[int] = []
    url = f"{server.address}/sound.zip"
    path = fetch(url, describe(CONTENT), tmp_path, lambda _, done, __: told.append(done), pause_seconds=0.0)
    assert path.read_bytes() == CONTENT
    assert told[-1] == 300_000, "nor is it counted twice"


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_wrong_file_is_refused_and_removed(server: Server, tmp_path: Path, wrong: bytes) -> None:
    """One byte that differs, or one too many: nothing stays that the next attempt would build on."""
    server.files["sound.zip"] = wrong
    with pytest.raises(DatasetError, match=r"sound\.zip: expected 300000 bytes with MD5 .* it was removed"):
        get(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_size_is_held_where_no_sum_is_published(server: Server, tmp_path: Path) -> None:
    """A file that is longer than it should be is not that file, and is removed."""
    with pytest.raises(DatasetError, match=r"sound\.zip: expected 299999 bytes .* got 300000 .* it was removed"):
        get(server, tmp_path, Archive("sound.zip", 299_999))
    assert not list(tmp_path.iterdir())


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    """Errors of the server pass, as does too much to do; a file that is not there is said at once."""
    server.statuses = [503, 500, 429, 408]
    assert get(server, tmp_path).read_bytes() == CONTENT
    server.asked.clear()
    with pytest.raises(DatasetError, match="the server answers 404"):
        fetch(f"{server.address}/other.zip", describe(CONTENT, "other.zip"), tmp_path, pause_seconds=0.0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_size_that_nobody_published_is_told_once_it_is_known(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells_length: bool
) -> None:
    """The server may tell it; else the file is complete at its end alone, however many blocks it comes in."""
    monkeypatch.setattr(module, "_BLOCK_BYTES", 100_000)
    server.tells_length = tells_length
    told: list[tuple[int, int]] = []
    fetch(
        f"{server.address}/sound.zip", Archive("sound.zip"), tmp_path, lambda _, done, all_: told.append((done, all_))
    )
    total = 300_000 if tells_length else 0
    assert told[:2] == [(100_000, total), (200_000, total)]
    assert [done for done, all_ in told if done == all_] == [300_000]


def test_a_size_that_nobody_published_is_told_of_the_whole_file(server: Server, tmp_path: Path) -> None:
    """Going on after a break, the bytes in all are those that are there and those that come."""
    (tmp_path / "sound.zip.part").write_bytes(CONTENT[:100_000])
    told: list[tuple[int, int]] = []
    url = f"{server.address}/sound.zip"
    fetch(url, Archive("sound.zip"), tmp_path, lambda _, done, all_: told.append((done, all_)), pause_seconds=0.0)
    assert told[-1] == (300_000, 300_000)
    (tmp_path / "sound.zip").rename(tmp_path / "sound.zip.part")
    assert fetch(url, Archive("sound.zip"), tmp_path, pause_seconds=0.0).read_bytes() == CONTENT, (
        "nothing is left to ask"
    )


def test_no_server_is_said(server: Server, tmp_path: Path) -> None:
    """Where nobody listens, the error names the address."""
    server.http.server_close()
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1.*after 6 attempts"):
        get(server, tmp_path)


def test_archives_are_unpacked_and_forgotten(server: Server, tmp_path: Path) -> None:
    """What lies below the root arrives, the archive goes, and a second call asks for nothing."""
    content = pack({"root/audio/a.wav": b"one", "root/meta.csv": b"two", "other/b.wav": b"three"})
    server.files["sound.zip"] = content
    for _ in range(2):
        fetch_and_unpack(f"{server.address}/sound.zip", describe(content), tmp_path, "root")
    assert len(server.asked) == 1
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"audio/a.wav": b"one", "meta.csv": b"two", ".unpacked/sound.zip": b""}


@pytest.mark.parametrize("member", ["../escaped.wav", "/escaped.wav", "root/../../escaped.wav"])
def test_nothing_is_unpacked_outside(server: Server, tmp_path: Path, member: str) -> None:
    """An archive that would write elsewhere is refused."""
    content = pack({member: b"one"})
    server.files["sound.zip"] = content
    with pytest.raises(DatasetError, match="outside its folder"):
        fetch_and_unpack(f"{server.address}/sound.zip", describe(content), tmp_path / "data", "root")
    assert not list(tmp_path.rglob("escaped.wav"))


def test_a_file_that_is_no_archive_is_named(server: Server, tmp_path: Path) -> None:
    """What arrived as published and still is no zip file, or a damaged one, is said."""
    with pytest.raises(DatasetError, match=r"sound\.zip: not a zip file"):
        fetch_and_unpack(f"{server.address}/sound.zip", describe(CONTENT), tmp_path, "root")
    packed = bytearray(pack({"root/a.wav": bytes(100_000)}, zipfile.ZIP_DEFLATED))
    packed[40:50] = b"\xff" * 10
    server.files["other.zip"] = bytes(packed)
    with pytest.raises(DatasetError, match=r"other\.zip: not a zip file \(Error -3"):
        fetch_and_unpack(f"{server.address}/other.zip", describe(bytes(packed), "other.zip"), tmp_path, "root")


def test_a_full_disk_keeps_what_is_finished(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full is not asked six times, and says so; what was unpacked before stays."""
    content = pack({"root/audio/a.wav": b"one"})
    server.files["first.zip"] = content
    fetch_and_unpack(f"{server.address}/first.zip", describe(content, "first.zip"), tmp_path, "root")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_receive", full)
    with pytest.raises(DatasetError, match="No space left on device; make room"):
        fetch_and_unpack(f"{server.address}/sound.zip", describe(CONTENT), tmp_path, "root")
    assert (tmp_path / "audio" / "a.wav").read_bytes() == b"one"
