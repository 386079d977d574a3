"""From the environment to settings, or to sentences that say what is wrong with it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app import _catalogue
from server.config import ConfigError, Environment, LogLevel, Settings, load
from server.config.rules import MODELS, PAIRS, Pair
from server.config.variables import VARIABLES

SECRET = "correct horse battery staple, and more"
PUBLIC = {
    "PARLEY_ENV": "production",
    "PARLEY_JWT_SECRET": SECRET,
    "PARLEY_JWT_ISSUER": "https://id.example.org",
    "PARLEY_JWT_AUDIENCE": "https://chat.example.org",
}
NAMES = [variable.name for variable in VARIABLES]
FILES = [f"{variable.name}_FILE" for variable in VARIABLES if variable.secret]


def problems(environ: Mapping[str, str], env_file: str | None = None) -> dict[str, str]:
    """What is said of each variable."""
    with pytest.raises(ConfigError) as caught:
        load(environ, env_file)
    return {problem.variable: str(problem) for problem in caught.value.problems}


def test_nothing_set_is_development_on_this_machine() -> None:
    """The first command works without a setting."""
    assert load({}) == Settings()
    assert load({}).development
    assert load({}).offers_scripted
    assert load({}).host == "127.0.0.1"


def test_values_come_as_their_types() -> None:
    """Numbers, words, lists, paths and options of sections."""
    settings = load(
        {
            "PARLEY_PORT": " 0 ",
            "PARLEY_LOG_LEVEL": "DEBUG",
            "PARLEY_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "PARLEY_DATA_DIR": "elsewhere",
            "PARLEY_SCRIPTED": "1",
            "PARLEY_NET_HEADER_S": "2.5",
            "PARLEY_STREAMS_GATHER_MS": "0",
        }
    )
    assert settings.port == 0
    assert settings.log_level is LogLevel.DEBUG
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.data_dir == Path("elsewhere")
    assert settings.store_url == "sqlite:///elsewhere/parley.db"
    assert settings.scripted
    assert settings.net.header_s == 2.5
    assert settings.streams.gather_ms == 0


def test_the_environment_goes_before_the_file() -> None:
    """And what is set to nothing is not set."""
    file = "PARLEY_PORT=1\nPARLEY_INSTANCE=filed\n"
    settings = load({"PARLEY_PORT": "2", "PARLEY_INSTANCE": ""}, file)
    assert (settings.port, settings.instance) == (2, "filed")


def test_a_secret_may_come_in_a_file() -> None:
    """Its last line end is not part of it."""
    settings = load(
        {"PARLEY_JWT_SECRET_FILE": "/run/s"}, read={"/run/s": f"{SECRET}\n"}.__getitem__
    )
    assert settings.jwt_secret == SECRET


def test_a_secret_in_the_environment_goes_before_its_file_in_the_file() -> None:
    """Both spellings are one setting, and the environment's word counts."""
    assert load({"PARLEY_JWT_SECRET": SECRET}, "PARLEY_JWT_SECRET_FILE=/x").jwt_secret == SECRET


def test_a_secret_given_twice_or_unreadable_is_a_problem() -> None:
    """Nobody guesses which one was meant, and a file that is not there has a sentence."""
    twice = {"PARLEY_JWT_SECRET": SECRET, "PARLEY_JWT_SECRET_FILE": "/x"}
    assert "set the one that is meant" in problems(twice)["PARLEY_JWT_SECRET_FILE"]
    gone = problems({"DATABASE_URL_FILE": "/nowhere/at/all"})
    assert "No such file" in gone["DATABASE_URL_FILE"]


def test_everything_wrong_is_said_at_once_with_examples() -> None:
    """One start is enough to learn of all of it."""
    found = problems({"PARLEY_PORT": "many", "PARLEY_NET_BACKLOG": "0"}, "what is this")
    assert set(found) == {"PARLEY_PORT", "PARLEY_NET_BACKLOG", ".env, line 1"}
    assert "PARLEY_PORT=8000" in found["PARLEY_PORT"]


