"""What is wrong on a command line is said in one line, and nothing on it is passed over."""

import pytest

from soundscene_train.arguments import make_parser, parse


@pytest.mark.parametrize("gain_db", ["200", "-101", "nan", "inf", "loud"])
def test_a_gain_that_leaves_nothing_to_hear_is_refused(gain_db: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Gains are numbers within 100 dB of the recorded level."""
    assert make_parser().parse_args(["evaluate", "--run", "run", "--gains", "-20", "20"]).gains == [-20.0, 20.0]
    with pytest.raises(SystemExit):
        make_parser().parse_args(["evaluate", "--run", "run", f"--gains={gain_db}"])
    assert "argument --gains" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("prepare --dataset tau", "invalid choice: 'tau' (choose from 'esc10', 'tau2020'"),
        ("prepare esc10 --dataset folder", "argument --dataset: not allowed with argument DATASET"),
        ("reproduce esc10", "argument table: invalid choice: 'esc10'"),
        ("fit --epochs none", "argument --epochs: must be a whole number from 1 up, got 'none'"),
        ("fit --epoches 3", "unrecognized arguments: --epoches"),
        ("trane", "argument STAGE: invalid choice: 'trane'"),
    ],
)
def test_a_word_that_is_not_known_gets_one_line(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong on the command line stands alone on standard error, and leads to the help."""
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(words.split())
    line, *more = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert expected in line
    assert "--help" in line
    assert not more


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "evaluate --run R --test-parts 5",
            "evaluate: --run takes no --test-parts: a run knows what it was trained on",
        ),
        ("evaluate --run R --out O --dataset esc10 --seed 3", "--run takes no --dataset, --out, --seed"),
        ("evaluate --bundle B --gains 20", "evaluate: --bundle takes no --gains: a bundle is tested as it is"),
        ("cross-validate esc10 --train-parts 1 2 --test-parts 5", "cross-validate takes no --test-parts: each of its"),
        ("calibrate --bundle B --out C --recipe strong", "calibrate: --bundle takes no --recipe"),
        (
            "calibrate --bundle B --out C --test-parts 5 --skip-unreadable",
            "calibrate without --dataset takes no --skip-unreadable, --test-parts: the temperature is that of",
        ),
    ],
)
def test_an_option_that_would_not_be_heeded_is_refused(
    words: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody believes to have tested part 5 when the run has tested what its plan says."""
    with pytest.raises(SystemExit) as stopped:
        parse(words.split())
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
    parse(["evaluate", "--run", "R", "--gains", "20", "--responses", "IR", "--jobs", "2"])
    parse(["evaluate", "--bundle", "B", "--out", "O", "--dataset", "esc10", "--data-dir", "D", "--test-parts", "5"])
    parse(["calibrate", "--bundle", "B", "--out", "C", "--dataset", "esc10", "--data-dir", "D", "--test-parts", "5"])
