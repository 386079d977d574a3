"""What the built-in model says."""

import os
import subprocess
import sys
import time

import pytest

from protocol.types import FinishReason
from server.providers.base import Finished
from server.providers.offline import ECHO, QUOTE, Offline, answer, shortened, terms
from storage.values import Spent
from tests.support.models import alternation, asks, events, text_of
from tests.support.virtual import running, virtually

FAMILY = "👨‍👩‍👧‍👦"
AT_ONCE = Offline(word_s=0)


def said(*contents: str) -> str:
    """The answer to the last of the contents; the others are alternately the model's and ours."""
    return answer(asks(*contents).turns)


class TestFirstMessage:
    def test_it_is_echoed_with_an_honest_account(self) -> None:
        """A newcomer learns what answers, what it can do, and what to try."""
        told = said("hello")
        assert told.startswith("You wrote: “hello”")
        assert "no language model" in told
        assert "built into Parley" in told
        assert "“My train leaves at nine.”" in told

    def test_what_it_suggests_works(self) -> None:
        """The example of its own first answer."""
        first, statement = said("hello"), "My train leaves at nine."
        second = said("hello", first, statement)
        told = said("hello", first, statement, second, "When does the train leave?")
        assert told.startswith("You said earlier: “My train leaves at nine.”")

    @pytest.mark.parametrize("content", ["", " ", "\n\n"])
    def test_an_empty_one_is_not_echoed(self, content: str) -> None:
        """There is nothing to put between the marks."""
        assert said(content).startswith("I am the offline model")

    def test_no_turn_at_all_is_answered_too(self) -> None:
        """It has no way to fail."""
        assert answer(()).startswith("I am the offline model")


class TestQuoting:
    @pytest.mark.parametrize(
        ("statements", "question", "quoted"),
        [
            ("My train leaves at nine. The weather is nice.", "When does it leave?", "My train"),
            ("Meine Katze heißt Minka. Sie mag Fisch.", "Wie heisst die Katze?", "Meine Katze"),
            ("Поезд отходит в девять. Сегодня жарко.", "Когда отходит поезд?", "Поезд отходит"),
            ("मेरी ट्रेन नौ बजे निकलती है। मौसम अच्छा था।", "ट्रेन कब निकलती है?", "मेरी ट्रेन"),
            ("天气很好。我的船星期二开。", "船什么时候开？", "我的船星期二开。"),
            ("いい天気です。電車は九時に出ます。", "電車はいつ？", "電車は九時に出ます。"),
            ("รถไฟออกเก้าโมง\nอากาศดี", "รถไฟออกกี่โมง", "รถไฟออกเก้าโมง"),
        ],
    )
    def test_the_sentence_that_shares_most_is_quoted(
        self, statements: str, question: str, quoted: str
    ) -> None:
        """In any script: by words, by ideographs, by pairs of letters where none are parted."""
        told = said(statements, "Well.", question)
        assert told.startswith(f"You said earlier: “{quoted}")
        assert told.count("“") == 1

    def test_several_that_share_as_much_come_in_their_order(self) -> None:
        """Three at most, the latest of equals, each once."""
        told = said("Red car. Big car. My car.", "x", "Old car. My car.", "y", "Which car?")
        assert told.startswith("You said earlier: “Big car.” “My car.” “Old car.”\n")

    def test_a_question_is_quoted_only_where_no_statement_fits(self) -> None:
        """What was asked before is no answer."""
        assert said("Is my car red?", "x", "car?").startswith("You asked earlier: “Is my car red?”")
        told = said("Is my car red?", "x", "The car is blue.", "y", "Which car?")
        assert told.startswith("You said earlier: “The car is blue.”")

    def test_its_own_words_are_never_quoted(self) -> None:
        """They are quotes already, or an account of itself."""
        assert "You told me nothing earlier about: language" in said("Hi.", "language", "language?")

    def test_what_is_not_found_is_named(self) -> None:
        """In the order of the question, without the commonest words."""
        told = said("hello", "Hi.", "Where does Bob live, and with whom?")
        assert told.startswith("You told me nothing earlier about: bob, live\n")
        assert "no language model" in told

    def test_a_message_without_a_word_is_answered_too(self) -> None:
        """Nothing can be looked for."""
        assert said("hello", "Hi.", "?!").startswith("I am Parley's offline model")

    def test_terms_are_bare_and_in_one_spelling(self) -> None:
        """Punctuation within a word stays."""
        assert terms("(Don't) STRASSE, straße: e-mail… 船shop") == {
            "don't", "strasse", "e-mail", "船", "shop",
        }  # fmt: skip


