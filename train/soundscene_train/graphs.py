"""A merged network as files: LiteRT for serving, a frozen TensorFlow graph and its description for Essentia."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.networks import Network
from soundscene.settings import FrontEndSettings
from soundscene_train.merging import MergedNetwork
from soundscene_train.network import INPUT_CHANNELS
from soundscene_train.plain_graph import build_graph
from soundscene_train.runtime import start_tensorflow
from soundscene_train.serving_graph import build_serving_graph

__all__ = ["INPUT_NODE", "OUTPUT_NODE", "describe", "frozen_graph", "litert_model", "run_frozen_graph", "run_litert"]

INPUT_NODE: Final = "model/Placeholder"
OUTPUT_NODE: Final = "model/Softmax"
"""Node names that Essentia's models use."""

Array = NDArray[np.float32]


def litert_model(network: MergedNetwork, bands: int, frames: int) -> bytes:
    """Convert to a `.tflite` file of float32: one patch (1, bands, frames, 3) in, (1, labels) out."""
    tf = start_tensorflow()

    holder = tf.Module()  # the converter wants an object that owns the function
    holder.score = tf.function(lambda patch: build_serving_graph(network, patch), autograph=False)
    concrete = holder.score.get_concrete_function(tf.TensorSpec((1, bands, frames, INPUT_CHANNELS), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    return bytes(converter.convert())


def frozen_graph(network: MergedNetwork, bands: int, frames: int) -> bytes:
    """Serialise a `GraphDef` of constants and old, plain operations, as Essentia's TensorFlow 2.5 reads it."""
    tf = start_tensorflow()
    with tf.Graph().as_default() as graph, tf.name_scope("model"):
        patches = tf.compat.v1.placeholder(tf.float32, (None, bands, frames, INPUT_CHANNELS), name="Placeholder")
        build_graph(network, patches)
    definition = graph.as_graph_def()
    for node in definition.node:
        for attribute in [key for key in node.attr if key.startswith("_")]:
            del node.attr[attribute]
    return bytes(definition.SerializeToString(deterministic=True))


def run_litert(content: bytes, patches: Array, label_count: int) -> Array:
    """Score patches [shape=(n, bands, frames, 3)] with a `.tflite` file, by the code that serves it."""
    bands, frames, channels = patches.shape[1:]
    network = Network("exported", content, (bands, frames, channels), label_count)
    return np.stack([network.score(patch) for patch in patches])


def run_frozen_graph(content: bytes, patches: Array) -> Array:
    """Score patches [shape=(n, bands, frames, 3)] with a frozen graph."""
    tf = start_tensorflow()
    definition = tf.compat.v1.GraphDef.FromString(content)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return np.asarray(session.run(f"{OUTPUT_NODE}:0", {f"{INPUT_NODE}:0": patches}))


def describe(
    network: str,
    version: str,
    labels: Sequence[str],
    front_end: FrontEndSettings,
    dataset: Mapping[str, Any],
    *,
    release_date: str,
) -> bytes:
    """Describe a frozen graph with the fields of Essentia's model collection.

    Parameters
    ----------
    network : str
        One of `NETWORK_NAMES`.
    version : str
        The bundle's.
    labels : sequence of str
        In the order of the outputs.
    front_end : FrontEndSettings
        Makes the input's shape and rate.
    dataset : mapping
        `name`, `citation`, `size` and `metrics` of what it was trained on.
    release_date : str
        YYYY-MM-DD.
    """
    tf = start_tensorflow()
    shape = [front_end.band_count, front_end.patch_frames, INPUT_CHANNELS]
    content = {
        "name": f"soundscene {network}",
        "type": "acoustic scene classification",
        "link": "",
        "version": version,
        "description": f"Scores of {len(labels)} classes from a {network} spectrogram with delta and delta-delta",
        "author": "the soundscene project",
        "email": "",
        "release_date": release_date,
        "framework": "tensorflow",
        "framework_version": tf.__version__,
        "classes": list(labels),
        "model_types": ["frozen_model"],
        "dataset": dict(dataset),
        "schema": {
            "inputs": [{"name": INPUT_NODE, "type": "float", "shape": shape}],
            "outputs": [
                {
                    "name": OUTPUT_NODE,
                    "type": "float",
                    "shape": [1, len(labels)],
                    "op": "Softmax",
                    "output_purpose": "predictions",
                }
            ],
        },
        "citation": "L. Pham et al., A Low-Complexity Deep Learning Framework for Acoustic Scene Classification, 2021",
        "inference": {"sample_rate": front_end.sample_rate_hz, "algorithm": "TensorflowPredict"},
    }
    return (json.dumps(content, indent=4, ensure_ascii=False) + "\n").encode()
