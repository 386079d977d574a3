"""A harness per implementation of the log."""

from tests.contracts.event_log import redis_harness
from tests.contracts.event_log.harness import Opens, memory

HARNESSES: dict[str, Opens] = {
    "memory": memory,
    "redis": redis_harness.redis,
    "cluster": redis_harness.cluster,
}
