"""Close codes and error codes: each is defined here once, with what a client may do about it."""

from enum import Enum, IntEnum, StrEnum

from msgspec import Struct


class Advice(Enum):
    """What a client does after a close."""

    RECONNECT = "reconnect"
    RENEW = "renew"  # reconnect only with a new token
    STOP = "stop"


class CloseCode(IntEnum):
    """4000–4499: reconnect and resume. 4500–4999: stop. The rest are RFC 6455's."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_TEXT = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTART = 1012
    OVERLOADED = 1013
    HELLO_TIMEOUT = 4001
    TOKEN_EXPIRED = 4002
    SLOW_CONSUMER = 4004
    NOT_LEVEL = 4005
    IDLE = 4006
    RATE_LIMITED = 4007
    HEARTBEAT_LOST = 4008
    BAD_REQUEST = 4500
    UNAUTHENTICATED = 4501
    REPLACED = 4503
    CONNECTION_LIMIT = 4504
    UNSUPPORTED_VERSION = 4506
    FORBIDDEN = 4507
    REVOKED = 4508
    ERASED = 4509

    @property
    def reason(self) -> str:
        """The close frame's reason: fixed words, so it can neither leak nor exceed 123 bytes."""
        return self.name.lower().replace("_", " ")


# Standard codes after which the same bytes would fail the same way.
_FINAL_STANDARD = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_TEXT,
        CloseCode.TOO_BIG,
    }
)


def advice(code: int) -> Advice:
    """What to do after a close with `code`, for any code: ranges, so clients outlive this list."""
    if code == CloseCode.TOKEN_EXPIRED:
        return Advice.RENEW
    if 4500 <= code <= 4999 or code in _FINAL_STANDARD:
        return Advice.STOP
    return Advice.RECONNECT


def close_for_status(status: int) -> CloseCode:
    """The close code that says the same as an HTTP status in the place of the upgrade.

    A browser sees 1006 for all of them; other clients can tell apart what is of no use to repeat.
    """
    match status:
        case 401:
            return CloseCode.UNAUTHENTICATED
        case 403:
            return CloseCode.FORBIDDEN
        case 426:
            return CloseCode.UNSUPPORTED_VERSION
        case 429 | 503:
            return CloseCode.OVERLOADED
        case _ if 400 <= status <= 499 and status != 408:
            return CloseCode.BAD_REQUEST
    return CloseCode.ABNORMAL


class ErrorTraits(Struct, frozen=True):
    """What is the same wherever an error code appears."""

    status: int  # of the HTTP answer that carries it
    retryable: bool  # the same request, unchanged, may succeed later
    meaning: str


class ErrorCode(StrEnum):
    """Every error that a client can meet, on the socket and over HTTP."""

    traits: ErrorTraits

    def __new__(cls, code: str, status: int, retryable: bool, meaning: str) -> "ErrorCode":
        """Bind the code's traits to its value."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.traits = ErrorTraits(status, retryable, meaning)
        return member

    BAD_JSON = "bad_json", 400, False, "The bytes are not one object of the agreed encoding."
    INVALID_FRAME = (
        "invalid_frame",
        400,
        False,
        "A field is unknown, missing or of the wrong shape.",
    )
    INVALID_FIELD = "invalid_field", 422, False, "A value is out of its bounds or not offered here."
    UNKNOWN_TYPE = "unknown_type", 400, False, "There is no frame of this type."
    MESSAGE_TOO_LONG = "message_too_long", 413, False, "A text exceeds its limit in bytes of UTF-8."
    PAYLOAD_TOO_LARGE = "payload_too_large", 413, False, "The body exceeds its limit."
    UNSUPPORTED_MEDIA = "unsupported_media", 415, False, "The content's type is not accepted here."
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, False, "The resource has no such method."
    REQUEST_TIMEOUT = "request_timeout", 408, True, "The request did not arrive in time."
    TOKEN_IN_QUERY = (
        "token_in_query",
        400,
        False,
        "A token in a URL would end in logs; use `hello`.",
    )
    ID_CONFLICT = "id_conflict", 409, False, "This id was used before, for another request."
    NOT_FOUND = "not_found", 404, False, "There is no such thing, or it is not yours."
    FORBIDDEN = "forbidden", 403, False, "The credentials do not allow this."
    UNAUTHENTICATED = "unauthenticated", 401, False, "The credentials are missing or not accepted."
    RATE_LIMITED = "rate_limited", 429, True, "Too many requests; wait `retry_after_ms`."
    QUOTA_EXCEEDED = (
        "quota_exceeded",
        429,
        False,
        "A budget or a count of this principal is used up.",
    )
    BUSY = "busy", 409, True, "The conversation is answering and takes no more for now."
    OVERLOADED = "overloaded", 503, True, "The server has no capacity for this now."
    UNAVAILABLE = (
        "unavailable",
        503,
        True,
        "A part that this needs is away; retry with the same id.",
    )
    PROVIDER_BUSY = "provider_busy", 503, True, "The model's provider refuses for lack of capacity."
    PROVIDER_ERROR = "provider_error", 502, True, "The model's provider failed."
    PROVIDER_TIMEOUT = "provider_timeout", 504, True, "The model's provider did not answer in time."
    CONTENT_BLOCKED = "content_blocked", 422, False, "A policy does not let this text pass."
    CONTEXT_TOO_LONG = (
        "context_too_long",
        422,
        False,
        "The conversation exceeds what the model reads.",
    )
    TOOL_DENIED = "tool_denied", 403, False, "The tool call was not approved."
    TOOL_TIMEOUT = "tool_timeout", 504, False, "The tool did not answer in time."
    APPROVAL_EXPIRED = "approval_expired", 410, False, "The time to decide has passed."
    APPROVAL_CONFLICT = "approval_conflict", 409, False, "Decided otherwise, or other arguments."
    RESYNC_REQUIRED = "resync_required", 409, True, "The position is lost; start from a snapshot."
    INTERNAL = "internal", 500, False, "A fault of the server; `trace` names it in the logs."

    @property
    def status(self) -> int:
        """The HTTP status that carries this code."""
        return self.traits.status

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.traits.retryable
