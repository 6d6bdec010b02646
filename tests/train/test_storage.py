"""What is counted is what is stored, and what is stored is what is served."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from soundscene_train import graphs
from soundscene_train.assessment.cost import nonzero_bytes
from soundscene_train.errors import TrainingError
from soundscene_train.merging import MergedNetwork, merge
from soundscene_train.network import NetworkSettings
from soundscene_train.recipe import StorageSettings
from soundscene_train.recipe_files import load_recipe
from soundscene_train.storage import pack, prune, quantise, store_in_model, unpack
from tests.train.helpers import lively_model
from tests.train.test_merging import SETTINGS, bordered_patches
from tests.train.test_recipe_files import EXPERIMENTS

BITS = [32, 8, 6, 5, 4, 2]


def all_arrays(network: MergedNetwork) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    found = [network.dense_kernel, network.dense_bias]
    for block in network.blocks:
        found += [*block.kernels, block.bias, *(block.affine or ())]
    return found if network.peak_signs is None else [*found, network.peak_signs]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_unpacked_and_packed_again_is_the_same(settings: NetworkSettings, bits: int) -> None:
    """Storing what was stored changes no bit; 32 bits change nothing at all, and signs survive."""
    model = lively_model(settings)
    gamma = model.get_layer("block6_norm_out").gamma
    gamma.assign(gamma.numpy() * np.asarray([1, -1] * (gamma.shape[0] // 2), np.float32))
    network = merge(model, settings)
    content = pack(network, bits)
    stored = unpack(content, network, bits)
    assert pack(stored, bits) == content
    if bits == 32:
        for before, after in zip(all_arrays(network), all_arrays(stored), strict=True):
            np.testing.assert_array_equal(before, after)


@given(
    arrays.arrays(np.float32, (3, 5, 4), elements=st.floats(-1e4, 1e4, width=32)),
    st.integers(2, 8),
    st.integers(-30, 3),
)
def test_a_weight_moves_by_half_a_step_at_most(
    kernel: np.ndarray[tuple[int, ...], np.dtype[np.float32]], bits: int, exponent: int
) -> None:
    """Each weight is a whole number of its output channel's steps, the nearest, exactly as computed in float64.

    The largest of a channel takes the highest number there is: no step is coarser than the bits allow.
    """
    kernel = np.asarray(kernel * 2.0**exponent, np.float32)
    numbers, scale = quantise(kernel, bits)
    highest = np.abs(numbers.astype(int)).max(axis=(0, 1))
    assert highest.max() <= 2 ** (bits - 1) - 1
    assert (highest[np.abs(kernel).max(axis=(0, 1)) > 1e-29] == 2 ** (bits - 1) - 1).all()
    weights = np.asarray(numbers * scale, np.float32)
    np.testing.assert_array_equal(weights, numbers.astype(np.float64) * scale.astype(np.float64))
    assert (np.abs(weights - kernel.astype(np.float64)) <= 0.5001 * scale).all()


@pytest.mark.parametrize("storage", [StorageSettings(8, 0.5), StorageSettings(4)])
@pytest.mark.parametrize("settings", SETTINGS)
def test_stored_trained_and_served_networks_agree(settings: NetworkSettings, storage: StorageSettings) -> None:
    """Model, LiteRT file and frozen graph of a network in few bits give the same scores to 1e-5, unlike the trained."""
    bits = storage.weight_bits
    model = lively_model(settings)
    patches = bordered_patches()
    trained = np.asarray(model(patches, training=False))
    store_in_model(model, settings, storage)
    expected = np.asarray(model(patches, training=False))
    network = merge(model, settings)
    network = unpack(pack(network, bits), network, bits)
    assert np.abs(expected - trained).max() > 1e-5, "few bits change something"
    prepared = patches * network.channel_scale + network.channel_offset
    served = graphs.run_litert(graphs.litert_model(network, 32, 24), prepared, trained.shape[1])
    np.testing.assert_allclose(served, expected, atol=1e-5)
    frozen = graphs.run_frozen_graph(graphs.frozen_graph(network, 32, 24), prepared)
    np.testing.assert_allclose(frozen, expected, atol=1e-5)


def test_the_bytes_are_those_of_the_paper_and_of_the_strong_recipe() -> None:
    """The paper's network takes 43,688 bytes; three strong ones in 8 bits fit 128,000, counted number by number."""
    paper = NetworkSettings()
    assert len(pack(merge(lively_model(paper, labels=10), paper), 32)) == 4 * 10_922
    recipe = load_recipe(str(EXPERIMENTS / "strong.toml"))
    assert recipe.storage.weight_bits == 8
    network = merge(lively_model(recipe.network, labels=10), recipe.network)
    content = pack(network, 8)
    kernels = [network.dense_kernel, *(kernel for block in network.blocks for kernel in block.kernels)]
    weights, scales = sum(kernel.size for kernel in kernels), sum(kernel.shape[-1] for kernel in kernels)
    signs = 128 // 8
    assert len(content) == weights + 4 * (network.parameter_count - weights + scales) + signs
    assert 3 * len(content) <= 128_000
    assert nonzero_bytes(unpack(content, network, 8), 8) <= len(content)


