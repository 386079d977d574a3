"""What a file `.env` says, and what it says about lines that cannot be read."""

import pytest

from server.config import ConfigError
from server.config.dotenv import legible, parse

LINES = {
    "a bare value": ("A=one two", "one two"),
    "blanks around": ("  A \t=  one  ", "one"),
    "an exported one": ("export A=one", "one"),
    "nothing": ("A=", ""),
    "a comment after a bare value": ("A=one # two", "one"),
    "a comment after nothing": ("A= # two", ""),
    "a number sign within a word": ("A=one#two", "one#two"),
    "an equals sign": ("A=b=c==", "b=c=="),
    "single quotes": ("A='one # \"two\" \\n $B'", 'one # "two" \\n $B'),
    "double quotes": ("A=\"one # 'two'\"", "one # 'two'"),
    "escapes": (r'A="\n\t\r\"\\\$\`\x"', '\n\t\r"\\$`\\x'),
    "a comment after quotes": ('A="one"  # two', "one"),
    "several lines": ("A='one\ntwo'", "one\ntwo"),
    "no substitution": ("A=$HOME", "$HOME"),
    "quotes within a bare value": ("A=it's", "it's"),
    "Windows' line ends": ("A=one\r\nB=two\r\n", "one"),
    "an old Mac's": ("A=one\rB=two", "one"),
    "a byte order mark": ("\ufeffA=one", "one"),
    "the last of a name": ("A=one\nA=two", "two"),
}


@pytest.mark.parametrize(("text", "value"), LINES.values(), ids=LINES)
def test_a_line_is_read_as_a_shell_would(text: str, value: str) -> None:
    """Bare, quoted, exported, commented: the value is what was meant."""
    values, problems = parse(text)
    assert values["A"] == value
    assert problems == []


def test_comments_and_empty_lines_say_nothing() -> None:
    """They stand between the entries, also at the end without a newline."""
    assert parse("\n# one\n  \n  # two") == ({}, [])


@pytest.mark.parametrize("line", ["A", "1A=x", "A-B=x", "A='x", 'A="x', "A='x'y", "=x"])
def test_a_line_that_cannot_be_read_is_named_by_its_number(line: str) -> None:
    """It may be half of a secret, so nothing of it is repeated; the others still count."""
    values, problems = parse(f"B=1\n{line}\nC=2")
    assert values == {"B": "1", "C": "2"}
    assert [problem.variable for problem in problems] == [".env, line 2"]
    assert "x" not in problems[0].sentence.split()


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"A=one\nB=\xff\n", 2),
        (b"A=one\r\nB=\0two", 2),
        ("A=one\n".encode("utf-16"), 1),
        ("A=one\n".encode("utf-16-le"), 1),
    ],
    ids=["another encoding", "a zero byte", "UTF-16", "UTF-16 without its mark"],
)
def test_a_file_of_another_encoding_is_named_with_its_line(raw: bytes, line: int) -> None:
    """What would be read of it is not what was meant."""
    with pytest.raises(ConfigError, match=rf"\.env, line {line}: is not text in UTF-8"):
        legible(raw)
    assert legible("\ufeffA=ä".encode()) == "\ufeffA=ä"
