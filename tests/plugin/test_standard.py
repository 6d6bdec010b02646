"""The plugin as a user of Essentia meets it."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene._algorithm import Algorithm, is_in_range, render
from soundscene.bundle import Bundle, write_bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import AudioError, BundleError, SettingsError
from soundscene.frontend import FrontEnd
from soundscene.frontend.spectra import essentia_standard
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene.standard import (
    SceneInputCQT,
    SceneInputGammatone,
    SceneInputMel,
    ScenePredict,
    create_python_algorithms,
)
from soundscene.windows import WindowGrid

ALGORITHMS = (SceneInputMel, SceneInputGammatone, SceneInputCQT, ScenePredict)
SETTINGS = FrontEndSettings()
LENGTH, STEP, HOP = SETTINGS.window_length_samples, SETTINGS.step_samples, SETTINGS.hop_size_samples


def noise(count: int) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(3).standard_normal(count)).astype(np.float32)


@pytest.fixture(scope="module")
def predict(tiny_bundle: Bundle) -> ScenePredict:
    """With default parameters but for the bundle."""
    return ScenePredict(bundleDirectory=tiny_bundle.directory)


@pytest.mark.parametrize("name", ["MelBands", "FrameCutter", "TensorflowInputMusiCNN", "MonoLoader", "AudioLoader"])
def test_documentation_is_laid_out_as_essentias(name: str) -> None:
    """From the structure of Essentia's own algorithms we render its own documentation, letter by letter."""
    algorithm = getattr(essentia_standard(), name)
    assert render(algorithm.__struct__) == algorithm.__doc__


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_describes_itself_completely(algorithm: type[Algorithm]) -> None:
    """Structure, documentation and names agree, in the form of Essentia's own structures."""
    struct, model = algorithm.__struct__, essentia_standard().MelBands.__struct__
    assert set(struct) == set(model)
    assert struct["name"] == algorithm.__name__
    assert algorithm.__doc__ == render(struct)
    for kind in ("inputs", "outputs", "parameters"):
        for item in struct[kind]:
            assert set(item) == set(model[kind][0])
            assert all(isinstance(value, str) for value in item.values())
            assert item["name"] in algorithm.__doc__
    assert [p["name"] for p in struct["parameters"]] == sorted(p["name"] for p in struct["parameters"])


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
def test_an_instance_answers_as_essentias_do(algorithm: type[Algorithm]) -> None:
    """Name, inputs, outputs and parameters can be asked of an instance, and `reset` leaves it usable."""
    instance = algorithm()
    assert instance.name() == algorithm.__name__
    assert (instance.inputNames(), instance.outputNames()) == (["frame"], ["bands"])
    assert instance.parameterNames() == ["bundleDirectory", "preset"]
    assert instance.paramValue("preset") == "five-seconds"
    assert instance.getStruct() is algorithm.__struct__
    assert instance.getDoc() == algorithm.__doc__
    instance.reset()
    with pytest.raises(SettingsError, match="not a parameter"):
        instance.paramValue("frameSize")


@pytest.mark.parametrize(("algorithm", "name"), [(SceneInputMel, "mel"), (SceneInputGammatone, "gammatone")])
@pytest.mark.parametrize("preset", ["five-seconds", "paper"])
def test_short_time_bands_are_the_plugins(algorithm: type[Algorithm], name: str, preset: str) -> None:
    """Frame by frame, as Essentia's FrameGenerator cuts them, the bands are those of a whole window."""
    settings = FrontEndSettings.preset(preset)
    samples = noise(settings.window_length_samples)
    expected = getattr(FrontEnd(settings).window_spectra(samples), name)
    frames = essentia_standard().FrameGenerator(
        samples,
        frameSize=4096,
        hopSize=settings.hop_size_samples,
        startFromZero=True,
        validFrameThresholdRatio=1,
    )
    compute = algorithm(preset=preset)
    bands = np.stack([compute(frame) for frame in frames])
    assert bands.dtype == np.float32
    np.testing.assert_allclose(bands, expected, atol=1e-4)


