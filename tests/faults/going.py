"""What is seen of a server that drains."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.faults.device import Device
from tests.faults.view import Frame


def goaways(device: Device) -> list[Frame]:
    """What the present socket was told of going."""
    return [frame for frame in device.heard if frame["type"] == "goaway"]


def kept(url: str) -> HTTPConnection:
    """A connection from before: while a server drains nobody new is let in."""
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port)


def ready(connection: HTTPConnection) -> tuple[int, bool]:
    """The status of readiness, and what it says."""
    connection.request("GET", "/health/ready")
    with connection.getresponse() as answer:
        return answer.status, json.load(answer)["ready"]
