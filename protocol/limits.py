"""The numbers that bound the wire. A server may promise less in `welcome.limits`, never more."""

from msgspec import Struct

from protocol.types import Count

CLIENT_FRAME_BYTES = 64 * 1024
GREETING_FRAME_BYTES = 4 * 1024  # until `hello` is answered
SERVER_FRAME_BYTES = 256 * 1024
CONTENT_BYTES = 32 * 1024
SYSTEM_PROMPT_BYTES = 8 * 1024
METADATA_BYTES = 2 * 1024
MESSAGE_ATTACHMENTS = 5
TOOLS = 64
ATTACHED_CONVERSATIONS = 50
HISTORY_MESSAGES = 100
HISTORY_DEFAULT = 50
QUEUED_ANSWERS = 3
MAX_TOKENS = 128_000
RETRIEVAL_LIMIT = 50
NESTING = 8  # levels of free JSON (tool schemas, arguments); each doubles the time to import

HELLO_TIMEOUT_S = 5.0


class Limits(Struct, frozen=True, kw_only=True):
    """Every limit that applies to this principal; sizes in bytes of UTF-8 or of the frame."""

    client_frame_bytes: Count = CLIENT_FRAME_BYTES
    server_frame_bytes: Count = SERVER_FRAME_BYTES
    content_bytes: Count = CONTENT_BYTES
    system_prompt_bytes: Count = SYSTEM_PROMPT_BYTES
    metadata_bytes: Count = METADATA_BYTES
    message_attachments: Count = MESSAGE_ATTACHMENTS
    tools: Count = TOOLS
    attached_conversations: Count = ATTACHED_CONVERSATIONS
    history_messages: Count = HISTORY_MESSAGES
    queued_answers: Count = QUEUED_ANSWERS
    max_tokens: Count = MAX_TOKENS
    messages_per_minute: Count = 60
    typing_per_minute: Count = 30
    sockets: Count = 20