class TestSize:
    def test_a_quote_is_cut_where_a_word_ends(self) -> None:
        """With a mark that something is left out."""
        assert shortened("alpha beta\ngamma delta", 18) == "alpha beta gamma…"
        assert shortened("alpha beta", 10) == "alpha beta"

    @pytest.mark.parametrize("visible", [FAMILY, "e\u0301", "👍🏽", "🇩🇪", "❤\ufe0f"])
    @pytest.mark.parametrize("most", range(20, 40))
    def test_no_visible_character_is_cut(self, visible: str, most: int) -> None:
        """Families, accents, skins and flags stay whole where they can be told apart."""
        cut = shortened(f"{visible}." * 100, most)
        assert len(cut) <= most + 1
        assert cut.removesuffix("…").replace(visible, "").strip(".") == ""

    def test_a_character_without_end_is_cut_all_the_same(self) -> None:
        """The bound holds."""
        assert shortened("a" + "\u0301" * 1000, 50) == "a" + "\u0301" * 49 + "…"

    @pytest.mark.parametrize(
        "unit",
        [
            "a ",
            "a. ",
            "x",
            " ",
            "\n",
            "e\u0301\u0316",
            "船",
            "ไ",
            ". ",
            "…",
            "🇩",
            "。",
            "\ufdfa",
            "? ",
        ],
    )
    def test_a_megabyte_is_answered_briefly_and_soon(self, unit: str) -> None:
        """Whatever it consists of; the thread's own time, so other programs are not in it."""
        content = unit * (1_000_000 // len(unit))
        turns = asks(content, "x", content).turns
        took = []
        for _ in range(3):
            started = time.thread_time()
            told = answer(turns)
            took.append(time.thread_time() - started)
            assert len(told) <= ECHO + 3 * (QUOTE + 5) + 500
        assert min(took) < 0.05

    @pytest.mark.parametrize("blank", ["", " "], ids=["ideographs", "words"])
    def test_a_question_of_many_words_is_answered_as_soon(self, blank: str) -> None:
        """Each sentence said before is held against it."""
        begins = "" if blank == "" else "word"
        words = [f"{begins}{chr(0x4E00 + number)}" for number in range(4000)]
        turns = asks("x?\n" * 500, "x", blank.join(words)).turns
        took = []
        for _ in range(3):
            started = time.thread_time()
            answer(turns)
            took.append(time.thread_time() - started)
        assert min(took) < 0.05


class TestStreaming:
    async def test_it_comes_word_by_word(self) -> None:
        """The pieces make the answer; each is a token, as is each word read, and it is free."""
        request = asks("My train leaves at nine.", "Well.", "When does the train leave?")
        *pieces, last = await events(AT_ONCE, request)
        assert text_of(pieces) == answer(request.turns)
        assert all(len(str(piece).split()) == 1 for piece in pieces)
        assert last == Finished(reason=FinishReason.STOP, spent=Spent(11, len(pieces), 0))

    async def test_a_bound_on_its_tokens_is_kept(self) -> None:
        """And told."""
        *pieces, last = await events(AT_ONCE, asks("hello", max_tokens=3))
        assert pieces == ["You ", "wrote: ", "“hello”\n\n"]
        assert last == Finished(reason=FinishReason.LENGTH, spent=Spent(1, 3, 0))

    async def test_broken_text_is_mended(self) -> None:
        """What it echoes may travel."""
        told = text_of(await events(AT_ONCE, asks("a\ud800b\0c")))
        assert told.startswith("You wrote: “a\ufffdb\ufffdc”")

    def test_words_are_paced_so_that_one_sees_them_come(self) -> None:
        """Forty a second."""

        async def main() -> tuple[float, int]:
            started = running().time()
            count = len(await events(Offline(), asks("hello"))) - 1
            return running().time() - started, count

        took, count = virtually(main())
        assert took == pytest.approx((count - 1) * 0.025, abs=0.002)

    async def test_each_word_leaves_a_turn_to_others(self) -> None:
        """Also unpaced."""
        order = await alternation(AT_ONCE, asks("hello"))
        assert order[:6] == [0, 1, 0, 1, 0, 1]


def test_it_says_the_same_in_every_process() -> None:
    """Sets of words have another order in each; nothing may depend on it."""
    program = (
        "from tests.support.models import asks; from server.providers.offline import answer;"
        "print(answer(asks('x', 'y', 'İi ıI one two three four five').turns),"
        "answer(asks('red car. big car. my car. old car', 'y', 'car').turns))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
