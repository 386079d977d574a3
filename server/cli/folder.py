"""The data folder, from the path that was named to a folder that is there."""

import stat
from pathlib import Path

from server.config import ConfigError, Problem


def obstacle(folder: Path) -> str | None:
    """Why it is no folder and can never be made, in a sentence; None if it is or may be."""
    for place in (folder, *folder.parents):
        try:
            is_folder = stat.S_ISDIR(place.stat().st_mode)
        except NotADirectoryError:
            continue  # the next one is named, which should be one
        except FileNotFoundError:
            if place.is_symlink():
                return f"{place.absolute()} is a link to what is not there."
        except OSError as error:
            return f"{place.absolute()} cannot be used: {error.strerror}."
        else:
            return None if is_folder else f"{place.absolute()} is no folder."
    return None


def refuse_unfit(folder: Path) -> None:
    """ConfigError where data can never be kept there."""
    why = obstacle(folder)
    if why is not None:
        raise _unfit(why)


def make(folder: Path) -> None:
    """It is there afterwards, for this user alone if it was not before; else ConfigError."""
    refuse_unfit(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unfit(f"The folder {folder} cannot be made: {error.strerror}.") from None


def _unfit(sentence: str) -> ConfigError:
    return ConfigError([Problem("PARLEY_DATA_DIR", sentence, "PARLEY_DATA_DIR=/var/lib/parley")])
