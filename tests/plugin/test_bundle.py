from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundscene.bundle import FORMAT_VERSION, Bundle, load_bundle, rewrite_bundle, write_bundle
from soundscene.errors import BundleError
from soundscene.fusion import Calibration
from soundscene.settings import NETWORK_NAMES

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle.directory, tmp_path / "copy")


def _edit_manifest(folder: Path, edit: Edit) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_a_written_bundle_reads_back_with_every_field(tiny_bundle: Bundle, tiny_manifest: dict[str, Any]) -> None:
    """What was written is what is read."""
    read = load_bundle(tiny_bundle.directory)
    assert read.name == "tiny"
    assert list(read.labels) == tiny_manifest["labels"]
    assert read.front_end.to_dict() == tiny_manifest["front_end"]
    assert read.fusion.to_dict() == tiny_manifest["fusion"]
    assert {name: value.to_dict() for name, value in read.standardisation.items()} == json.loads(
        json.dumps(tiny_manifest["standardisation"])
    )
    assert read.parameter_count == 3 * 186
    assert read.model == {"name": "tiny", "version": "1", "hash": tiny_bundle.hash}


def test_a_calibration_reads_back(copy: Path) -> None:
    """A bundle without one decides with temperature 1, a bundle with one by it."""
    assert load_bundle(copy).temperature == 1.0
    _edit_manifest(copy, lambda m: m.update(calibration={"temperature": 2.5, "fitted_on": "320 clips"}))
    assert load_bundle(copy).calibration == Calibration(2.5, "320 clips")
    assert load_bundle(copy).temperature == 2.5


