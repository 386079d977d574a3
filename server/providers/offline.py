"""The built-in model: no key, no network, no chance, and no language model either.

It answers from the conversation itself: it quotes, of what the person said earlier, the sentences
that share most with the question, and it says what it is. Its own answers are not quoted; they
hold nothing new. Prompt tokens are words, completion tokens the pieces it gives, and nothing costs.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence

from protocol.text import mend
from protocol.types import FinishReason, Guarded, Role
from server.providers.base import Finished, ModelEvent, ModelRequest, Turn
from server.providers.counting import prompt_tokens
from server.providers.pacing import Pacing, turn
from storage.values import Spent

WORD_S = 0.025  # slow enough for a person to see that it streams

# Bounds on the work, which holds the event loop, and on what is said; in characters, mostly.
RECENT = 16 * 1024  # of what was said earlier
SENTENCES = 500  # of those
QUESTION = 4096
QUOTES = 3
QUOTE = 280
ECHO = 120

_WORD = re.compile(r"\S+\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?…؟।])\s+|(?<=[。！？])|\n+")
_ASKING = ("?", "？", "؟")
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff]{2,}")
_COMMON_ENGLISH = """
a about am an and any are as at be been but by can could did do does for from had has have he her
his how i if in is it its me my no not of on or our she should so tell that the their them then
there they this to us was we were what when where which who whom whose why will with would you your
"""
_COMMON = frozenset(_COMMON_ENGLISH.split())

_ABOUT = """\
I am the offline model that is built into Parley. I need no key and no network, and I am no \
language model: I answer by quoting what you told me earlier in the same conversation, and I see \
nothing of that kind yet. Try it: say “My train leaves at nine.”, then ask when the train leaves."""
_NOTHING = """\
I am Parley's offline model, no language model: I can only quote what you told me earlier in this \
conversation. What you just wrote I can quote from now on."""
_QUOTED = "(Quoted by Parley's offline model, which is no language model.)"


class Sentence(Guarded, frozen=True):
    """Something the person said earlier, and how much it shares with the question."""

    text: str
    score: int

    @property
    def asks(self) -> bool:
        """Whether it is a question itself."""
        return self.text.endswith(_ASKING)


class Offline:
    """The provider of the model `offline`."""

    name = "offline"

    def __init__(self, *, word_s: float = WORD_S, pacing: Pacing | None = None) -> None:
        """Pause `word_s` seconds between two words; 0: none, but a turn of the event loop."""
        self._word_s = word_s
        self._pacing = pacing or Pacing()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer the last turn, word by word."""
        words = _WORD.findall(mend(answer(request.turns)))
        given = words[: request.max_tokens]
        due = self._pacing.now()
        for word in given:
            if self._word_s:
                await self._pacing.until(due)
                due += self._word_s
            else:
                await turn()
            yield word
        reason = FinishReason.STOP if given == words else FinishReason.LENGTH
        yield Finished(reason=reason, spent=self.spent(request, "".join(given)))

    def spent(self, request: ModelRequest, text: str) -> Spent:
        """Words, and no money."""
        return Spent(prompt_tokens(request), len(text.split()))


def answer(turns: Sequence[Turn]) -> str:
    """What the model says to the last of the turns."""
    question = turns[-1].content[:QUESTION] if turns else ""
    earlier = _said(turns[:-1])
    if not earlier:
        echo = shortened(question, ECHO)
        return f"You wrote: “{echo}”\n\n{_ABOUT}" if echo else _ABOUT
    wanted = terms(question)
    begun = _beginnings(wanted)
    found = _best([Sentence(text, _shared(wanted, begun, terms(text))) for text in earlier])
    if found:
        verb = "asked" if found[0].asks else "said"
        quotes = " ".join(f"“{shortened(sentence.text, QUOTE)}”" for sentence in found)
        return f"You {verb} earlier: {quotes}\n\n{_QUOTED}"
    if not wanted:
        return _NOTHING
    folded = question.casefold()
    topics = ", ".join(sorted(wanted, key=lambda term: (folded.find(term), term)))
    return f"You told me nothing earlier about: {shortened(topics, ECHO)}\n\n{_NOTHING}"


def _said(turns: Sequence[Turn]) -> list[str]:
    """The latest sentences of the person, oldest first."""
    room, recent = RECENT, list[str]()
    for said in reversed(turns):
        if said.role is Role.USER and room > 0:
            recent.append(said.content[:room])
            room -= len(said.content)
    text = "\n".join(reversed(recent))
    return [*filter(None, map(str.strip, _SENTENCE_END.split(text)))][-SENTENCES:]


def _best(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The few that share most, oldest first; a question only where no statement shares anything."""
    sharing = [sentence for sentence in sentences if sentence.score]
    stated = [sentence for sentence in sharing if not sentence.asks]
    # Said twice is quoted once; of equals the latest counts.
    candidates = {sentence.text: sentence for sentence in reversed(stated or sharing)}
    ranked = sorted(candidates.values(), key=lambda sentence: -sentence.score)[:QUOTES]
    kept = [sentence for sentence in ranked if 2 * sentence.score >= ranked[0].score]
    return sorted(kept, key=sentences.index)


def terms(text: str) -> set[str]:
    """The words that say what it is about, in one spelling.

    An ideograph counts as a word, and so do two letters together where a script has no spaces.
    """
    found = set()
    for run in text.casefold().split():
        found.update(_IDEOGRAPH.findall(run))
        for unspaced in _UNSPACED.findall(run):
            found.update(unspaced[at : at + 2] for at in range(len(unspaced) - 1))
        word = _bare(_UNSPACED.sub("", _IDEOGRAPH.sub("", run)))
        if word and word not in _COMMON:
            found.add(word)
    return found


def _bare(word: str) -> str:
    """Without the punctuation around it."""
    start, end = 0, len(word)
    while start < end and unicodedata.category(word[start])[0] in "PSCZ":
        start += 1
    while start < end and unicodedata.category(word[end - 1])[0] in "PSCZ":
        end -= 1
    return word[start:end]


def _beginnings(words: Iterable[str]) -> Counter[str]:
    """How many of the words begin so; of short ones none is like another."""
    return Counter(word[:4] for word in words if len(word) >= 4)


def _shared(wanted: set[str], begun: Counter[str], said: set[str]) -> int:
    """How much two texts share: longer words say more, a like beginning less.

    `begun` are the beginnings of what is wanted, counted once for all the sentences.
    """
    same = wanted & said
    whole = _beginnings(same)
    alike = [begins for begins in _beginnings(said - same) if begun[begins] > whole[begins]]
    return sum(map(len, same)) + 2 * len(alike)


def shortened(text: str, most: int) -> str:
    """In one line, and cut where a word ends, or at least no character a person sees."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    end = line.rfind(" ", most // 2, most)
    if end < 0:
        end = most
        while end and _joins(line[end - 1], line[end]):
            end -= 1
    return line[: end or most].rstrip() + "…"


def _joins(before: str, after: str) -> bool:
    """Whether two code points belong to one visible character; near enough for a cut."""
    return (
        unicodedata.category(after).startswith("M")
        or "\u200d" in (before, after)
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")
    )
