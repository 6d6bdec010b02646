"""Merging batch norms changes nothing, at the border of a patch least of all."""

import numpy as np
import pytest

from soundscene_train import graphs
from soundscene_train.merging import merge
from soundscene_train.network import NetworkSettings, table_of_rows
from soundscene_train.plain_graph import build_graph
from soundscene_train.runtime import start_tensorflow
from tests.train.helpers import lively_model

SETTINGS = [
    pytest.param(NetworkSettings((8, 8, 12, 8, 8, 8)), id="decomposed"),
    pytest.param(NetworkSettings((4, 6, 4, 4, 6, 4), decomposed=False, pool_after=(1, 3)), id="plain"),
    pytest.param(NetworkSettings((8, 8, 12, 8, 8, 8), pool_after=(1, 2, 4), head="mean+max"), id="mean+max"),
]


def bordered_patches() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Patches whose energy lies at their edges, where a wrong merge shows."""
    patches = np.random.default_rng(0).standard_normal((4, 32, 24, 3)).astype(np.float32)
    patches[:, 2:-2, 2:-2] *= 0.05
    patches[0, 0] += 5.0
    patches[1, :, -1] -= 5.0
    return patches


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
def test_merged_equals_trained(settings: NetworkSettings, served: bool) -> None:
    """The merged network gives the trained one's scores to 1e-5, borders included."""
    model = lively_model(settings)
    merged = merge(model, settings)
    patches = bordered_patches()
    prepared = patches * merged.channel_scale + merged.channel_offset
    trained = np.asarray(model(patches, training=False))
    assert np.ptp(trained, axis=0).max() > 0.01
    if served:
        content = graphs.litert_model(merged, 32, 24)
        found = graphs.run_litert(content, prepared, trained.shape[1])
    else:
        found = np.asarray(build_graph(merged, start_tensorflow().constant(prepared)))
    np.testing.assert_allclose(found, trained, atol=1e-5)


def test_a_maximum_keeps_the_sign_of_its_scale() -> None:
    """Where the last norm turns a channel round, its maximum is the turned minimum in the merged network, too."""
    settings = NetworkSettings((8, 8, 12, 8, 8, 8), head="mean+max")
    model = lively_model(settings)
    gamma = model.get_layer("block6_norm_out").gamma
    gamma.assign(gamma.numpy() * np.asarray([1, -1] * 4, np.float32))
    merged = merge(model, settings)
    patches = bordered_patches()
    prepared = patches * merged.channel_scale + merged.channel_offset
    served = graphs.run_litert(graphs.litert_model(merged, 32, 24), prepared, 5)
    trained = np.asarray(model(patches, training=False))
    assert merged.peak_signs is not None
    assert np.ptp(trained, axis=0).max() > 0.01
    np.testing.assert_allclose(served, trained, atol=1e-5)
    np.testing.assert_allclose(
        graphs.run_frozen_graph(graphs.frozen_graph(merged, 32, 24), prepared), trained, atol=1e-5
    )


def test_folding_offsets_into_biases_would_be_wrong_at_the_border() -> None:
    """The tempting shortcut, a plain bias instead of an affine map, fails the same comparison by far."""
    from dataclasses import replace

    settings = NetworkSettings((4, 6, 4, 4, 6, 4), decomposed=False)
    model = lively_model(settings)
    merged = merge(model, settings)
    blocks = []
    for block in merged.blocks:
        if block.affine is None:
            blocks.append(block)
            continue
        scale, offset = block.affine
        (kernel,) = block.kernels
        bias = block.bias + np.einsum("hwio,i->o", kernel, offset)
        blocks.append(replace(block, affine=(scale, np.zeros_like(offset)), bias=bias))
    patches = bordered_patches()
    served = start_tensorflow().constant(patches * merged.channel_scale + merged.channel_offset)
    wrong = np.asarray(build_graph(replace(merged, blocks=tuple(blocks)), served))
    assert np.abs(wrong - np.asarray(model(patches, training=False))).max() > 1e-3


def test_frozen_graph_is_plain_and_equal() -> None:
    """The frozen graph has Essentia's node names, only old operations, any batch size, and the same scores."""
    tf = start_tensorflow()
    settings = NetworkSettings((8, 8, 12, 8, 8, 8))
    model = lively_model(settings)
    merged = merge(model, settings)
    content = graphs.frozen_graph(merged, 32, 24)
    nodes = {node.name: node.op for node in tf.compat.v1.GraphDef.FromString(content).node}
    assert nodes[graphs.INPUT_NODE] == "Placeholder"
    assert nodes[graphs.OUTPUT_NODE] == "Softmax"
    assert set(nodes.values()) <= {
        "Placeholder", "Const", "Mul", "AddV2", "Conv2D", "BiasAdd", "Relu", "StridedSlice", "ConcatV2", "AvgPool",
        "Mean", "MatMul", "Softmax",
    }  # fmt: skip
    patches = bordered_patches()
    for count in (1, 4):
        found = graphs.run_frozen_graph(content, patches[:count] * merged.channel_scale + merged.channel_offset)
        np.testing.assert_allclose(found, np.asarray(model(patches[:count], training=False)), atol=1e-5)


def test_exported_files_hold_little_besides_the_parameters() -> None:
    """The LiteRT file holds the parameters, zeros (branches joined, two frames at once), and its own structure."""
    settings = NetworkSettings()
    merged = merge(lively_model(settings, 10, 128, 128), settings)
    assert merged.parameter_count == 10_922
    size_bytes = len(graphs.litert_model(merged, 128, 128))
    decomposed = [row for row in table_of_rows(settings) if row.decomposed]
    joined = sum(row.inputs * row.outputs // 4 for row in decomposed)
    paired = sum((12 * 2 - 9) * row.inputs // 4 * row.outputs // 4 for row in decomposed if row.outputs <= 32)
    assert size_bytes < 4 * (10_922 + joined + paired) + 16_384
