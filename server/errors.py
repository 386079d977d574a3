"""What a client may be told when something cannot be done; the edges translate, nobody else."""

from protocol.codec import Refusal
from protocol.codes import ErrorCode
from storage import errors


class ChatError(Exception):
    """A request is refused: with a code, words for a developer, and when to come back."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code.value}: {self.message}"

    def refusal(self, ref: str | None) -> Refusal:
        """The same as the socket says it, of the frame that `ref` names."""
        return Refusal(self.code, self.message, ref, self.retry_after_ms)


def from_storage(error: errors.StorageError) -> ChatError:
    """What a client is told of a failure of the store: never the store's own words."""
    match error:
        case errors.NotFound():
            return ChatError(ErrorCode.NOT_FOUND, f"There is no such {error.what}, or not for you.")
        case errors.IdConflict():
            words = "This id was used for another request; a new request needs a new id."
            return ChatError(ErrorCode.ID_CONFLICT, words)
        case errors.ApprovalExpired():
            words = "The time to decide has passed; the tool will not run."
            return ChatError(ErrorCode.APPROVAL_EXPIRED, words)
        case errors.DecidedOtherwise():
            words = "The call was decided otherwise, or has other arguments; read its state anew."
            return ChatError(ErrorCode.APPROVAL_CONFLICT, words)
        case errors.NotEditable():
            words = "Only a user's message is edited; for another answer send `regenerate`."
            return ChatError(ErrorCode.INVALID_FIELD, words)
        case errors.TooMany():
            words = f"That place has {error.most} {error.what} already, the most it may have."
            return ChatError(ErrorCode.QUOTA_EXCEEDED, words)
        case errors.Busy():
            words = (
                "The conversation is answering. Wait, stop an answer, or send on_busy=interrupt."
            )
            return ChatError(ErrorCode.BUSY, words)
        case errors.Overloaded():
            words = "The server has no capacity for this now; send it again with the same id."
            return ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=error.retry_after_ms)
        case errors.Unavailable():
            words = "A part that this needs is away; send it again with the same id."
            return ChatError(ErrorCode.UNAVAILABLE, words)
    return internal()


def internal() -> ChatError:
    """A fault of this server; the log has what it was."""
    words = "The server failed at this. The error's trace names the case in its logs."
    return ChatError(ErrorCode.INTERNAL, words)
