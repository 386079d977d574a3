"""The composition, as far as it can be judged without Docker."""

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from server.config import Settings
from server.config.loading import load
from server.sessions import drain
from tests.deploy.files import ROOT, composition, environment
from tests.support.nginx import TEMPLATE

WANTED = {
    "POSTGRES_PASSWORD": "letters-and-digits",
    "PARLEY_JWT_SECRET": "f" * 64,
    "PARLEY_JWT_ISSUER": "https://id.example.org",
    "PARLEY_JWT_AUDIENCE": "https://chat.example.org",
    "PARLEY_PUBLIC_URL": "https://chat.example.org",
}
INSTANCES = ("parley-1", "parley-2")
SERVICES: dict[str, Any] = composition(WANTED)["services"]


def settings(service: str) -> Settings:
    """Of an instance, as it reads them: what is composed goes before what the image says."""
    inside = {name: text for name, text in environment().items() if name.startswith("PARLEY_")}
    return load({**inside, **SERVICES[service]["environment"]})


def seconds(text: str) -> float:
    """Of a duration in seconds."""
    assert text.endswith("s")
    return float(text[:-1])


@pytest.mark.parametrize("name", WANTED)
def test_what_is_missing_is_asked_for_by_its_name(name: str) -> None:
    """With words on what to put there; no secret has a default."""
    rest = {each: text for each, text in WANTED.items() if each != name}
    with pytest.raises(KeyError, match=f"{name}: .{{10,}}"):
        composition(rest)


@pytest.mark.parametrize("service", [*INSTANCES, "migrate"])
def test_every_setting_is_one_and_has_effect(service: str) -> None:
    """The rules of production hold, and nothing is set that this version does without."""
    loaded = settings(service)
    assert not loaded.development
    assert loaded.warnings == ()


def test_the_instances_are_alike_but_for_their_names_and_addresses() -> None:
    """So any of them can go on with what another one began."""
    first, second = (dict(SERVICES[name]) for name in INSTANCES)
    names = [settings(name).instance for name in INSTANCES]
    assert names == list(INSTANCES)
    for each in (first, second):
        each["environment"] = {**each["environment"], "PARLEY_INSTANCE": ""}
        each["networks"] = {**each["networks"], "front": ""}
    assert first == second


def test_an_instance_is_given_the_time_that_its_drain_takes() -> None:
    """Killed before, it would leave answers to be taken over that it could have ended."""
    for name in INSTANCES:
        loaded = settings(name)
        takes = (
            loaded.socket.drain_grace_s
            + drain.LEAVING_S
            + drain.CLOSING_S
            + loaded.net.graceful_s
            + drain.FINISHING_S
        )
        assert 45 <= seconds(SERVICES[name]["stop_grace_period"]) >= takes


def test_the_proxy_knows_the_instances_and_they_trust_it_alone() -> None:
    """By fixed addresses, at the port that the image listens on."""
    proxy = SERVICES["nginx"]["environment"]
    addresses = [SERVICES[name]["networks"]["front"]["ipv4_address"] for name in INSTANCES]
    port = environment()["PARLEY_PORT"]
    listed = re.findall(r"server (\S+) max_fails=0;", proxy["PROXY_INSTANCES"])
    assert listed == [f"{address}:{port}" for address in addresses]
    own = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    assert {settings(name).trusted_proxies for name in INSTANCES} == {(own,)}
    [front] = composition(WANTED)["networks"]["front"]["ipam"]["config"]
    inside = ip_network(front["subnet"])
    assert all(ip_address(each) in inside for each in [own, *addresses])


def test_the_proxy_is_told_all_that_its_template_asks_for() -> None:
    """And nothing else in it is filled in: nginx has variables of its own."""
    service = SERVICES["nginx"]
    asked = set(re.findall(r"\$\{(\w+)\}", TEMPLATE.read_text())) - {"PROXY_"}
    told = set(service["environment"]) - {"NGINX_ENVSUBST_FILTER", "NGINX_ENVSUBST_OUTPUT_DIR"}
    assert asked == told
    wanted = re.compile(service["environment"]["NGINX_ENVSUBST_FILTER"])
    assert all(wanted.search(name) for name in told)
    [mounted] = service["volumes"]
    assert (ROOT / mounted.split(":")[0]).samefile(TEMPLATE)


def test_only_the_proxy_is_reached_from_outside() -> None:
    """Databases are in a network without a way out, where the proxy is not."""
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert composition(WANTED)["networks"]["back"]["internal"] is True
    for name in ("postgres", "redis", "qdrant"):
        assert SERVICES[name]["networks"] == ["back"]
    assert "back" not in SERVICES["nginx"]["networks"]


def test_each_waits_for_what_it_needs() -> None:
    """The proxy for the instances, they for the migrations and the databases."""
    assert SERVICES["nginx"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in INSTANCES
    }
    for name in INSTANCES:
        assert SERVICES[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
        }
    checked = {
        name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})
    }
    assert checked == {"nginx", "postgres", "redis", "qdrant"}  # the image has one for instances


def test_what_others_made_is_pinned_and_what_is_kept_has_a_name() -> None:
    """A tag with all its numbers; a volume that outlives its container."""
    for name in ("nginx", "postgres", "redis", "qdrant"):
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-|$)", SERVICES[name]["image"]), name
    named = composition(WANTED)["volumes"]
    for name in ("postgres", "qdrant"):
        assert [volume.split(":")[0] in named for volume in SERVICES[name]["volumes"]] == [True]


def test_redis_throws_nothing_away_and_keeps_nothing() -> None:
    """Not for room; but a log from before a restart is nobody's, and would take the room."""
    command = SERVICES["redis"]["command"]
    said = dict(zip(command[1::2], command[2::2], strict=True))
    assert said["--maxmemory-policy"] == "noeviction"
    assert (said["--appendonly"], said["--save"]) == ("no", "")
    assert "volumes" not in SERVICES["redis"]


def test_one_service_builds_the_image_that_all_instances_run() -> None:
    """Three builds of one name at once get in each other's way."""
    runs = [name for name, each in SERVICES.items() if each["image"] == "parley:local"]
    assert runs == [*INSTANCES, "migrate"]
    assert [name for name, each in SERVICES.items() if "build" in each] == ["migrate"]


def test_an_instance_has_a_bound_of_memory_and_ends_when_it_is_told() -> None:
    """The watermark is a part of the bound; the first process of a container ignores signals."""
    for name in INSTANCES:
        assert SERVICES[name]["mem_limit"] == "1g"
        assert SERVICES[name]["init"] is True
