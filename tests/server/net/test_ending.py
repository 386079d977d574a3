"""How a connection ends."""

from server.net.ending import answer, refusal


def test_an_answer_is_a_whole_response() -> None:
    """With its length and the word that nothing follows."""
    assert answer(429, [(b"retry-after", b"1")], b"{}") == (
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\n{}"
    )


def test_an_application_does_not_frame_its_answer() -> None:
    """A second length, and no client reads the status any more."""
    said = [(b"Content-Length", b"2"), (b"connection", b"keep-alive"), (b"x-request-id", b"s")]
    assert answer(400, said, b"{}") == (
        b"HTTP/1.1 400 Bad Request\r\nx-request-id: s\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\n{}"
    )


def test_a_status_without_a_name_is_sent_all_the_same() -> None:
    """An application may use any."""
    assert answer(499, (), b"").startswith(b"HTTP/1.1 499 \r\n")


def test_a_refusal_says_why_in_plain_text() -> None:
    """For the one who reads the handshake's response in a log of his own."""
    assert b"content-type: text/plain; charset=utf-8\r\n" in refusal(400, "Because.")
    assert refusal(400, "Because.").endswith(b"\r\n\r\nBecause.\n")
