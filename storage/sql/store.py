"""Everything kept in rows, over one database."""

from storage.ids import Ids
from storage.sql.accounts import SqlAccounts
from storage.sql.answers import SqlAnswers
from storage.sql.audit import SqlAudit
from storage.sql.commits import SqlOutbox
from storage.sql.conversations import SqlConversations
from storage.sql.database import Database
from storage.sql.feedback import SqlFeedback, SqlOpinions
from storage.sql.history import SqlHistory
from storage.sql.jobs import SqlJobs
from storage.sql.ownership import SqlOwnership
from storage.sql.renewals import SqlRenewals
from storage.sql.sending import SqlSending
from storage.sql.tools import SqlToolCalls, SqlTools
from storage.sql.usage import SqlSpending, SqlUsage
from storage.store import (
    Accounts,
    Audit,
    Conversations,
    History,
    Internal,
    InternalAnswers,
    InternalFeedback,
    InternalTools,
    InternalUsage,
    Jobs,
    Opinions,
    Outbox,
    Ownership,
    Renewals,
    Sending,
    Spending,
    Tools,
)


class SqlInternal:
    """See `storage.store.Internal`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self.answers: InternalAnswers = SqlAnswers(db)
        self.outbox: Outbox = SqlOutbox(db)
        self.ownership: Ownership = SqlOwnership(db)
        self.tools: InternalTools = SqlToolCalls(db)
        self.feedback: InternalFeedback = SqlFeedback(db)
        self.usage: InternalUsage = SqlUsage(db)
        self.jobs: Jobs = SqlJobs(db, ids)
        self.audit: Audit = SqlAudit(db, ids)
        self.accounts: Accounts = SqlAccounts(db)
        self.renewals: Renewals = SqlRenewals(db)


class SqlStore:
    """See `storage.store.Store`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self.sending: Sending = SqlSending(db, ids)
        self.conversations: Conversations = SqlConversations(db, ids)
        self.history: History = SqlHistory(db)
        self.tools: Tools = SqlTools(db)
        self.feedback: Opinions = SqlOpinions(db)
        self.usage: Spending = SqlSpending(db)
        self.internal: Internal = SqlInternal(db, ids)