def test_the_smallest_weights_go_first() -> None:
    """Half of each convolution's weights become zero, none larger than what stays; nothing else changes."""
    settings = NetworkSettings((8,) * 6)
    model = lively_model(settings)
    before = [np.asarray(variable).copy() for variable in model.weights]
    store_in_model(model, settings, StorageSettings(32, 0.5))
    changed = 0
    for variable, old in zip(model.weights, before, strict=True):
        new = np.asarray(variable).copy()
        if new.ndim != 4:
            np.testing.assert_array_equal(new, old)
            continue
        gone = (new == 0.0) & (old != 0.0)
        assert gone.sum() == new.size // 2
        np.testing.assert_array_equal(new[~gone], old[~gone])
        assert np.abs(old[gone]).max() <= np.abs(old[~gone]).min()
        changed += 1
    assert changed == 1 + 5 * 4


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_pruning_takes_at_least_its_share(
    kernel: np.ndarray[tuple[int, ...], np.dtype[np.float32]], share: float
) -> None:
    """The share is gone, whole magnitudes at a time, and pruned again nothing changes."""
    pruned = prune(kernel, share)
    assert (pruned == 0.0).sum() >= int(share * kernel.size)
    kept = pruned != 0.0
    np.testing.assert_array_equal(pruned[kept], kernel[kept])
    assert not set(np.abs(kernel[kept])) & set(np.abs(kernel[~kept]))
    np.testing.assert_array_equal(prune(pruned, share), pruned)


@pytest.mark.parametrize("change", ["short", "long"])
def test_weights_of_another_network_are_refused(change: str) -> None:
    """Too few bytes and too many are said, not read."""
    settings = NetworkSettings((8,) * 6)
    network = merge(lively_model(settings), settings)
    content = pack(network, 8)
    content = content[:-1] if change == "short" else content + b"\0"
    with pytest.raises(TrainingError, match=change):
        unpack(content, network, 8)


def test_a_channel_of_zeros_stays_zero() -> None:
    """A kernel that is nothing has a scale all the same, and a frozen copy of the network is left alone."""
    settings = NetworkSettings((8,) * 6)
    network = merge(lively_model(settings), settings)
    network = dataclasses.replace(network, dense_kernel=np.zeros_like(network.dense_kernel))
    assert not unpack(pack(network, 4), network, 4).dense_kernel.any()


def test_a_channel_that_says_nothing_is_stored_as_saying_nothing() -> None:
    """Where training has turned a channel of the last norm off, storing leaves every weight of the model a number."""
    settings = NetworkSettings((8,) * 6)
    model = lively_model(settings)
    gamma = model.get_layer("block6_norm_out").gamma
    gamma.assign(gamma.numpy() * np.asarray([0, 1] * 4, np.float32))
    patches = bordered_patches()
    before = np.asarray(model(patches, training=False))
    store_in_model(model, settings, StorageSettings(8))
    np.testing.assert_allclose(np.asarray(model(patches, training=False)), before, atol=0.02)
