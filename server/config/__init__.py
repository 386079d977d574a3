"""The settings, read once from the environment and `.env`; inner modules never see either."""

from server.config.errors import ConfigError, Problem
from server.config.loading import load
from server.config.secret import NoSecretYet, secured, with_kept_secret
from server.config.settings import Environment, LogLevel, Settings
from server.config.tokens import tokens_of

__all__ = [
    "ConfigError",
    "Environment",
    "LogLevel",
    "NoSecretYet",
    "Problem",
    "Settings",
    "load",
    "secured",
    "tokens_of",
    "with_kept_secret",
]
