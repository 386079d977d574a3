"""Database URLs as people are given them."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.errors import Unsupported
from storage.sql import dsn
from storage.sql.dsn import path_of

NEON = "postgresql://u:p@ep-x.eu-central-1.aws.neon.tech/db?sslmode=require&channel_binding=require"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (NEON, "postgresql://u:p@ep-x.eu-central-1.aws.neon.tech/db?sslmode=require"),
        ("postgres://h/db", "postgresql://h/db?"),
        ("postgresql+asyncpg://h:5/db?ssl=require", "postgresql://h:5/db?sslmode=require"),
        ("postgresql://h/db?ssl=true&min_size=2&keepalives=1", "postgresql://h/db?sslmode=require"),
        ("postgresql://u@:54/db?host=/run/pg", "postgresql://u@/db?host=%2Frun%2Fpg&port=54"),
        ("postgresql://a:1,b:2/db?target_session_attrs=primary",
         "postgresql://a:1,b:2/db?target_session_attrs=primary"),
        ("postgresql://u:p%40%2F@ss:w@h/db", "postgresql://u:p%40%2F%40ss%3Aw@h/db?"),
        ("postgresql://u:p@[::1]:5,[fe80::1],h:6/db", "postgresql://u:p@[::1]:5,[fe80::1],h:6/db?"),
        ("postgresql://%2Frun%2Fpg/db", "postgresql://%2Frun%2Fpg/db?"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=%2Frun%2Fpg"),
        ("postgresql://h/my%20db?application_name=mine", "postgresql://h/my%20db?"),
    ],
)  # fmt: skip
def test_what_libpq_and_sqlalchemy_understand_is_made_into_what_asyncpg_takes(
    given: str, made: str
) -> None:
    """A parameter that asyncpg does not know would reach the server, which refuses it."""
    result, expected = urlsplit(dsn.parse(given).text), urlsplit(made)
    assert result._replace(query="") == expected._replace(query="")
    names = parse_qs(result.query)
    assert names.pop("application_name") == ["mine" if "mine" in given else "parley"]
    assert names == parse_qs(expected.query)


@pytest.mark.parametrize(
    ("query", "pooled"), [("", None), ("?pgbouncer=true", True), ("?pgbouncer=false", False)]
)
def test_a_pooler_is_found_out_unless_the_url_settles_it(query: str, pooled: bool | None) -> None:
    """As other programs spell it; the server never sees the parameter."""
    parsed = dsn.parse(f"postgresql://h/db{query}")
    assert parsed.pooled is pooled
    assert "pgbouncer" not in parsed.text


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:sesame@h/db",
        "u:sesame@h/db",
        "postgresql://u:sesame@[h/db",
        "postgresql://u:sesame/x@h/db",
        "postgresql://u:sesame?x@h/db",
        "postgresql://u:sesame#x@h/db",
        "postgresql://u:1#sesame@h/db",
        "postgresql://u:x@h,sesame:y/db",
        "postgresql://u:sesame@h/db?sslmode=yes",
        "postgresql://u:sesame@h/db?pgbouncer=maybe",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    """The message ends up on a screen or in a log."""
    with pytest.raises(Unsupported) as caught:
        dsn.parse(url)
    assert "sesame" not in f"{caught.value!s} {caught.value!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_parsed_url_does_not_show_its_password() -> None:
    """It is passed around, and whoever prints it should not have to think of that."""
    assert "sesame" not in repr(dsn.parse("postgresql://u:sesame@h/db"))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "sqlite:///a#b"]
)
def test_a_url_that_is_no_file_is_refused(url: str) -> None:
    """Each connection to `:memory:` would have a database of its own."""
    with pytest.raises(Unsupported, match="sqlite:///FILE"):
        path_of(url)


def test_paths_are_relative_or_absolute_as_in_other_programs() -> None:
    """Three slashes and four."""
    assert path_of("sqlite:///data/parley.db") == Path("data/parley.db")
    assert path_of("sqlite:////srv/my%20chat/parley.db") == Path("/srv/my chat/parley.db")
