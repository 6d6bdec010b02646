"""Seconds to train one epoch of 320 clips: Keras as everyone writes it, and the step of `soundscene-train`.

    python -m benchmarks.training [--rounds 5]

Each variant is a process of its own on one core, since oneDNN and the allocator are set at its start. Rounds are
interleaved: every variant trains one epoch, then the next round begins.
"""

import argparse
import collections
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.results import machine, write_section

if TYPE_CHECKING:
    from soundscene_train.batches import TrainingWindows
    from soundscene_train.recipe import Recipe

CLIPS = 320
BATCH_SIZE = 32
LABELS = 10

Epoch = Callable[[], object]


def keras_fit() -> Epoch:
    """Table I as drawn, `compile` and `fit`, TensorFlow as it comes."""
    import keras
    import tensorflow as tf

    from soundscene_train.network import NetworkSettings, build_network

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = build_network(NetworkSettings(), LABELS)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.KLDivergence())
    patches, targets = make_patches()
    return lambda: model.fit(patches, targets, batch_size=BATCH_SIZE, verbose=0)


def keras_fit_tuned() -> Epoch:
    """The same in the process settings of `soundscene-train`: oneDNN on, memory kept."""
    from soundscene_train.runtime import start_tensorflow

    start_tensorflow()
    return keras_fit()


def fast_step() -> Epoch:
    """What `soundscene-train fit` runs, augmentation included."""
    from soundscene_train.fast_trainer import FastTrainer
    from soundscene_train.recipe_files import load_recipe

    recipe = load_recipe("demo").with_fit(epochs=1000, batch_size=BATCH_SIZE)
    trainer = FastTrainer("mel", recipe, make_material(recipe))
    return trainer.train_epoch


def batches_alone() -> Epoch:
    """The paper's recipe without a network: what even the fastest GPU waits for."""
    from soundscene_train.batches import Batches
    from soundscene_train.recipe_files import load_recipe

    recipe = load_recipe("paper").with_fit(batch_size=BATCH_SIZE)
    batches, numbers = Batches("mel", recipe, make_material(recipe)), itertools.count()
    return lambda: collections.deque(batches.epoch(next(numbers)), maxlen=0)


VARIANTS = {
    "Keras as drawn, `fit`": keras_fit,
    "the same, oneDNN on and memory kept": keras_fit_tuned,
    "`soundscene-train`": fast_step,
    "its batches, recipe `paper`, no network": batches_alone,
}


def make_patches() -> tuple[Any, Any]:
    """Random patches: time does not depend on what they hold."""
    return np.random.default_rng(0).standard_normal((CLIPS, 128, 128, 3)).astype(np.float32), make_targets()


def make_material(recipe: "Recipe") -> "TrainingWindows":
    """Random windows with targets: time does not depend on what they hold."""
    from soundscene.frontend import Standardisation
    from soundscene_train.batches import TrainingWindows

    generator = np.random.default_rng(0)
    spectra = generator.standard_normal((CLIPS, recipe.front_end.window_frames, 128)).astype(np.float32)
    return TrainingWindows(spectra, np.arange(CLIPS), make_targets(), Standardisation.identity())


def make_targets() -> Any:
    """One-hot rows."""
    return np.eye(LABELS, dtype=np.float32)[np.arange(CLIPS) % LABELS]


def serve(variant: str) -> None:
    """Train an epoch for every line on standard input and answer with its seconds."""
    epoch = VARIANTS[variant]()
    epoch()  # tracing and warm-up
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        epoch()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


def measure(rounds: int) -> dict[str, list[list[float]]]:
    """Run all variants, interleaved: variant to [wall, CPU] seconds of each round."""
    core = max(os.sched_getaffinity(0))
    children = {}
    for variant in VARIANTS:
        command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.training", "--serve", variant]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        children[variant] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        read_line(children[variant])
    seconds: dict[str, list[list[float]]] = {variant: [] for variant in VARIANTS}
    for number in range(1, rounds + 1):
        for variant, child in children.items():
            assert child.stdin is not None
            child.stdin.write("epoch\n")
            child.stdin.flush()
            seconds[variant].append(json.loads(read_line(child)))
            print(f"round {number}/{rounds}: {variant}: {seconds[variant][-1][1]:.2f} s", file=sys.stderr, flush=True)
    for child in children.values():
        child.communicate()
    return seconds


def read_line(child: "subprocess.Popen[str]") -> str:
    """Return a child's next line, or stop if it has died."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit("a variant ended early; run it alone with --serve to see why")
    return line


def table(seconds: dict[str, list[list[float]]]) -> str:
    """Format the medians and ranges."""
    ours = statistics.median(cpu for _, cpu in seconds["`soundscene-train`"])
    lines = ["| variant | CPU seconds per epoch: median (range) | against `soundscene-train` |", "|---|---:|---:|"]
    for variant, rounds in seconds.items():
        cpu = [value for _, value in rounds]
        median = statistics.median(cpu)
        lines.append(f"| {variant} | {median:.2f} ({min(cpu):.2f} to {max(cpu):.2f}) | {median / ours:.2f} |")
    count = len(next(iter(seconds.values())))
    lines += [
        "",
        f"One epoch is {CLIPS} clips of one window in batches of {BATCH_SIZE}; one network of 10,922 parameters,",
        f"float32, one core. Median of {count} interleaved rounds. The last two rows include mixup, masks and deltas,",
        "the others do not. `--engine keras` has the processor draw the same batches: no GPU can be faster than that.",
        "",
        f"{machine()}. Made by `python -m benchmarks.training --rounds {count}`.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    body = table(measure(arguments.rounds))
    print(body)
    write_section("Training", body)


if __name__ == "__main__":
    main()
