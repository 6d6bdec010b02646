"""Several machines train as one does, keep one set of files, and say so when they cannot."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.processes import free_port
from soundscene_train.__main__ import main
from soundscene_train.arguments import make_parser
from soundscene_train.errors import TrainingError
from soundscene_train.fitting import Training, fit_network
from soundscene_train.machines import Machines, join, require_alone, require_same_file
from soundscene_train.plan import Plan
from soundscene_train.plan_arguments import plan_from
from soundscene_train.runtime import start_tensorflow
from tests.train.helpers import ON_JAX

ROOT = Path(__file__).parents[2]
QUICK = ["--quick", "--networks", "mel", "--engine", "keras", "--devices", "all", "--epochs", "1"]


def environment_of(index: int, count: int, port: int) -> dict[str, str]:
    return ON_JAX | {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
    }


def on_two_machines(words: Sequence[str], homes: Sequence[Path]) -> list[tuple[int, str, str]]:
    """Run a module twice side by side, in a folder each; return exit status, output and errors of both."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=home,
            env=os.environ | environment_of(index, 2, port) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, home in enumerate(homes)
    ]
    try:
        outputs = [one.communicate(timeout=250) for one in started]
    finally:
        for one in started:
            one.kill()
    return [(one.returncode, *output) for one, output in zip(started, outputs, strict=True)]


@given(st.integers(1, 8), st.integers(1, 16))
def test_machines_share_a_batch_without_overlap(count: int, own: int) -> None:
    """The machines' shares, one behind the other, are the batch."""
    rows = np.arange(count * own)
    shares = [rows[Machines(index, count).share_of(len(rows))] for index in range(count)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)


def test_there_is_one_machine_unless_keras_is_told_otherwise() -> None:
    """Without Keras's variables a process is alone; with them it knows its place."""
    assert Machines.from_environment({}) == Machines(0, 1)
    assert Machines.from_environment(environment_of(1, 3, 9)) == Machines(1, 3)
    assert Machines.from_environment(environment_of(0, 3, 9)).is_first
    assert not Machines.from_environment(environment_of(1, 3, 9)).is_first


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KERAS_DISTRIBUTION_PROCESS_ID", "3", "must be 0 to 2, below KERAS_DISTRIBUTION_NUM_PROCESSES, got 3"),
        ("KERAS_DISTRIBUTION_NUM_PROCESSES", "0", "KERAS_DISTRIBUTION_NUM_PROCESSES must be at least 1, got 0"),
        ("KERAS_DISTRIBUTION_PROCESS_ID", "first", "must be whole numbers"),
        ("KERAS_DISTRIBUTION_PROCESS_ID", "", "so KERAS_DISTRIBUTION_PROCESS_ID is needed too"),
        ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "", "so KERAS_DISTRIBUTION_JOB_ADDRESSES is needed too"),
    ],
)
def test_a_wrong_place_is_named(name: str, value: str, message: str) -> None:
    """What is missing or wrong among Keras's variables is said by its name."""
    with pytest.raises(TrainingError, match=message):
        Machines.from_environment(environment_of(0, 3, 9) | {name: value})


def test_one_machine_waits_for_nobody(tmp_path: Path) -> None:
    """A process that is alone neither connects nor compares, and may do every stage."""
    join(Machines())
    require_same_file(tmp_path / "none", Machines())
    require_alone(Machines(), "run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit --quick", "several machines train together with --engine keras --devices all only"),
        ("run --quick", "run is for one machine: train with `fit` on all 2"),
        ("cross-validate --quick", "cross-validate is for one machine"),
        ("reproduce table4 --quick", "reproduce is for one machine"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_computed(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another engine, and stages that are for one machine, end in one line, and write nothing."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment_of(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_cannot_connect_machines_is_refused() -> None:
    """TensorFlow, the backend of this process, ends in one line that names the one that can."""
    start_tensorflow().zeros(1)  # settles one thread, on which other tests of this process count
    with pytest.raises(TrainingError, match="2 machines can train together with KERAS_BACKEND=jax only"):
        join(Machines(0, 2))


@pytest.mark.slow
def test_two_machines_train_as_one_does() -> None:
    """Each takes its half of every batch, and both end at the losses and weights of a single device."""
    alone = subprocess.run(
        [sys.executable, "-m", "tests.train.shared_training", "1", "all"],
        cwd=ROOT,
        env=os.environ | ON_JAX,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    expected = json.loads(alone.stdout.splitlines()[-1])
    for status, output, errors in on_two_machines(["tests.train.shared_training", "1", "all"], [ROOT, ROOT]):
        assert status == 0, errors[-2000:]
        found = json.loads(output.splitlines()[-1])
        assert found["losses"] == pytest.approx(expected["losses"], abs=1e-5)
        assert found["weights"] == pytest.approx(expected["weights"], rel=1e-4)


def test_only_the_first_machine_writes(esc_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine trains the same epochs and leaves no file behind."""
    start_tensorflow()
    importlib.import_module("keras")  # with its usual backend, whatever the variables of several machines say
    for name, value in environment_of(1, 2, 9).items():
        monkeypatch.setenv(name, value)
    told: list[int] = []
    fit_network(Training(esc_plan, tmp_path / "run", "mel"), lambda training, done, loss: told.append(done))
    assert told == [1, 2]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_machines_that_see_different_folders_end(esc_folder: Path, tmp_path: Path) -> None:
    """A checkpoint that one of them lacks ends both with one line, and is kept."""
    data = ["--dataset", "esc10", "--data-dir", str(esc_folder), "--cache-dir", str(tmp_path / "cache")]
    words = ["fit", *data, *QUICK, "--run", "run"]
    plan, _ = plan_from(make_parser().parse_args(words), "")
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        plan.save(home / "run")
    checkpoint = homes[0] / "run" / "mel" / "checkpoint.npz"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"five epochs")
    for status, _, errors in on_two_machines(["soundscene_train", *words], homes):
        assert status == 2, errors[-2000:]
        assert "checkpoint.npz is not the same on all 2 machines" in errors.splitlines()[-1]
    assert checkpoint.read_bytes() == b"five epochs"