def test_a_bundle_written_again_differs_in_what_was_changed_alone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Files, settings and scores of the known sound are the old ones."""
    made = rewrite_bundle(tiny_bundle, tmp_path / "made", {"version": "2", "description": "again"})
    assert (made.version, made.description) == ("2", "again")
    for name in ("files", "networks", "labels", "front_end", "fusion", "calibration", "metrics", "self_test"):
        assert getattr(made, name) == getattr(tiny_bundle, name), name


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "mel.tflite").write_bytes(b"other"), "damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "cannot be read"),
    ],
)
def test_a_bundle_that_changed_meanwhile_is_not_written_again(
    copy: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """What was read and checked is what is written, or nothing."""
    bundle = load_bundle(copy)
    spoil(copy)
    with pytest.raises(BundleError, match=message):
        rewrite_bundle(bundle, tmp_path / "made", {"version": "2"})
    assert not (tmp_path / "made").exists()


def test_a_bundle_that_scores_otherwise_here_is_not_written_again(copy: Path, tmp_path: Path) -> None:
    """Its stored scores would be lost, and with them the sign that something is wrong."""
    _edit_manifest(copy, lambda m: m["self_test"].update(mel=[0.25, 0.25, 0.25, 0.25]))
    with pytest.raises(BundleError, match="known sound differ"):
        rewrite_bundle(load_bundle(copy), tmp_path / "made", {"version": "2"})


def test_the_hash_ignores_white_space_and_key_order(tiny_bundle: Bundle, copy: Path) -> None:
    """Reformatting the manifest by hand does not make another bundle."""
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(dict(sorted(manifest.items())), indent=7))
    assert load_bundle(copy).hash == tiny_bundle.hash


def test_the_hash_ignores_what_is_said_of_a_bundle(tiny_bundle: Bundle, copy: Path) -> None:
    """The same networks exported again, with another measured cost and text, keep the ids of their predictions."""
    _edit_manifest(
        copy,
        lambda m: m.update(description="again", provenance={"cost": 1.5}, metrics={"accuracy": 0.5}),
    )
    assert load_bundle(copy).hash == tiny_bundle.hash


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["labels"].reverse(),
        lambda m: m["front_end"].update(hop_size_samples=1601),
        lambda m: m["standardisation"]["cqt"].update(mean=0.25),
        lambda m: m["fusion"].update(unsure_below=0.3),
        lambda m: m.update(calibration={"temperature": 2.0, "fitted_on": "clips"}),
        lambda m: m.update(version="2"),
    ],
)
def test_the_hash_changes_with_anything_that_changes_a_verdict(tiny_bundle: Bundle, copy: Path, edit: Edit) -> None:
    """Two bundles that may answer differently never share a hash."""
    _edit_manifest(copy, edit)
    assert load_bundle(copy).hash != tiny_bundle.hash


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(format_version=1), "format version 1"),
        (lambda m: m.pop("labels"), "missing"),
        (lambda m: m.update(mood="good"), "unknown"),
        (lambda m: m.update(name="../evil"), "name must be"),
        (lambda m: m.update(description=7), "description"),
        (lambda m: m.update(calibration={}), "a calibration needs exactly the keys"),
        (lambda m: m.update(calibration=2.0), "calibration must be a JSON object"),
        (lambda m: m.update(calibration={"temperature": 0.0, "fitted_on": "clips"}), "temperature must lie in"),
        (lambda m: m.update(calibration={"temperature": "2", "fitted_on": "clips"}), "temperature must lie in"),
        (lambda m: m.update(calibration={"temperature": 2.0, "fitted_on": ""}), "fitted_on"),
        (lambda m: m.update(metrics=[]), "metrics must be a JSON object"),
        (lambda m: m.update(labels=["bus", "bus", "park", "tram"]), "labels must be"),
        (lambda m: m.update(labels=["bus", "park", "tram"]), "self_test of 'mel' must be 3 scores"),
        (
            lambda m: m.update(labels=["bus", "park", "tram"], self_test={n: [0.5, 0.5, 0] for n in NETWORK_NAMES}),
            "output of shape",
        ),
        (lambda m: m["self_test"].update(mel=[0.5, 0.5, 0.5, 2.0]), "self_test of 'mel'"),
        (lambda m: m["front_end"].update(patch_frames=64), "input of shape"),
        (lambda m: m["front_end"].update(hop_size_samples=-1), "hop_size_samples"),
        (lambda m: m["front_end"].update(hop_size_samples="many"), "must be of type int"),
        (lambda m: m["front_end"].update(hop_size_samples=1600.5), "must be of type int"),
        (lambda m: m["front_end"].update(remove_window_mean="no"), "must be of type bool"),
        (lambda m: m["front_end"].update(dynamic_range_db=True), "must be of type float"),
        (lambda m: m["front_end"].update(remove_band_means="mel"), "must be of type list"),
        (lambda m: m["front_end"].update(remove_band_means=["bark"]), "remove_band_means must be"),
        (lambda m: m["front_end"].update(remove_band_means=[{}]), "remove_band_means must be"),
        (lambda m: m["front_end"].update(colour=1), "colour"),
        (lambda m: m.update(front_end=None), "front_end must be"),
        (lambda m: m["fusion"].update(rule="vote"), "rule must be"),
        (lambda m: m["standardisation"].pop("mel"), "standardisation needs"),
        (lambda m: m["standardisation"]["mel"].pop("mean"), "export"),
        (lambda m: m["parameters"].update(mel=0), "parameters of 'mel'"),
        (lambda m: m["multiply_adds"].update(bark=1), "multiply_adds needs"),
        (lambda m: m["files"].pop("mel.tflite"), "exactly the networks"),
        (lambda m: m["files"].update({"../mel.tflite": "0" * 64}), "file name must be"),
        (lambda m: m["files"].update({"/etc/passwd": "0" * 64}), "file name must be"),
        (lambda m: m["files"].update({"manifest.json": "0" * 64}), "list itself"),
        (lambda m: m["files"].update({"mel.tflite": "beef"}), "64 lower-case"),
        (lambda m: m["files"].update({"notes.txt": "0" * 64}), "incomplete"),
        (lambda m: m.update(metrics={"accuracy": float("nan")}), "NaN is not a finite number"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy: Path, edit: Edit, message: str) -> None:
    """Each defect is named in an error that also names the bundle."""
    _edit_manifest(copy, edit)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copy)
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, content: bytes) -> None:
    """Garbage in place of the manifest is one clear error."""
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(copy)


def test_a_missing_folder_or_network_is_refused(copy: Path) -> None:
    """An incomplete bundle says what is missing."""
    with pytest.raises(BundleError, match=r"holds no manifest\.json"):
        load_bundle(copy / "nowhere")
    (copy / "gammatone.tflite").unlink()
    with pytest.raises(BundleError, match=r"gammatone\.tflite missing"):
        load_bundle(copy)


def test_a_flipped_bit_or_a_swapped_network_is_refused(copy: Path) -> None:
    """One changed byte, or a network of another input in its place, does not pass."""
    content = bytearray((copy / "mel.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "mel.tflite").write_bytes(content)
    with pytest.raises(BundleError, match=r"mel\.tflite differs"):
        load_bundle(copy)
    shutil.copy(copy / "cqt.tflite", copy / "mel.tflite")
    with pytest.raises(BundleError, match=r"mel\.tflite differs"):
        load_bundle(copy)


def test_a_network_the_manifest_does_not_list_is_refused(copy: Path) -> None:
    """Files of two exports in one folder do not pass for one bundle."""
    shutil.copy(copy / "mel.tflite", copy / "soundscene-mel-esc10-1.pb")
    with pytest.raises(BundleError, match=r"does not list: soundscene-mel-esc10-1\.pb"):
        load_bundle(copy)


def test_writing_refuses_what_loading_would_and_leaves_nothing(
    tmp_path: Path, tiny_manifest: dict[str, Any], tiny_networks: dict[str, bytes]
) -> None:
    """A bad bundle never reaches the disk, a file name cannot leave the folder."""
    with pytest.raises(BundleError, match="not a readable LiteRT model"):
        write_bundle(tmp_path / "bad", tiny_manifest, {**tiny_networks, "mel.tflite": b"junk"})
    with pytest.raises(BundleError, match="file name must be"):
        write_bundle(tmp_path / "bad", tiny_manifest, {**tiny_networks, "../escaped.pb": b""})
    with pytest.raises(BundleError, match="finite JSON"):
        write_bundle(tmp_path / "bad", {**tiny_manifest, "metrics": {"x": float("inf")}}, tiny_networks)
    assert list(tmp_path.iterdir()) == []


def test_writing_replaces_a_bundle_but_nothing_else(
    copy: Path, tiny_manifest: dict[str, Any], tiny_networks: dict[str, bytes]
) -> None:
    """An export over its predecessor works; over a folder with somebody's files it does not."""
    extra = {"soundscene-mel-tiny-1.json": b"{}"}
    replaced = write_bundle(copy, {**tiny_manifest, "version": "2"}, {**tiny_networks, **extra})
    assert (replaced.version, load_bundle(copy).version) == ("2", "2")
    assert sorted(path.name for path in copy.iterdir()) == sorted([*tiny_networks, *extra, "manifest.json"])
    (copy / "thesis.txt").write_text("do not lose me")
    with pytest.raises(BundleError, match="something other than a bundle"):
        write_bundle(copy, tiny_manifest, tiny_networks)
    assert (copy / "thesis.txt").read_text() == "do not lose me"
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_the_format_version_is_pinned() -> None:
    """Raising it is a decision: bundles in the field stop loading."""
    assert FORMAT_VERSION == 2
