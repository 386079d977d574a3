"""The generated parts say what the settings are."""

import pytest

from server.config import documents, dotenv, load
from server.config.variables import VARIABLES


def test_the_example_names_every_setting_and_sets_none() -> None:
    """Copied as it is, it changes nothing."""
    text = documents.env_example()
    assert dotenv.parse(text) == ({}, [])
    for variable in VARIABLES:
        assert f"\n#{variable.name}=" in text


def test_the_example_with_every_default_taken_is_the_default() -> None:
    """Every line can be uncommented as it stands."""
    lines = documents.env_example().splitlines()
    names = tuple(f"#{variable.name}=" for variable in VARIABLES)
    taken = "\n".join(line.removeprefix("#") for line in lines if line.startswith(names))
    assert load({}, taken) == load({})


def test_the_tables_stand_between_their_marks() -> None:
    """What surrounds them is left alone, and to write them twice changes nothing."""
    readme = f"before\n{documents.BEGIN}\nobsolete\n{documents.END}\nafter\n"
    written = documents.in_readme(readme)
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "obsolete" not in written
    assert all(f"| `{variable.name}` |" in written for variable in VARIABLES)
    assert documents.in_readme(written) == written


def test_a_readme_without_the_marks_is_not_guessed_at() -> None:
    """Better an error than a table nowhere."""
    with pytest.raises(ValueError, match="lacks the line"):
        documents.in_readme("nothing")


def test_a_row_of_a_table_is_one_row() -> None:
    """A description may hold neither a line's end nor a column's."""
    rows = [line for line in documents.tables().splitlines() if line.startswith("| `")]
    assert len(rows) == len(VARIABLES)
    assert all(row.count("|") == 4 for row in rows)
