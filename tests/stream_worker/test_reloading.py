"""A bundle is replaced while the worker runs: each window is scored, by one bundle; a broken one changes nothing."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundscene.bundle import Bundle, load_bundle, write_bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import BundleError
from soundscene_worker import reloading
from soundscene_worker.broker.memory import MemoryCluster, MemoryConsumer
from soundscene_worker.logs import EventLog
from soundscene_worker.messages.prediction import ScenePrediction
from soundscene_worker.reloading import BundleWatch, open_classifier
from tests.conftest import make_tiny_manifest, read_tiny_networks
from tests.stream_worker.loop_stage import Start, published, run_to_the_end, without_latency

PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="session")
def successor(tmp_path_factory: pytest.TempPathFactory) -> SceneClassifier:
    """Another bundle: the same windows, smoothed over three, and a label of another name."""
    manifest = make_tiny_manifest()
    manifest |= {"version": "2", "labels": ["bus", "park", "square", "ferry"]}
    manifest["fusion"]["smoothing_windows"] = 3
    return SceneClassifier(write_bundle(tmp_path_factory.mktemp("next") / "tiny", manifest, read_tiny_networks()))


def window_of(prediction: ScenePrediction) -> tuple[str, int]:
    return prediction.device, prediction.first_sample


@pytest.fixture
def by_successor(cluster: MemoryCluster, start: Start, successor: SceneClassifier) -> dict[tuple[str, int], str]:
    """What the new bundle alone says of each window."""
    with MemoryCluster() as other:
        other.topics = {name: list(logs) for name, logs in cluster.topics.items()}
        other.admin().ensure_topics({"scene.predictions": 1})
        other.topics["scene.predictions"] = [type(other.topics["audio.chunks"][0])()]
        run_to_the_end(Start(other, successor)())
        return {window_of(p): str(without_latency(p)) for p in published(other)}


@pytest.mark.parametrize("turns", range(2, 9))
def test_every_window_is_scored_by_one_bundle(
    start: Start,
    undisturbed: set[str],
    successor: SceneClassifier,
    by_successor: dict[tuple[str, int], str],
    turns: int,
) -> None:
    """Whenever the switch comes, each window has one prediction, that of the bundle it names, smoothing too."""
    worker = start()
    run_to_the_end(worker, turns)
    start.next_bundles.append(successor)
    run_to_the_end(worker)
    predictions = published(start.cluster)
    assert sorted(map(window_of, predictions)) == sorted(by_successor)
    for prediction in predictions:
        is_new = prediction.model.hash == successor.bundle.hash
        text = str(without_latency(prediction))
        assert text == by_successor[window_of(prediction)] if is_new else text in undisturbed
    assert len({prediction.model.hash for prediction in predictions}) == (2 if turns > 3 else 1)
    assert start.value("soundscene_bundle_reloads_total", outcome="loaded") == 1
    assert start.value("soundscene_bundle_info", name="tiny", version="2", hash=successor.bundle.hash) == 1


@pytest.mark.parametrize("turns", [2, 4, 6])
def test_a_crash_around_the_switch_loses_nothing(
    cluster: MemoryCluster,
    start: Start,
    successor: SceneClassifier,
    by_successor: dict[tuple[str, int], str],
    turns: int,
) -> None:
    """A commit refused at the switch, a crash, the new bundle from its start: every window has a prediction."""
    worker = start()
    run_to_the_end(worker, turns)
    start.next_bundles.append(successor)
    cluster.refuse_next_commit()
    worker.turn()
    run_to_the_end(worker, 1)
    assert isinstance(worker.consumer, MemoryConsumer)
    cluster.crash(worker.consumer)
    run_to_the_end(Start(cluster, successor)())
    assert {window_of(p) for p in published(cluster)} == set(by_successor)


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.directory, tmp_path / "served"))


class Refusals:
    """Counts what a watch reports."""

    count = 0

    def bundle_refused(self) -> None:
        self.count += 1


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
def lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def watch(folder: Path, refusals: Refusals, lines: io.StringIO) -> Iterator[BundleWatch]:
    bundle = load_bundle(folder)
    watch = BundleWatch(folder, bundle.hash, 0.02, EventLog(lines, format="json"), refusals)
    yield watch
    watch.close()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_new_bundle_is_found_tried_and_offered_once(folder: Path, watch: BundleWatch) -> None:
    """Nothing is offered while the folder stays as it is; what was put there is offered, ready to score."""
    watch.look()
    time.sleep(0.2)
    assert watch.take() is None
    fresh = write_bundle(folder, {**make_tiny_manifest(), "version": "2"}, read_tiny_networks())
    offered: list[SceneClassifier | None] = []
    wait_for(lambda: offered.append(watch.take()) or offered[-1])  # type: ignore[func-returns-value]
    assert offered[-1] is not None
    assert offered[-1].bundle.hash == fresh.hash
    time.sleep(0.2)
    assert watch.take() is None


def test_a_broken_bundle_is_refused_once_and_a_cured_one_taken(
    folder: Path, watch: BundleWatch, refusals: Refusals, lines: io.StringIO
) -> None:
    """The log says why; the same broken files are not reported at every look; repair needs no other step."""
    network = folder / "mel.tflite"
    content = network.read_bytes()
    network.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    wait_for(lambda: refusals.count)
    time.sleep(0.2)
    assert refusals.count == 1
    assert watch.take() is None
    assert "mel.tflite differs" in json.loads(lines.getvalue().splitlines()[0])["error"]
    shutil.rmtree(folder)
    wait_for(lambda: refusals.count == 2)
    write_bundle(folder, {**make_tiny_manifest(), "version": "3"}, read_tiny_networks())
    wait_for(watch.take)


def test_a_copy_in_progress_is_left_alone_unless_asked_for(
    folder: Path, refusals: Refusals, lines: io.StringIO
) -> None:
    """A look that finds it changed waits for the next one, which must find it the same; asked, it is tried at once."""
    manifest = folder / "manifest.json"
    good = manifest.read_text()
    watch = BundleWatch(folder, load_bundle(folder).hash, 0.0, EventLog(lines), refusals)
    try:
        for text in ("{", "{}", good.replace('"version": "1"', '"version": "2"')):
            manifest.write_text(text)
            watch._requests.put("")  # as when the interval is over
            wait_for(lambda: watch._seen == reloading._fingerprint(folder))
        assert watch.take() is None
        watch._requests.put("")
        wait_for(watch.take)
        assert refusals.count == 0
        manifest.write_text("{")
        watch.look()
        wait_for(lambda: refusals.count)
    finally:
        watch.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fft_size_samples": 8_191}, "fft_size_samples"),
        ({"window_size_samples": 1}, "window_size_samples"),
        ({"power_floor": 1e-60}, "power_floor"),
        ({"hop_size_samples": 2**31 - 1, "delta_width_frames": 100_001}, "MemoryError"),
        ({"cqt_min_frequency_hz": 1e-300}, "OverflowError"),
    ],
)
def test_settings_that_the_libraries_cannot_take_are_refused_and_the_watch_goes_on(
    folder: Path, watch: BundleWatch, refusals: Refusals, lines: io.StringIO, *, change: dict[str, float], message: str
) -> None:
    """Whatever a library raises is a reason to refuse the bundle, at a start too; the next one is taken."""
    good = (folder / "manifest.json").read_text()
    manifest = json.loads(good)
    manifest["front_end"] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    wait_for(lambda: refusals.count)
    assert message in json.loads(lines.getvalue().splitlines()[0])["error"]
    with pytest.raises(BundleError, match=message):
        open_classifier(folder)
    (folder / "manifest.json").write_text(good.replace('"version": "1"', '"version": "2"'))
    wait_for(watch.take)


def test_networks_that_score_otherwise_than_their_maker_said_are_refused(
    folder: Path, watch: BundleWatch, refusals: Refusals
) -> None:
    """Intact files are not enough: the stored scores of the known sound must come out."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["self_test"]["mel"] = [1.0, 0.0, 0.0, 0.0]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    wait_for(lambda: refusals.count)
    assert watch.take() is None


def test_a_bundle_that_fails_on_silence_is_refused_before_any_is_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is warmed up, at a start and before it replaces another, so that the first window is as fast as the rest."""

    def fail(classifier: SceneClassifier) -> None:
        raise BundleError(f"{classifier.bundle.name}: silence")

    monkeypatch.setattr(SceneClassifier, "warm_up", fail)
    with pytest.raises(BundleError, match="tiny: silence"):
        open_classifier(folder)
