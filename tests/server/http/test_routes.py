"""The table of paths, and what leaks from none of them."""

from server.http.routes import routes
from tests.server.http.world import World
from tests.support.logs import logging_to_memory


def test_the_table_is_what_the_contract_names(world: World) -> None:
    """Nothing is served by accident."""
    served = {(route.path, *sorted(route.methods or ())) for route in routes(world.parts)}
    assert served == {
        ("/", "GET", "HEAD"),
        ("/health/live", "GET", "HEAD"),
        ("/health/ready", "GET", "HEAD"),
        ("/health", "GET", "HEAD"),
        ("/api/v1/visitors", "POST"),
        ("/api/v1/tickets", "POST"),
        ("/schema/frames.json", "GET", "HEAD"),
        ("/asyncapi.json", "GET", "HEAD"),
    }


async def test_no_canary_reaches_a_log_or_an_error(world: World) -> None:
    """A text, a token, a ticket, a secret: put everywhere a request can carry one."""
    text = "wotan-the-dog@example.org"
    token = world.token()
    paths = ("/", "/health", "/api/v1/visitors", "/api/v1/tickets", "/asyncapi.json")
    with logging_to_memory("debug") as log:
        bought = await world.send("POST", "/api/v1/tickets", authorization=f"Bearer {token}")
        ticket = bought.json()["ticket"]
        canaries = (text, token, ticket, token.rpartition(".")[2])
        errors = []
        for canary in canaries:
            for path in paths:
                for method in ("GET", "POST", "BREW"):
                    target = f"{path}/{canary}?q={canary}&token={canary}"
                    errors.append(await world.send(method, target))
                    errors.append(await world.send(method, f"{path}?{canary}={canary}"))
                    headers = {
                        "cookie": canary,
                        "origin": canary,
                        "traceparent": canary,
                        "content_type": canary,
                        "authorization": f"Bearer {canary}x",
                        "if_none_match": canary,
                    }
                    for name, value in headers.items():
                        sent = {name: value}
                        errors.append(await world.send(method, path, canary.encode(), **sent))
            shop = {"origin": "https://shop.example"}
            for body in (canary, {canary: 1}, {"site": canary}, {"renewal": canary, "site": "x"}):
                errors += [await world.post("/api/v1/visitors", body, **shop)]
        written = log.text()
    assert "a token was refused" in written
    for canary in canaries:
        assert canary not in written
    for answer in errors:
        if answer.status >= 400:
            told = f"{answer.body!r} {answer.headers.raw!r}"
            for canary in (token, ticket):
                assert canary not in told
