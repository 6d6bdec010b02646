"""RESULTS.md keeps one section per benchmark."""

from pathlib import Path

from benchmarks.results import write_section


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    """Writing a section again changes that section alone."""
    path = tmp_path / "RESULTS.md"
    write_section("One", "first", path)
    write_section("Two", "second\n\n### Detail\n\nmore", path)
    write_section("Three", "third", path)
    before = path.read_text()
    assert before.startswith("# Measured\n")
    write_section("Two", "changed", path)
    after = path.read_text()
    assert after == before.replace("second\n\n### Detail\n\nmore", "changed")
    assert [line for line in after.splitlines() if line.startswith("## ")] == ["## One", "## Two", "## Three"]