def test_an_unknown_name_is_refused_with_what_may_be_meant() -> None:
    """A typing error is not a setting that silently does nothing."""
    found = problems({"PARLEY_HSOT": "x", "PARLEY_XYZZY": "x"})
    assert "Is PARLEY_HOST meant?" in found["PARLEY_HSOT"]
    assert "README.md" in found["PARLEY_XYZZY"]


def test_what_later_versions_know_is_not_silently_ignored() -> None:
    """Ours stop the start; names that others use too are only warned of."""
    assert "fallback" in problems({"PARLEY_FALLBACK_MODELS": "x"})["PARLEY_FALLBACK_MODELS"]
    given = {"QDRANT_URL": "http://x", "OPENAI_API_KEY": "sk-1", "QDRANT_API_KEY": ""}
    warnings = load({**given, "AZURE_OPENAI_ENDPOINT": "https://x"}).warnings
    assert len(warnings) == 2
    assert "QDRANT_URL is without effect" in warnings[0]
    assert "AZURE_OPENAI_ENDPOINT, OPENAI_API_KEY are without effect" in warnings[1]
    assert "sk-1" not in "".join(warnings)


def test_a_setting_that_nothing_reads_yet_is_none() -> None:
    """The runner of jobs comes later, and its settings with it."""
    assert "no such setting" in problems({"PARLEY_JOBS_POLL_S": "1"})["PARLEY_JOBS_POLL_S"]


@pytest.mark.parametrize("origins", ["*", "https://chat.example.org"])
def test_origins_in_development_are_said_to_have_no_effect(origins: str) -> None:
    """There pages of this machine alone may connect; elsewhere there is nothing to say."""
    assert "PARLEY_ALLOWED_ORIGINS" in load({"PARLEY_ALLOWED_ORIGINS": origins}).warnings[0]
    public = load({**PUBLIC, "PARLEY_ALLOWED_ORIGINS": "https://chat.example.org"})
    assert public.warnings == ()


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("$(openssl rand -hex 32)", "put in what it prints"),
        ("$(head -c 32 /dev/urandom | base64)", "put in what it prints"),
        (f"${{{'X' * 40}}}", "put in its value"),
    ],
)
def test_what_a_shell_should_have_filled_in_is_no_value(text: str, instead: str) -> None:
    """`.env` substitutes nothing, and a secret of that text would be anybody's to guess."""
    said = problems({}, f"PARLEY_JWT_SECRET={text}\n")["PARLEY_JWT_SECRET"]
    assert instead in said
    assert "For example" not in said
    assert (
        "what `openssl rand -hex 32` prints"
        in problems({"PARLEY_JWT_SECRET": "short"}).popitem()[1]
    )


def test_other_programs_variables_are_let_be() -> None:
    """The tests' own, a client's, and what Kubernetes sets for a service called parley."""
    load({"PARLEY_TOKEN": "x", "PARLEY_TEST_LONG": "1", "PARLEY_SERVICE_HOST": "x", "HOME": "/"})
    found = problems({"PARLEY_PORT": "tcp://10.0.0.1:80", "PARLEY_PORT_80_TCP": "x"})
    assert "enableServiceLinks" in found["PARLEY_PORT"]