@pytest.mark.parametrize(("preset", "std_db", "max_db"), [("five-seconds", 0.02, 0.5), ("paper", 0.3, 6.0)])
def test_constant_q_bands_are_the_plugins(preset: str, std_db: float, max_db: float) -> None:
    """The frame around a frame has its bands; where a hop forces the window to round centres, nearly."""
    settings = FrontEndSettings.preset(preset)
    samples = noise(settings.window_length_samples)
    expected = FrontEnd(settings).cqt(samples)
    compute = SceneInputCQT(preset=preset)
    half = compute.frame_size_samples // 2
    padded = np.pad(samples, half)
    picked = np.array([0, 1, 17, 70, 100, 135])
    starts = picked * settings.hop_size_samples + 2048
    bands = np.stack([compute(padded[start : start + 2 * half]) for start in starts])
    difference_db = (bands - expected[picked]) * 10.0 / np.log(10.0)
    assert difference_db.std() < std_db
    assert np.abs(difference_db).max() < max_db


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
@pytest.mark.parametrize("frame", [np.zeros(100), np.zeros((2, 4096)), np.zeros(0)])
def test_a_frame_of_another_size_is_refused(algorithm: type[Algorithm], frame: NDArray[np.float64]) -> None:
    """The message says which size was expected."""
    with pytest.raises(AudioError, match=r"takes frames of \d+ samples"):
        algorithm()(frame)


def test_predictions_are_the_plugins(predict: ScenePredict, tiny_bundle: Bundle) -> None:
    """Every window of the signal has the scores that the classifier gives it."""
    samples = noise(LENGTH + 3 * STEP + 999)
    predictions = predict(samples)
    classifier, grid = SceneClassifier(tiny_bundle), WindowGrid(44_100, SETTINGS)
    windows = [grid.window(k, samples[k * STEP : k * STEP + LENGTH]) for k in range(4)]
    expected = np.stack([classifier.classify(window).scores for window in windows])
    assert (predictions.dtype, predictions.shape) == (np.float32, (4, len(predict.labels)))
    np.testing.assert_allclose(predictions, expected, atol=1e-5)
    np.testing.assert_allclose(predictions.sum(axis=1), 1.0, atol=1e-6)


def test_a_networks_own_scores(tiny_bundle: Bundle, predict: ScenePredict) -> None:
    """`output` picks one network; the product of the three, renormalised, is the default."""
    samples = noise(LENGTH)
    scores = [ScenePredict(bundleDirectory=tiny_bundle.directory, output=name)(samples) for name in NETWORK_NAMES]
    product = np.prod(np.stack(scores).astype(np.float64), axis=0)
    np.testing.assert_allclose(predict(samples), product / product.sum(), atol=1e-5)
    assert not np.array_equal(scores[0], scores[1])


@pytest.mark.parametrize(
    ("hop_frames", "extra_samples", "last", "rows"),
    [
        (-1, 0, "discard", 1),
        (-1, STEP - 1, "discard", 1),
        (-1, STEP, "discard", 2),
        (-1, STEP, "repeat", 2),
        (-1, STEP + 1, "repeat", 3),
        (0, 128 * HOP, "discard", 2),
        (10, 25 * HOP, "discard", 3),
        (10, 25 * HOP, "repeat", 4),
        (200, 150 * HOP, "discard", 1),
        (200, 150 * HOP, "repeat", 2),
        (-1, -1, "discard", 0),
        (-1, -1, "repeat", 1),
        (-1, -LENGTH, "repeat", 0),
    ],
)
def test_patches_cover_the_signal(
    tiny_bundle: Bundle, hop_frames: int, extra_samples: int, last: str, rows: int
) -> None:
    """Hop and last-patch mode mean what they mean in Essentia; a signal too short or empty gives no row by default."""
    predict = ScenePredict(bundleDirectory=tiny_bundle.directory, patchHopSize=hop_frames, lastPatchMode=last)
    assert predict(noise(LENGTH + extra_samples)).shape == (rows, len(predict.labels))


def test_the_last_patch_repeats_what_is_left(tiny_bundle: Bundle, predict: ScenePredict) -> None:
    """With `repeat`, the samples after the last window's beginning fill one more window again and again."""
    samples = noise(LENGTH + 5_000)
    repeated = ScenePredict(bundleDirectory=tiny_bundle.directory, lastPatchMode="repeat")(samples)
    np.testing.assert_allclose(repeated[1], predict(np.resize(samples[STEP:], LENGTH))[0], atol=1e-5)


@pytest.mark.parametrize("signal", [np.zeros((2, LENGTH)), np.full(LENGTH, np.nan)])
def test_a_signal_that_cannot_be_used_is_refused(predict: ScenePredict, signal: NDArray[np.float64]) -> None:
    """Stereo and samples that are not numbers are errors."""
    with pytest.raises(AudioError):
        predict(signal)


