"""A harness per implementation of the counters."""

from tests.contracts.counters import redis_harness
from tests.contracts.counters.harness import Opens, memory

HARNESSES: dict[str, Opens] = {
    "memory": memory,
    "redis": redis_harness.redis,
    "cluster": redis_harness.cluster,
}