WRONG = {
    "another host in development": ({"PARLEY_HOST": "0.0.0.0"}, "PARLEY_HOST"),
    "a name that DNS could move": ({"PARLEY_HOST": "example.org"}, "PARLEY_HOST"),
    "a short secret": ({"PARLEY_JWT_SECRET": "x" * 31}, "PARLEY_JWT_SECRET"),
    "a public address with a path": ({"PARLEY_PUBLIC_URL": "https://a/b"}, "PARLEY_PUBLIC_URL"),
    "one with a password": ({"PARLEY_PUBLIC_URL": "https://u:p@a"}, "PARLEY_PUBLIC_URL"),
    "a base path that ends in a slash": ({"PARLEY_BASE_PATH": "/chat/"}, "PARLEY_BASE_PATH"),
    "an origin with a path": ({"PARLEY_ALLOWED_ORIGINS": "https://a/b"}, "PARLEY_ALLOWED_ORIGINS"),
    "a proxy that is no address": ({"PARLEY_TRUSTED_PROXIES": "proxy"}, "PARLEY_TRUSTED_PROXIES"),
    "a home that is not written out": ({"PARLEY_DATA_DIR": "~/data"}, "PARLEY_DATA_DIR"),
    "a database of another kind": ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
    "a database nowhere": ({"DATABASE_URL": "sqlite:///"}, "DATABASE_URL"),
    "keys that are no address": ({"PARLEY_JWKS_URL": "file:///etc/passwd"}, "PARLEY_JWKS_URL"),
    "a model that is not there": ({"PARLEY_MODEL": "openai/gpt"}, "PARLEY_MODEL"),
    "claims that map nothing": ({"PARLEY_AUTH_CLAIMS": "x=y"}, "PARLEY_AUTH_CLAIMS"),
    "marks that cross": ({"PARLEY_NET_HIGH_WATER_BYTES": "4096"}, "PARLEY_NET_HIGH_WATER_BYTES"),
    "pongs behind the next ping": ({"PARLEY_SOCKET_PONG_S": "26"}, "PARLEY_SOCKET_PONG_S"),
    "pings before the pong": ({"PARLEY_SOCKET_HEARTBEAT_S": "9"}, "PARLEY_SOCKET_HEARTBEAT_S"),
    "tokens that are born old": (
        {"PARLEY_AUTH_VISITOR_LIFE_S": "60"},
        "PARLEY_AUTH_VISITOR_LIFE_S",
    ),
    "all tokens born old": ({"PARLEY_AUTH_TOKEN_LIFE_S": "60"}, "PARLEY_AUTH_TOKEN_LIFE_S"),
    "a log gone before its checkpoint": ({"PARLEY_LOG_IDLE_MS": "1000"}, "PARLEY_LOG_IDLE_MS"),
    "a control character": ({"PARLEY_INSTANCE": "a\x00b"}, "PARLEY_INSTANCE"),
    "what is no UTF-8": ({"PARLEY_INSTANCE": "a\udcff"}, "PARLEY_INSTANCE"),
}


