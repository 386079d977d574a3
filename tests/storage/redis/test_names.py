"""Keys and channels."""

from storage.redis.names import BUCKETS, Names, bucket


def test_all_kinds_of_a_name_share_its_bucket() -> None:
    """A Cluster keeps together what one script touches: all between the braces is one."""
    names = Names("parley", 0)
    tags = {names.of(kind, "c_talk").split("{")[1].split("}")[0] for kind in ("log", "live", "x")}
    assert tags == {str(bucket("c_talk"))}


def test_a_name_keeps_its_bucket_for_good() -> None:
    """Keys that are stored depend on it."""
    assert [bucket(name) for name in ("", "c_talk", "ü{}:")] == [0, 234, 140]
    assert BUCKETS == 256


def test_databases_of_one_redis_have_channels_of_their_own() -> None:
    """Redis itself gives them keys of their own only; and no prefix can spell a database."""
    names = {
        Names(prefix, database).of("live", "c_talk")
        for prefix in ("parley", "parley.1")
        for database in (0, 1)
    }
    assert len(names) == 4
    assert Names("parley", 1).of("live", "c_talk").startswith("parley/1:{")
