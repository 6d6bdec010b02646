from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from soundscene.errors import SettingsError
from soundscene.fusion import RULES, TEMPERATURES, Calibration, FusionSettings, decide

Scores = NDArray[np.float64]

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 12))
weights = shapes.flatmap(lambda shape: npst.arrays(np.float64, shape, elements=st.floats(1e-3, 1.0)))
scores = weights.map(lambda array: array / array.sum(axis=-1, keepdims=True))
rules = st.sampled_from(RULES)


def test_product_is_equation_3_and_average_is_the_mean() -> None:
    """Both rules give the value worked out by hand."""
    networks = np.array([[[0.5, 0.3, 0.2], [0.7, 0.1, 0.2]], [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]])
    # Means over patches: (0.6, 0.2, 0.2) and (0.2, 0.5, 0.3); products: 0.12, 0.10, 0.06.
    assert decide(networks, "product") == pytest.approx([0.12 / 0.28, 0.10 / 0.28, 0.06 / 0.28])
    assert decide(networks, "average") == pytest.approx([0.4, 0.35, 0.25])


@given(scores, rules)
def test_a_decision_is_a_distribution(networks: Scores, rule: str) -> None:
    """Scores lie in [0, 1] and sum to 1."""
    decided = decide(networks, rule)
    assert decided.dtype == np.float64
    assert decided.min() >= 0.0
    assert decided.sum() == pytest.approx(1.0)


@given(scores)
def test_normalising_leaves_the_ranking_of_the_plain_product(networks: Scores) -> None:
    """The winner is the winner of equation 3 as printed."""
    plain = networks.mean(axis=1).prod(axis=0)
    decided = decide(networks, "product")
    assert plain[decided.argmax()] == pytest.approx(plain.max())
    assert decided == pytest.approx(plain / plain.sum())


@given(scores, rules, st.randoms(use_true_random=False))
def test_the_order_of_networks_and_patches_does_not_matter(networks: Scores, rule: str, random: Any) -> None:
    """Any permutation of networks and of patches gives the same decision."""
    order, patches = list(range(networks.shape[0])), list(range(networks.shape[1]))
    random.shuffle(order)
    random.shuffle(patches)
    assert decide(networks[order][:, patches], rule) == pytest.approx(decide(networks, rule))


@given(scores, rules, st.integers(2, 4))
def test_repeating_the_same_patches_changes_nothing(networks: Scores, rule: str, times: int) -> None:
    """A decision depends on the mean over patches, not on how many there are."""
    assert decide(np.tile(networks, (1, times, 1)), rule) == pytest.approx(decide(networks, rule))


@pytest.mark.parametrize("rule", RULES)
def test_zeros_never_become_nan(rule: str) -> None:
    """Networks that exclude every label between them still give a distribution."""
    decided = decide([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], rule)
    assert decided == pytest.approx([0.5, 0.5, 0.0])


def test_many_networks_do_not_underflow() -> None:
    """A product of five hundred small scores keeps its winner."""
    networks = np.tile([[[0.004, 0.002] + [0.001] * 4]], (500, 1, 1))
    assert decide(networks).argmax() == 0
    assert decide(networks)[0] == pytest.approx(1.0)


@given(scores, rules, st.floats(*TEMPERATURES))
def test_a_temperature_divides_the_logarithms(networks: Scores, rule: str, temperature: float) -> None:
    """The decision is a distribution with the same ranking, its odds the root of those without a temperature."""
    plain, decided = decide(networks, rule), decide(networks, rule, temperature)
    assert decided.sum() == pytest.approx(1.0)
    first, last = plain.argmax(), plain.argmin()
    assert decided[first] == pytest.approx(decided.max())
    ratio = np.log(plain[first]) - np.log(plain[last])
    if ratio / temperature < 700.0:
        assert np.log(decided[first]) - np.log(decided[last]) == pytest.approx(ratio / temperature, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, 21.0, float("nan"), True, "2"])
def test_temperatures_outside_their_range_are_refused(bad: Any) -> None:
    """Neither a calibration nor a decision takes one."""
    with pytest.raises(SettingsError, match="temperature must lie in"):
        Calibration(bad, "clips")
    with pytest.raises(SettingsError, match="temperature must lie in"):
        decide(np.full((1, 1, 2), 0.5), "product", bad)


def test_a_calibration_says_what_it_was_fitted_on() -> None:
    """It comes back from its JSON, and is refused without its origin."""
    calibration = Calibration(2.64, "320 clips")
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    with pytest.raises(SettingsError, match="fitted_on"):
        Calibration(2.64, " ")
    with pytest.raises(SettingsError, match="exactly"):
        Calibration.from_dict({"temperature": 2.64})


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), np.zeros((3, 0, 4)), np.zeros(())])
def test_arrays_of_another_shape_are_refused(bad: Scores) -> None:
    """Wrong dimensions and empty axes are errors, not NaN."""
    with pytest.raises(SettingsError, match="networks, patches, labels"):
        decide(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"rule": "vote"},
        {"short_clip": "loop"},
        {"smoothing_windows": 0},
        {"smoothing_windows": 1.5},
        {"unsure_below": 1.0},
        {"unsure_below": float("nan")},
        {"unsure_below": "low"},
    ],
)
def test_settings_outside_their_range_are_refused(bad: dict[str, Any]) -> None:
    """No invalid fusion settings can exist."""
    with pytest.raises(SettingsError, match=next(iter(bad))):
        FusionSettings(**bad)


def test_settings_survive_json_and_refuse_unknown_keys() -> None:
    """A round trip keeps every field; another key is an error."""
    settings = FusionSettings("average", 3, "silence", 0.25)
    assert FusionSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(SettingsError, match="exactly the keys"):
        FusionSettings.from_dict({**settings.to_dict(), "mood": 1})
