"""Services on demand, long forms on request, and no silent skip."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]

from tests.support import lateness, tally
from tests.support.databases import database_factory
from tests.support.programs import ProgramMissing
from tests.support.redises import RedisCluster
from tests.support.services import Pgbouncer, Postgres, Redis
from tests.support.workers import Floor, SideBySide, is_alone, set_apart

LONG = os.environ.get("PARLEY_TEST_LONG") == "1"
IN_CI = os.environ.get("CI") == "true"

FLOOR = Floor() if "PYTEST_XDIST_WORKER" in os.environ else None

# The same examples in every run, however busy the machine; the long form looks for others.
settings.register_profile("parley", derandomize=not LONG, deadline=None)
settings.load_profile("parley")

# A shell has what it runs in the background ignore Ctrl-C, and what is run by that ignores it too;
# the tests' own servers and commands are to heed it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Makes = Callable[[], str]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's private PostgreSQL; a test that harms a server starts one of its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def fresh_postgres(request: pytest.FixtureRequest) -> Iterator[Makes]:
    """A factory of URLs of new, empty databases."""
    lent = os.environ.get("TEST_DATABASE_URL")
    url = lent or request.getfixturevalue("postgres_server").url()
    with database_factory(url, lent=lent is not None) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def pgbouncer_server(request: pytest.FixtureRequest) -> Iterator[Pgbouncer]:
    """The session's private pooler in transaction mode."""
    lent = os.environ.get("TEST_DATABASE_URL")
    with Pgbouncer(lent or request.getfixturevalue("postgres_server").url()) as server:
        yield server


@pytest.fixture(scope="session")
def fresh_pgbouncer(request: pytest.FixtureRequest) -> Iterator[Makes]:
    """The same as `fresh_postgres`, but the URLs lead through a transaction pooler."""
    lent = os.environ.get("TEST_PGBOUNCER_URL")
    url = lent or request.getfixturevalue("pgbouncer_server").url()
    with database_factory(url, lent=lent is not None) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """The session's private Redis; a test that harms a server starts one of its own."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """A Redis to share; who uses it prefixes its keys."""
    lent = os.environ.get("TEST_REDIS_URL")
    return lent or str(request.getfixturevalue("redis_server").url())


@pytest.fixture
def fresh_redis() -> Iterator[Redis]:
    """A Redis of the test's own, empty, which it may harm."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """The session's private Redis Cluster; a test that harms nodes starts one of its own."""
    with RedisCluster() as cluster:
        yield cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the long forms out unless they are asked for; who is alone comes last."""
    long = [] if LONG else [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
    if FLOOR is not None:
        set_apart(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide:
    """Which worker gets which tests."""
    config.option.loadscopereorder = False
    return SideBySide(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Who measures times waits until all others rest; so does who missed a bound, and runs again.

    Reports are told last, for then they are not.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = _run(item, nextitem, alone=is_alone(item))
    late = lateness.missed(reports)
    if late and all(report.passed for report in reports if report.when != "call"):
        reports = _run(item, nextitem, alone=True)
        reports[0].user_properties.extend(late)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run(
    item: pytest.Item, nextitem: pytest.Item | None, *, alone: bool
) -> list[pytest.TestReport]:
    with nullcontext() if FLOOR is None else FLOOR.taken(alone=alone):
        return runtestprotocol(item, log=False, nextitem=nextitem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A missing program is a skip with its reason; in CI every skip is a failure."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(ProgramMissing):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, str(call.excinfo.value))
    if IN_CI and not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    lateness.note(call, report)
    if report.when == "call":
        tally.attach(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI a module that skips itself is a failure too."""
    report = yield
    if IN_CI:
        _fail_if_skipped(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sums up faults; lists what could not run, here or before in scripts/test, and why."""
    ran = [
        report for each in ("passed", "failed") for report in terminalreporter.stats.get(each, [])
    ]
    _section(terminalreporter, "faults, and broken promises found", list(tally.lines(ran)))
    again = list(lateness.lines(terminalreporter.stats.get("", [])))
    _section(terminalreporter, "too late at first, so run once more by itself", again)
    lines = [f"{r.nodeid}: {_reason(r)}" for r in terminalreporter.stats.get("skipped", [])]
    lines += filter(None, os.environ.get("PARLEY_NOT_RUN", "").splitlines())
    _section(terminalreporter, "could not run", lines)


def _section(reporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    if lines:
        reporter.section(title)
        for line in lines:
            reporter.write_line(line)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"could not run, which is a failure in CI: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
