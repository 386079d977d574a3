"""Tokens as the built-in models count them: by a rule that a person can check by eye."""

from server.providers.base import ModelRequest


def prompt_tokens(request: ModelRequest) -> int:
    """One per word, as whitespace parts them, of all that the model is given to read.

    That is the system prompt, the turns, the results of tools, and what it said in earlier steps.
    """
    texts = [request.system_prompt or "", request.said]
    texts += [turn.content for turn in request.turns]
    texts += [outcome.result for outcome in request.outcomes]
    return sum(len(text.split()) for text in texts)
