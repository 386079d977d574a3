"""Every setting can be spelled, read back and explained."""

import pytest
from msgspec.structs import replace

from server.config.settings import Settings
from server.config.variables import VARIABLES, Variable, spelled

BY_NAME = {variable.name: variable for variable in VARIABLES}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_setting_is_explained_and_bounded(variable: Variable) -> None:
    """A person learns what it is; a number without both bounds would take any mistake."""
    assert variable.description, f"{variable.name} wants a description"
    if "number" in variable.wanted:
        assert any(word in variable.wanted for word in ("from", "at most")), variable.wanted


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_default_is_what_its_spelling_is_read_as(variable: Variable) -> None:
    """What `.env.example` shows, with its # taken away, changes nothing."""
    text = spelled(variable.default)
    if text:
        assert variable.value(text) == variable.default


@pytest.mark.parametrize(
    "variable", [v for v in VARIABLES if v.example is not None], ids=lambda variable: variable.name
)
def test_an_example_is_a_value(variable: Variable) -> None:
    """Whoever copies it gets no complaint about its type."""
    assert variable.example is not None
    variable.value(variable.example)


def test_names_are_unique_and_follow_their_section() -> None:
    """No two settings share a variable, and a section's fields carry its name."""
    assert len(BY_NAME) == len(VARIABLES)
    assert BY_NAME["PARLEY_NET_HEADER_S"].section == "net"
    assert BY_NAME["DATABASE_URL"].field == "database_url"


def test_what_is_marked_as_a_secret_is_what_a_repr_hides() -> None:
    """The mark is for messages and documents, the repr for logs."""
    secrets = {variable.field for variable in VARIABLES if variable.secret}
    shown = repr(replace(Settings(), **dict.fromkeys(secrets, "hunter2")))
    assert secrets == {"jwt_secret", "database_url", "redis_url"}
    assert "hunter2" not in shown


def test_no_variable_undoes_a_safety() -> None:
    """Sharing SQLite's file can damage it, and what has no effect is not set but found."""
    assert "PARLEY_DATABASE_EXCLUSIVE" not in BY_NAME
    assert "PARLEY_WARNINGS" not in BY_NAME


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("PARLEY_PORT", "80a", "must be a whole number from 0 to 65535, not '80a'"),
        ("PARLEY_PORT", "65536", "must be a whole number from 0 to 65535, not '65536'"),
        ("PARLEY_NET_HEADER_S", "nan", "must be a number from 0.1 to 60, not 'nan'"),
        ("PARLEY_SCRIPTED", "maybe", "must be true or false, not 'maybe'"),
        ("PARLEY_ENV", "prod", "must be one of development, staging, production, not 'prod'"),
        ("PARLEY_INSTANCE", "x" * 65, "must be a text of at most 64 characters"),
    ],
)
def test_a_wrong_value_is_told_from_what_is_wanted(name: str, text: str, complaint: str) -> None:
    """The sentence has the bounds; a value is repeated only where none could be a secret."""
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        BY_NAME[name].value(text)


def test_a_list_is_read_with_blanks_and_without_gaps() -> None:
    """Commas separate; what is empty between them is nothing."""
    assert BY_NAME["PARLEY_TRUSTED_PROXIES"].value(" a, b,,c ") == ("a", "b", "c")


def test_every_section_of_settings_has_its_variables() -> None:
    """A section that is not a struct of options would be left out without a word."""
    sections = {variable.section for variable in VARIABLES if variable.section}
    settings = Settings()
    assert sections == {
        name
        for name in settings.__struct_fields__
        if hasattr(getattr(settings, name), "__struct_fields__")
    }
