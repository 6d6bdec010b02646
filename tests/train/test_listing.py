"""However many there are, a message stays one line."""

from pathlib import Path

import pytest

from soundscene_train.listing import first_few


@pytest.mark.parametrize(
    ("names", "told"),
    [("", ""), ("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c, and 1 more"), ("abcdef", "a, b, c, and 3 more")],
)
def test_three_are_named_and_the_others_counted(names: str, told: str) -> None:
    """Nothing is passed over in silence."""
    assert first_few(names) == told


def test_what_holds_commas_is_kept_apart_by_something_else() -> None:
    """Whole sentences, and names that are no text."""
    assert first_few(map(Path, "abcde"), "; ") == "a; b; c; and 2 more"
