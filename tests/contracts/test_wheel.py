"""What users install: the wheel, not the checkout."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("tensorflow", "keras", "kafka", "prometheus_client", "librosa", "pytest")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout and with nothing of ours on the path; return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    outcome = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("soundscene-*.whl")
    return built


@pytest.fixture(scope="module")
def base_install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment that holds the wheel without extras."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder / "venv", with_pip=True)
    run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "venv" / "bin"


def test_the_wheel_holds_three_packages_and_their_data(wheel: Path) -> None:
    """The wheel ships the demo bundle, the schemas, the licence and type markers, and no tests or tools."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"soundscene", "soundscene_worker", "soundscene_train"}
    assert {f"{package}/py.typed" for package in tops} <= set(names)
    for suffix in ("/manifest.json", "/mel.tflite", "/gammatone.tflite", "/cqt.tflite"):
        assert any(name.startswith("soundscene/bundles/") and name.endswith(suffix) for name in names), suffix
    schemas = [name for name in names if name.startswith("soundscene_worker/messages/schemas/")]
    assert any(name.endswith(".json") for name in schemas)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test" in Path(name).name or "__pycache__" in name]


def test_no_heavy_library_comes_with_the_base_install(base_install: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without extras neither TensorFlow nor Kafka nor Prometheus is installed; the installed size is printed."""
    script = f"import importlib.util as u, json; print(json.dumps([n for n in {ABSENT!r} if u.find_spec(n)]))"
    assert json.loads(run(base_install / "python", "-c", script, cwd=base_install)) == []
    sizes: dict[str, int] = {}
    site = next(base_install.parent.glob("lib/python3*/site-packages"))
    for path in site.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            top = path.relative_to(site).parts[0].removesuffix(".libs")
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
    sizes.pop("pip", None)
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    with capsys.disabled():
        print(f"\nbase install: {sum(sizes.values()) / 1e6:.0f} MB; largest: ", end="")
        print(", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in largest))


def test_importing_is_instant_and_silent(base_install: Path) -> None:
    """Importing each package prints nothing and loads none of the heavy libraries."""
    heavy = ("essentia", "ai_edge_litert", "matplotlib", "scipy.signal", "soundfile", *ABSENT)
    script = (
        "import soundscene, soundscene_worker, soundscene_train, sys;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert run(base_install / "python", "-c", script, cwd=base_install) == "[]\n"


def test_the_base_install_classifies_a_file(base_install: Path, tmp_path: Path) -> None:
    """`soundscene analyze` works on a wav file with the base install and the shipped bundle alone."""
    generator = np.random.default_rng(1)
    soundfile.write(tmp_path / "noise.wav", 0.1 * generator.standard_normal(12 * 44100), 44100)
    answer = json.loads(run(base_install / "soundscene", "analyze", "noise.wav", "--json", cwd=tmp_path))
    assert answer["duration_seconds"] == pytest.approx(12.0)
    assert len(answer["windows"]) == 1 + (12 * 44100 - 220096) // 102400
    assert sum(answer["summary"]["scores"].values()) == pytest.approx(1.0, abs=1e-6)
    assert answer["summary"]["scene"] == max(answer["summary"]["scores"], key=answer["summary"]["scores"].get)


@pytest.mark.parametrize(
    ("program", "extra"),
    [
        ("soundscene-worker", "worker"),
        ("soundscene-sensor", "worker"),
        ("soundscene-audit", "worker"),
        ("soundscene-train", "train"),
    ],
)
def test_programs_say_which_extra_they_need(base_install: Path, tmp_path: Path, program: str, extra: str) -> None:
    """Started without its extra, a program ends with one line that names the extra to install."""
    options = {
        "soundscene-worker": ["--bootstrap-servers", "127.0.0.1:1", "--group-id", "g"],
        "soundscene-train": ["run", "--quick"],
    }
    command = [str(base_install / program), *options.get(program, [])]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2
    assert f"soundscene[{extra}]" in outcome.stderr
    assert "Traceback" not in outcome.stderr
