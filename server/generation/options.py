"""How answers are made, for how long, and how often is looked after them."""

from typing import Annotated

from msgspec import Meta, Struct

# An answer that no frame could hold would never be read again, so this is no bound to be raised.
MOST_OUTPUT_BYTES = 192 * 1024


class Options(Struct, frozen=True, kw_only=True):
    """How answers are made."""

    first_token_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds that a model may take for its first word, tries included.",
        ),
    ] = 30.0
    idle_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds that a model may be silent within its answer."),
    ] = 15.0
    total_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86_400,
            description="Seconds that an answer may take, without those it waits for people.",
        ),
    ] = 300.0
    close_s: Annotated[
        float,
        Meta(gt=0, le=60, description="Seconds that a model's connection may take to be closed."),
    ] = 1.0
    retries: Annotated[
        int,
        Meta(ge=0, le=10, description="Further tries before a model's first word; 0: none."),
    ] = 2
    backoff_s: Annotated[
        float,
        Meta(
            ge=0, le=60, description="Seconds before the first further try, doubled for the next."
        ),
    ] = 0.5
    retry_share: Annotated[
        float,
        Meta(ge=0, le=1, description="Further tries as a share of all calls; 0: only the reserve."),
    ] = 0.1
    retry_reserve: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Further tries that are allowed beyond that share."),
    ] = 20
    output_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=MOST_OUTPUT_BYTES,
            description="Bytes that an answer may have as JSON, with the thoughts that are shown; "
            "with more than the default it would not fit a frame.",
        ),
    ] = MOST_OUTPUT_BYTES
    context_messages: Annotated[
        int,
        Meta(
            ge=1, le=1000, description="Messages of a conversation that a model is shown at most."
        ),
    ] = 50
    reserve_tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Tokens of room kept for an answer that sets no max_tokens.",
        ),
    ] = 4096
    thoughts: Annotated[
        bool, Meta(description="Whether a model's reasoning is shown, where it tells of it.")
    ] = True
    tool_steps: Annotated[
        int,
        Meta(
            ge=0, le=100, description="How often a model may go on after calling tools; 0: never."
        ),
    ] = 8
    approval_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds that a person has to allow a tool call.")
    ] = 600.0
    client_tool_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Seconds that a client has to run a tool of its own."),
    ] = 600.0
    concurrent: Annotated[
        int,
        Meta(
            ge=0, le=1_000_000, description="Answers made at once, the others wait; 0: any number."
        ),
    ] = 0
    unwatched_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds that an answer goes on without anybody who follows it, then it is "
            "stopped; 0: for ever.",
        ),
    ] = 0.0
    checkpoint_s: Annotated[
        float,
        Meta(
            gt=0, le=60, description="Seconds between two checkpoints; a crash loses no more text."
        ),
    ] = 1.0
    heartbeat_s: Annotated[
        float,
        Meta(
            gt=0, le=4, description="Seconds between two life signs; after 9 without, it is dead."
        ),
    ] = 3.0
    sweep_s: Annotated[
        float,
        Meta(gt=0, le=60, description="Seconds between two looks for answers that nobody makes."),
    ] = 2.0
