"""Questions over HTTP have an answer or a reason."""

import pytest

from server.cli.asking import NoAnswer, get
from tests.support.health import saying
from tests.support.services import free_port


def test_the_body_comes_whatever_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of this machine goes to no other."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with saying({"a": 1}) as asked:
        assert get(asked.url, "/health") == b'{"a": 1}'


@pytest.mark.parametrize("url", ["http://a..b", "http://a b", "http://[x", "http://a:b", ""])
def test_what_is_no_address_has_a_reason(url: str) -> None:
    """A file that names one may have been changed by anybody."""
    with pytest.raises(NoAnswer):
        get(url, "/health")


def test_where_nobody_listens_there_is_a_reason() -> None:
    """It names the address."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer, match=f"{url} does not answer: Connection refused"):
        get(url, "/health")