@pytest.mark.parametrize(
    "parameters",
    [
        {"lastPatchMode": "zeros"},
        {"output": "model/Softmax"},
        {"patchHopSize": -2},
        {"patchHopSize": 1.5},
        {"patchHopSize": True},
        {"patchHopSize": "64"},
        {"bundleDirectory": 3},
        {"graphFilename": "x.pb"},
    ],
)
def test_parameters_are_checked(tiny_bundle: Bundle, parameters: dict[str, object]) -> None:
    """An unknown parameter, another type or a value outside the range is refused, and the message names it."""
    name = next(iter(parameters))
    with pytest.raises(SettingsError, match=name):
        ScenePredict(**{"bundleDirectory": tiny_bundle.directory, **parameters})


def test_a_refused_configuration_changes_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """After a wrong parameter or a missing bundle the algorithm works as it was configured before."""
    predict = ScenePredict(bundleDirectory=tiny_bundle.directory, output="mel")
    expected = predict(noise(LENGTH))
    with pytest.raises(BundleError):
        predict.configure(bundleDirectory=tmp_path / "nothing", output="cqt")
    with pytest.raises(SettingsError):
        predict.configure(output="nothing")
    assert predict.paramValue("output") == "mel"
    np.testing.assert_array_equal(predict(noise(LENGTH)), expected)


def test_configure_sets_what_is_not_given_to_its_default(tiny_bundle: Bundle) -> None:
    """Configuring again starts from the defaults, as in Essentia."""
    predict = ScenePredict(bundleDirectory=tiny_bundle.directory, output="mel")
    predict.configure(bundleDirectory=tiny_bundle.directory)
    assert predict.paramValue("output") == "scores"


def test_inputs_take_the_settings_of_a_bundle(
    tiny_manifest: dict[str, Any], tiny_networks: dict[str, bytes], tmp_path: Path
) -> None:
    """With `bundleDirectory` the bands are those the bundle's networks were trained on, not the default's."""
    settings = FrontEndSettings(min_frequency_hz=300.0)
    write_bundle(tmp_path / "high", tiny_manifest | {"front_end": settings.to_dict()}, tiny_networks)
    frame = noise(4096)
    bands = SceneInputMel(bundleDirectory=tmp_path / "high")(frame)
    np.testing.assert_array_equal(bands, FrontEnd(settings).stft_bands(frame)[0].ravel())
    assert np.abs(bands - SceneInputMel()(frame)).max() > 1.0


@pytest.mark.parametrize(
    ("value", "text", "inside"),
    [
        (0.0, "(0,inf)", False),
        (1e-9, "(0,inf)", True),
        (0, "[0,1]", True),
        (1, "[0,1)", False),
        (float("inf"), "[0,inf)", False),
        (float("nan"), "[0,1]", False),
        (-1, "[-1,inf)", True),
        ("repeat", "{discard,repeat}", True),
        ("Repeat", "{discard,repeat}", False),
        ("repeat", "[0,1]", False),
        (True, "{true,false}", True),
        ("anything", "", True),
    ],
)
def test_ranges_are_read_as_essentia_writes_them(value: object, text: str, *, inside: bool) -> None:
    """Open and closed intervals, sets, and no range at all."""
    assert is_in_range(value, text) is inside


@pytest.mark.parametrize("text", ["0..1", "[0,1", "[0,1,2]", "{a,b)"])
def test_a_range_that_cannot_be_read_is_an_error(text: str) -> None:
    """A typing error in a structure does not pass as "anything"."""
    with pytest.raises(SettingsError, match="expected a range"):
        is_in_range(0.5, text)


def test_the_algorithms_can_stand_beside_essentias() -> None:
    """They are put into any module that is given, under their own names."""
    module = types.ModuleType("anything")
    create_python_algorithms(module)
    assert {name for name in vars(module) if not name.startswith("__")} == {a.__name__ for a in ALGORITHMS}


def code_blocks(markdown: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", markdown.read_text(encoding="utf-8"), re.DOTALL)


TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial-essentia.md"


@pytest.mark.parametrize("block", code_blocks(TUTORIAL))
def test_the_tutorial_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block of the tutorial runs as it is printed, on a real file, and says something."""
    import soundfile

    soundfile.write(tmp_path / "street.wav", np.stack([noise(300_000)] * 2, axis=1), 48_000)
    monkeypatch.chdir(tmp_path)
    essentia_standard()
    exec(compile(block, "tutorial", "exec"), {})
    assert capsys.readouterr().out


def test_the_tutorial_takes_ten_lines() -> None:
    """From MonoLoader to a printed scene in ten lines or fewer."""
    lines = [line for line in code_blocks(TUTORIAL)[0].splitlines() if line.strip()]
    assert "MonoLoader" in lines[0]
    assert len(lines) <= 10
