"""How many threads TensorFlow has is decided once."""

from __future__ import annotations

import subprocess
import sys


def test_the_first_to_start_tensorflow_decides_its_threads() -> None:
    """A teacher that is scored before Keras trains on all cores does not take them away."""
    code = (
        "from soundscene_train.runtime import start_keras, start_tensorflow\n"
        "start_keras(); tf = start_tensorflow()\n"
        "print(tf.config.threading.get_intra_op_parallelism_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]
