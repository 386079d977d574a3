"""What a person sees at the server's address."""

import re

from tests.server.http.world import World


async def test_the_page_says_that_it_runs_and_how_to_talk_to_it(world: World) -> None:
    """For a browser, without anything that runs in one."""
    answer = await world.get("/")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Parley is running" in page
    assert "parley chat" in page
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|<style|style=|\son\w+=|src=", page)


async def test_its_links_lead_somewhere(world: World) -> None:
    """Below the base path, however the page was asked for."""
    world.change(base_path="/chat")
    for target in ("/chat", "/chat/", "/"):
        page = (await world.get(target)).body.decode()
        [base] = re.findall(r'<base href="([^"]+)">', page)
        assert base == "/chat/"
        for link in re.findall(r'<a href="([^"]+)">', page):
            assert (await world.get(base + link)).status == 200


async def test_a_head_is_answered(world: World) -> None:
    """As for every page."""
    assert (await world.send("HEAD", "/")).status == 200
