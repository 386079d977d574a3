"""Properties are checked with the same examples in every run, however busy the machine."""

from hypothesis import settings

settings.register_profile("parley", derandomize=True, deadline=None)
settings.load_profile("parley")
