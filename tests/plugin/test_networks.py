from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene.bundle import Bundle
from soundscene.errors import BundleError, SettingsError
from soundscene.networks import Network, patch_shape
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

Patch = NDArray[np.float32]
SHAPE = patch_shape(FrontEndSettings())


def _patch(seed: int = 0) -> Patch:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_scores_are_a_distribution_and_depend_on_the_patch_alone(tiny_bundle: Bundle, name: str) -> None:
    """Scoring twice, with another patch between, gives the same softmax."""
    network = tiny_bundle.load_network(name)
    first = network.score(_patch())
    assert not np.array_equal(network.score(_patch(1)), first)
    np.testing.assert_array_equal(network.score(_patch()), first)
    assert first.shape == (4,)
    assert first.dtype == np.float32
    assert first.sum() == pytest.approx(1.0, abs=1e-6)


def test_scores_are_not_overwritten_by_the_next_patch(tiny_bundle: Bundle) -> None:
    """A result a caller keeps is a copy."""
    network = tiny_bundle.load_network("mel")
    kept = network.score(_patch())
    before = kept.copy()
    network.score(_patch(1))
    np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize(
    "bad", [_patch().astype(np.float64), _patch()[:, :64], _patch()[np.newaxis]], ids=["type", "frames", "batch"]
)
def test_another_shape_or_type_is_refused(
    tiny_bundle: Bundle, bad: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    """A patch that does not fit is an error that says what was expected."""
    with pytest.raises(SettingsError, match=r"float32 patch of shape \(128, 128, 3\)"):
        tiny_bundle.load_network("mel").score(bad)


@pytest.mark.parametrize("content", [b"", b"junk", b"junk" * 1000])
def test_content_that_is_no_network_is_refused(content: bytes) -> None:
    """Garbage is a BundleError that names the network."""
    with pytest.raises(BundleError, match="'mel' is not a readable LiteRT model"):
        Network("mel", content, SHAPE, 4)


def test_another_count_of_labels_is_refused(tiny_bundle: Bundle) -> None:
    """A network with four outputs cannot serve ten labels."""
    with pytest.raises(BundleError, match=r"output of shape \(1, 10\)"):
        Network("mel", tiny_bundle.networks["mel"], SHAPE, 10)
