"""The bundle inside the package is what its documentation says."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from soundscene.audio_files import AudioFile
from soundscene.bundle import load_bundle
from soundscene.classifier import SceneClassifier
from soundscene.frontend import FrontEnd, patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train import graphs
from soundscene_train.assessment.page import render
from soundscene_train.datasets import open_dataset
from soundscene_train.recipe_files import load_recipe, parse_recipe
from soundscene_train.run_folders import REPORT_NAME


def test_it_says_where_it_comes_from() -> None:
    """Labels, recipe, attribution, command and what it was trained on stand in the manifest."""
    bundle = load_bundle()
    assert len(bundle.labels) == 10
    assert parse_recipe(bundle.provenance["recipe"]) == load_recipe("strong")
    assert "Piczak" in bundle.provenance["citation"]
    assert "Attribution 3.0" in bundle.provenance["citation"]
    assert bundle.provenance["command"].startswith("soundscene-train run esc10 --data-dir")
    assert bundle.provenance["train_clips"] == 320


def test_its_report_is_drawn_from_its_manifest() -> None:
    """Page and manifest say the same, the temperature that is served among it; plots differ from version to version."""
    bundle = load_bundle()
    assert bundle.calibration is not None
    title, calibration = f"{bundle.name} {bundle.version}", bundle.calibration.to_dict()
    drawn = render(title, bundle.labels, bundle.metrics, bundle.provenance["cost"], calibration)
    shipped = (bundle.directory / REPORT_NAME).read_text(encoding="utf-8")
    assert _without_plots(shipped) == _without_plots(drawn)
    assert shipped.count("<svg") == drawn.count("<svg")


def test_its_figures_agree_with_each_other() -> None:
    """Classes, classifiers and the decision are counted from one confusion matrix of the decision."""
    metrics = load_bundle().metrics
    confusion = np.array(metrics["confusion"])
    assert confusion.sum() == metrics["clip_count"]
    assert np.trace(confusion) == metrics["correct_count"] == metrics["classifiers"]["product"]["correct_count"]
    shares = np.diag(confusion) / confusion.sum(axis=1)
    assert list(metrics["class_accuracy"].values()) == [round(float(share), 4) for share in shares]


def _without_plots(page: str) -> str:
    return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_it_fits_both_readings_of_128_kb() -> None:
    """The counted files hold all numbers of three networks, and keep to 128,000 bytes."""
    bundle = load_bundle()
    assert set(bundle.parameters.values()) == {36_970}
    stored = sum((bundle.directory / f"{name}.weights").stat().st_size for name in NETWORK_NAMES)
    assert stored == bundle.provenance["cost"]["bytes"] == 126_336


def test_its_score_stands_beside_what_it_loses_elsewhere() -> None:
    """The manifest's score is over all 320 clips, and level changes none of it by more than two clips."""
    metrics = load_bundle().metrics
    assert metrics["clip_count"] == 320
    assert metrics["accuracy"] > 0.85
    conditions = metrics["robustness"]["conditions"]
    assert set(load_recipe("strong").augmentation.held_out_responses) <= set(conditions)
    for level in ("-20 dB", "+20 dB"):
        assert abs(conditions[level]["correct_count"] - metrics["correct_count"]) <= 2


def test_essentias_files_describe_the_same_networks() -> None:
    """Each frozen graph stands beside a description with its nodes, its classes and its rate."""
    bundle = load_bundle()
    for name in NETWORK_NAMES:
        stem = bundle.directory / f"soundscene-{name}-esc10-6"
        description = json.loads(stem.with_suffix(".json").read_text())
        assert stem.with_suffix(".pb").is_file()
        assert tuple(description["classes"]) == bundle.labels
        assert description["schema"]["inputs"][0] == {
            "name": graphs.INPUT_NODE, "type": "float", "shape": [128, 128, 3],
        }  # fmt: skip
        assert description["schema"]["outputs"][0]["name"] == graphs.OUTPUT_NODE
        assert description["inference"]["sample_rate"] == 44_100


def test_it_knows_what_it_was_trained_on(real_recordings: Callable[[str], Path]) -> None:
    """Through the plugin it names at least 37 of 40 of its own training clips, four of each class."""
    dataset = open_dataset("esc10", real_recordings("esc10"))
    bundle = load_bundle()
    classifier = SceneClassifier(bundle)
    correct = 0
    for label in dataset.labels:
        for clip in [clip for clip in dataset.clips if clip.label == label][::8][:4]:
            with AudioFile(clip.path) as audio:
                (window,) = audio.windows(bundle.front_end, bundle.fusion.short_clip)
            correct += bundle.labels[int(np.argmax(classifier.classify(window).scores))] == label
    assert correct >= 37


def test_frozen_graphs_score_as_the_served_networks(real_recordings: Callable[[str], Path]) -> None:
    """On real windows the `.pb` and the `.tflite` of each network agree to 1e-5."""
    bundle = load_bundle()
    front_end = FrontEnd(bundle.front_end)
    windows = []
    for clip in open_dataset("esc10", real_recordings("esc10")).clips[::80]:
        with AudioFile(clip.path) as audio:
            windows += [front_end.window_spectra(w.samples) for w in audio.windows(bundle.front_end, "repeat")]
    for name in NETWORK_NAMES:
        spectra = np.stack([getattr(window, name) for window in windows])
        patches = patch(spectra, bundle.front_end, name, bundle.standardisation[name])
        frozen = (bundle.directory / f"soundscene-{name}-esc10-6.pb").read_bytes()
        np.testing.assert_allclose(
            graphs.run_frozen_graph(frozen, patches), graphs.run_litert(bundle.networks[name], patches, 10), atol=1e-5
        )
