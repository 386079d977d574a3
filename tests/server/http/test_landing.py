"""What a person sees at the server's address."""

import re

import pytest

from server.http.assets import assets
from tests.server.http.world import World


async def test_the_page_says_that_it_runs_and_how_to_talk_to_it(world: World) -> None:
    """For a browser, and for one without scripts too."""
    answer = await world.get("/")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert "Parley is running" in page
    assert "<parley-chat inline" in page
    assert "parley chat" in page


async def test_the_page_needs_nothing_that_a_strict_policy_forbids(world: World) -> None:
    """Its own scripts and styles, nothing inline, nothing of elsewhere."""
    answer = await world.get("/")
    policy = dict(
        rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    page = answer.body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<base", page)
    assert not re.search(r"<script(?![^>]* src=)", page)
    loaded = re.findall(r'<(?:script|img|link)\b[^>]* (?:src|href)="([^"]+)"', page)
    assert len(loaded) == 5
    assert all(re.match(r"/[a-z]+\.(js|css|svg)(\?v=\w+)?$", each) for each in loaded)


@pytest.mark.parametrize("target", ["/chat", "/chat/", "/"])
async def test_its_links_lead_somewhere(world: World, target: str) -> None:
    """Below the base path, however the page was asked for."""
    world.change(base_path="/chat")
    page = (await world.get(target)).body.decode()
    links = re.findall(r'(?<= href)="([^"]+)"', page)
    assert len(links) >= 6
    for link in links:
        assert link.startswith("/chat/")
        assert (await world.get(link)).status == 200
    assert "<code>/chat/ws</code>" in page


async def test_it_names_the_versions_of_its_files(world: World) -> None:
    """So they are never asked for again, and never of another server than the page."""
    world.change(base_path="/chat")
    page = (await world.get("/chat/")).body.decode()
    for name in ("demo.js", "demo.css", "icon.svg"):
        address = assets()[f"/{name}"].address
        assert f'"/chat/{address}"' in page
        assert "immutable" in (await world.get(f"/chat/{address}")).headers["cache-control"]


async def test_a_base_path_cannot_end_an_attribute(world: World) -> None:
    """Whatever it is configured to."""
    world.change(base_path='/"><script>')
    page = (await world.get("/")).body.decode()
    assert '"><script>' not in page


async def test_a_head_is_answered(world: World) -> None:
    """As for every page."""
    assert (await world.send("HEAD", "/")).status == 200