@pytest.mark.parametrize(("environ", "name"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_right_is_refused_by_name(environ: dict[str, str], name: str) -> None:
    """Beyond its type a value has to make sense."""
    assert set(problems(environ)) == {name}


def test_of_two_that_contradict_each_other_the_one_that_was_set_is_told() -> None:
    """With the other one's value, and an example that may stand beside it."""
    low, high = "PARLEY_NET_LOW_WATER_BYTES", "PARLEY_NET_HIGH_WATER_BYTES"
    assert str(problems({high: "4096"})[high]).startswith(
        f"  {high}: must be at least {low}, 8192: "
    )
    assert problems({high: "4096"})[high].endswith(f"For example: {high}=16384")
    assert set(problems({low: "5000", high: "4096"})) == {low}
    assert problems({low: "5000", high: "4096"})[low].endswith(f"For example: {low}=2048")
    load({low: "4096", high: "4096"})
    load({"PARLEY_LOG_IDLE_MS": "0"})


@pytest.mark.parametrize("pair", PAIRS)
def test_the_example_of_a_pair_is_right(pair: Pair) -> None:
    """Whoever copies it can start."""
    small, large = (f"PARLEY_{path.replace('.', '_').upper()}" for path in (pair.small, pair.large))
    values = {small: "300", large: "200"}
    if "bytes" in pair.small:
        values = {small: "300000", large: "200000"}
    example = problems(values)[small].rpartition("For example: ")[2]
    name, _, value = example.partition("=")
    load({**values, name: value})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_development_may_listen_to_this_machine(host: str) -> None:
    """Any of its loopback addresses will do."""
    assert load({"PARLEY_HOST": host}).host == host


@pytest.mark.parametrize("env", ["production", "staging", "PRODUCTION"])
def test_production_starts_with_what_it_asks_for(env: str) -> None:
    """Staging follows its rules; there any host may be listened on."""
    settings = load({**PUBLIC, "PARLEY_ENV": env, "PARLEY_HOST": "0.0.0.0"})
    assert not settings.development
    assert not settings.offers_scripted


UNSAFE = {
    "no issuer": ({"PARLEY_JWT_ISSUER": ""}, "PARLEY_JWT_ISSUER"),
    "no audience": ({"PARLEY_JWT_AUDIENCE": ""}, "PARLEY_JWT_AUDIENCE"),
    "no secret": ({"PARLEY_JWT_SECRET": ""}, "PARLEY_JWT_SECRET"),
    "a secret of development": (
        {"PARLEY_JWT_SECRET": f"parley-development-{'0' * 64}"},
        "PARLEY_JWT_SECRET",
    ),
    "any origin": ({"PARLEY_ALLOWED_ORIGINS": "*"}, "PARLEY_ALLOWED_ORIGINS"),
    "keys over a bare wire": ({"PARLEY_JWKS_URL": "http://id.example.org"}, "PARLEY_JWKS_URL"),
    "scripts for everybody": ({"PARLEY_MODEL": "scripted"}, "PARLEY_MODEL"),
}


@pytest.mark.parametrize("env", ["production", "staging"])
@pytest.mark.parametrize(("change", "name"), UNSAFE.values(), ids=UNSAFE)
def test_production_refuses_what_is_not_safe(env: str, change: dict[str, str], name: str) -> None:
    """One lack is enough, and it is the one that is named."""
    assert set(problems({**PUBLIC, "PARLEY_ENV": env, **change})) == {name}


def test_an_issuer_of_ones_own_needs_no_secret() -> None:
    """Then there are no visitors, and users' tokens are the issuer's."""
    load({**PUBLIC, "PARLEY_JWT_SECRET": "", "PARLEY_JWKS_URL": "https://id.example.org/keys"})


def test_an_environment_that_is_not_known_has_no_rules() -> None:
    """What would follow from the wrong one is not said beside it."""
    assert set(problems({"PARLEY_ENV": "prod", "PARLEY_HOST": "0.0.0.0"})) == {"PARLEY_ENV"}


def test_no_message_and_no_repr_has_a_secret() -> None:
    """Not of a good one, not of a bad one, not of a misspelt one."""
    database = "postgresql://parley:hunter2hunter2@db/parley"
    settings = load({"PARLEY_JWT_SECRET": SECRET, "DATABASE_URL": database})
    assert settings.jwt_secret == SECRET
    assert SECRET not in repr(settings)
    assert "hunter2" not in repr(settings)
    said = problems(
        {
            "PARLEY_JWT_SECRET": "too short",
            "PARLEY_JWT_SECRT": SECRET,
            "DATABASE_URL": f"{database}?sslmode=hunter2",
        }
    )
    assert len(said) == 3
    assert not any(word in str(said) for word in ("too short", SECRET, "hunter2"))


def test_only_what_the_environment_says_counts() -> None:
    """A folder's own secret is nothing that `load` reads."""
    assert load({"PARLEY_ENV": Environment.DEVELOPMENT}).jwt_secret is None


def test_the_models_that_may_be_set_are_those_that_are_offered() -> None:
    """What passes the rule is found by the server, and the other way round."""
    assert _catalogue(Settings()).offered == MODELS


VALUES = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Po", "Sm"]), max_size=5),
    st.sampled_from(["0", "-1", "1e400", "nan", "inf", "9" * 400, "true", "*", "[", "{}", "//["]),
    st.sampled_from(["sqlite://[", "postgresql://[x", "http://[", "https://a:b", "production"]),
)


@given(
    environ=st.dictionaries(
        st.one_of(
            st.sampled_from([*NAMES, *FILES]), st.from_regex(r"PARLEY_[A-Z_]{0,9}", fullmatch=True)
        ),
        VALUES,
        max_size=8,
    ),
    env_file=st.one_of(st.none(), st.text(max_size=80)),
)
def test_any_environment_gives_settings_or_sentences(
    environ: dict[str, str], env_file: str | None
) -> None:
    """Whatever is in it, nobody who starts a server meets a traceback."""
    try:
        load(environ, env_file)
    except ConfigError as error:
        found = error.problems
    else:
        return
    assert found
    assert all(problem.sentence.endswith((".", "?")) for problem in found)
