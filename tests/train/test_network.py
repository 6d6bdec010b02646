"""The networks of the paper's Table IV, counted as the paper counts them."""

import pytest

from soundscene.errors import SettingsError
from soundscene_train.merging import merge
from soundscene_train.network import (
    CHANNEL_RESTRICTED_WIDTHS,
    CNN7_WIDTHS,
    NetworkSettings,
    build_network,
    merged_parameter_count,
    multiply_add_count,
    table_of_rows,
)
from soundscene_train.runtime import start_tensorflow

PAPER = [
    pytest.param(NetworkSettings(CNN7_WIDTHS, decomposed=False), 288_938, 1128.66, id="CNN-7"),
    pytest.param(NetworkSettings(CHANNEL_RESTRICTED_WIDTHS, decomposed=False), 80_010, 312.54, id="CR"),
    pytest.param(NetworkSettings(CHANNEL_RESTRICTED_WIDTHS, decomposed=True), 10_922, 42.66, id="CR+DC"),
]


@pytest.mark.parametrize(("settings", "parameters", "kibibytes"), PAPER)
def test_merged_networks_have_the_papers_sizes(settings: NetworkSettings, parameters: int, kibibytes: float) -> None:
    """Merged, the three networks have the sizes that the paper prints, by formula and by counting arrays."""
    start_tensorflow()
    assert merged_parameter_count(settings, 10) == parameters
    assert merge(build_network(settings, 10), settings).parameter_count == parameters
    assert 4 * parameters / 1024 == pytest.approx(kibibytes, abs=0.005)


def test_three_networks_against_both_definitions_of_the_limit() -> None:
    """Three default networks of float32 fit 128 KiB, and miss 128,000 bytes by 3,064."""
    size_bytes = 3 * 4 * merged_parameter_count(NetworkSettings(), 10)
    assert size_bytes == 131_064 <= 128 * 1024
    assert size_bytes - 128_000 == 3_064


def test_multiply_adds_follow_the_pooling() -> None:
    """A patch costs 28.2 million multiply-adds, and half of it when pooling comes early."""
    late, early = NetworkSettings(), NetworkSettings(pool_after=(1, 2, 4))
    assert multiply_add_count(late, 10) == 28_246_656
    assert multiply_add_count(early, 10) < 0.5 * multiply_add_count(late, 10)
    assert merged_parameter_count(early, 10) == merged_parameter_count(late, 10)


def test_model_as_drawn_has_table_ones_layers() -> None:
    """Each block of the model is norm, convolution, ReLU, norm, pooling where the row says so, dropout."""
    start_tensorflow()
    model = build_network(NetworkSettings(), 10)
    names = [layer.name for layer in model.layers]
    for number, row in enumerate(table_of_rows(NetworkSettings()), start=1):
        block = [name.removeprefix(f"block{number}_") for name in names if name.startswith(f"block{number}_")]
        assert block[0] == "norm_in"
        assert block[-4:] == ["conv", "relu", "norm_out", "dropout"] or block[-5:] == [
            "conv", "relu", "norm_out", "pool", "dropout",
        ]  # fmt: skip
        assert ("pool" in block) == row.pooled
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"widths": (16, 32)},
        {"widths": (16, 32, 32, 32, 64, 62)},
        {"widths": (0, 32, 32, 32, 64, 64)},
        {"pool_after": (6,)},
        {"dropout": 1.0},
        {"head": "max"},
    ],
)
def test_impossible_networks_are_refused(fields: dict[str, object]) -> None:
    """Settings that no network can have do not come into being."""
    with pytest.raises(SettingsError, match=r"must|needs"):
        NetworkSettings(**fields)  # type: ignore[arg-type]
