"""From the environment and `.env` to `Settings`, or to everything that is wrong with them."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec.structs import fields, replace

from server.config import dotenv
from server.config.errors import ConfigError, Problem
from server.config.rules import broken_rules
from server.config.settings import Settings
from server.config.variables import VARIABLES, Variable

_KNOWN = {variable.name: variable for variable in VARIABLES}
_FILES = {f"{variable.name}_FILE": variable for variable in VARIABLES if variable.secret}
# A client's and the tests' own, and what Kubernetes sets beside a service that is called parley.
_NOT_OURS = re.compile(r"PARLEY_(TOKEN|TEST_\w+|NOT_RUN|SERVICE_\w+|PORT_\w+)")
# What later versions know: who sets it must hear that this one does without.
_LATER = {
    "document search": re.compile(r"QDRANT_\w+"),
    "vendors' models": re.compile(r"(COHERE|OPENAI|ANTHROPIC)_(API_KEY|BASE_URL)|AZURE_OPENAI_\w+"),
    "tracing": re.compile(r"OTEL_EXPORTER_OTLP_ENDPOINT"),
    "error reports": re.compile(r"SENTRY_DSN"),
    "fallback models": re.compile(r"PARLEY_FALLBACK_MODELS"),
}
_COMMAND = re.compile(r"\$\(.*\)")
_REFERENCE = re.compile(r"\$\{.*\}")


def load(
    environ: Mapping[str, str],
    env_file: str | None = None,
    *,
    read: Callable[[str], str] = lambda path: Path(path).read_text("utf-8"),
) -> Settings:
    """The settings; `env_file` is the text of `.env`, and the environment goes before it.

    A variable that is set to nothing counts as not set. `read` gives the text of a secret's file.
    """
    in_file, problems = dotenv.parse(env_file or "")
    given = _merged(environ, in_file)
    problems += _unknown(given)
    texts = {name: text for name, text in given.items() if name in _KNOWN}
    for name in given.keys() & _FILES.keys():
        problems += _take_file(name, given[name], texts, read)
    settings, wrong = _settings(texts)
    problems += wrong
    doubtful = {problem.variable for problem in problems}
    if "PARLEY_ENV" not in doubtful:  # or these would be another environment's rules
        broken = broken_rules(settings, texts)
        problems += [problem for problem in broken if problem.variable not in doubtful]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.variable))
    return replace(settings, warnings=tuple(_without_effect(settings, given)))


def _merged(environ: Mapping[str, str], in_file: Mapping[str, str]) -> dict[str, str]:
    """What is set at all: the environment's word, and the file's where that says nothing."""
    given = {name: text for name, text in environ.items() if text}
    for name, text in in_file.items():
        # A secret, whether it comes itself or as a file, is one thing said in two ways.
        secret = _FILES.get(name) or _KNOWN.get(name)
        rivals = {name, secret.name, f"{secret.name}_FILE"} if secret else {name}
        if text and rivals.isdisjoint(name for name, text in environ.items() if text):
            given[name] = text
    return given


def _unknown(given: Collection[str]) -> Iterator[Problem]:
    # Without what all of them begin with, which would make any two look alike.
    names = {name.removeprefix("PARLEY_"): name for name in [*_KNOWN, *_FILES]}
    for name in given:
        known = name in _KNOWN or name in _FILES
        if not name.startswith("PARLEY_") or known or _NOT_OURS.fullmatch(name):
            continue
        if feature := _later(name):
            yield Problem(name, f"This version has no {feature}; leave it out.")
            continue
        near = get_close_matches(name.removeprefix("PARLEY_"), names, 1)
        meant = f" Is {names[near[0]]} meant?" if near else " README.md lists all there are."
        yield Problem(name, f"There is no such setting.{meant}")


def _take_file(
    name: str, path: str, texts: dict[str, str], read: Callable[[str], str]
) -> Iterator[Problem]:
    """Puts a secret that stands in a file among the texts."""
    secret = _FILES[name].name
    if secret in texts:
        yield Problem(name, f"is set, and so is {secret}: set the one that is meant.")
        return
    try:
        texts[secret] = read(path).removesuffix("\n").removesuffix("\r")
    except OSError as error:
        why = error.strerror or type(error).__name__
        yield Problem(name, f"The file it names cannot be read: {why}.", f"{name}=/run/secrets/…")
    except ValueError:  # not UTF-8, or a path that no file can have
        yield Problem(name, "must name a file of text in UTF-8.", f"{name}=/run/secrets/…")


def _settings(texts: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """What can be made of the texts; what cannot has its default, and a problem."""
    problems: list[Problem] = []
    values: dict[str, dict[str, Any]] = {"": {}}
    for name, text in texts.items():
        variable = _KNOWN[name]
        try:
            value = variable.value(_legible(text, variable))
        except ValueError as error:
            problems.append(Problem(name, f"{error}.", variable.shown))
        else:
            values.setdefault(variable.section, {})[variable.field] = value
    own = values.pop("")
    for field in fields(Settings):
        if field.name in values:
            own[field.name] = type(field.default)(**values[field.name])
    return Settings(**own), problems


def _legible(text: str, variable: Variable) -> str:
    """The text without what surrounds it, if it is text at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text in UTF-8") from None
    text = text if variable.secret else text.strip()
    # Taken as they are, both could be secrets that anybody can guess.
    if _COMMAND.fullmatch(text):
        raise ValueError("is a command, and nothing runs it here: put in what it prints")
    if _REFERENCE.fullmatch(text):
        raise ValueError("names a variable, and nothing looks it up here: put in its value")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must be one line without control characters")
    if variable.name == "PARLEY_PORT" and text.startswith("tcp://"):
        raise ValueError(
            "was set by Kubernetes for a service that is called parley; give the pod "
            "`enableServiceLinks: false`, or the service another name"
        )
    return text


def _without_effect(settings: Settings, given: Collection[str]) -> Iterator[str]:
    if settings.development and settings.allowed_origins:
        yield (
            "PARLEY_ALLOWED_ORIGINS is without effect in development, where pages of this machine "
            "alone may connect."
        )
    for feature in _LATER:
        names = sorted(name for name in given if _later(name) == feature)
        if names:
            verb = "is" if len(names) == 1 else "are"
            yield f"{', '.join(names)} {verb} without effect: this version has no {feature}."


def _later(name: str) -> str | None:
    matching = (feature for feature, names in _LATER.items() if names.fullmatch(name))
    return next(matching, None)
