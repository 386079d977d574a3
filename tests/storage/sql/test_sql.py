"""The URL alone decides which engine serves."""

from pathlib import Path

import pytest

from storage.errors import Unsupported
from storage.sql import Database, open_database


async def test_the_url_chooses_the_engine(db: Database, kind: str) -> None:
    """Nothing else differs for whoever holds the database."""
    assert db.dialect == ("sqlite" if kind == "sqlite" else "postgresql")


@pytest.mark.parametrize("url", ["mysql://u:sesame@h/db", "data/parley.db", ""])
async def test_a_url_of_no_engine_is_refused_in_words(url: str) -> None:
    """The words name what could stand there, and not what stood there."""
    with pytest.raises(Unsupported, match="neither sqlite: nor postgresql:") as caught:
        await open_database(url)
    assert "sesame" not in str(caught.value)


async def test_options_have_defaults(tmp_path: Path) -> None:
    """Four readers, and for SQLite the one writer."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    assert db.load().limit == 5
    await db.close()
