-- Who may come.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sites (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    public_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    origins TEXT NOT NULL,
    settings TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant) REFERENCES tenants (id)
) STRICT;

CREATE TABLE users (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('visitor', 'user')),
    roles TEXT NOT NULL,
    tier TEXT NOT NULL,
    name TEXT,
    email TEXT,
    locale TEXT,
    password_hash TEXT,
    token_budget INTEGER,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    sessions_from INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

-- An address names one account only where it is used to sign in.
CREATE UNIQUE INDEX users_login ON users (tenant, lower(email)) WHERE password_hash IS NOT NULL;

CREATE TABLE keys (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

-- What people say. Tenants and users come from verified tokens, so nothing here refers to the
-- tables above: a row there is made where there is something to keep. Every key begins with the
-- tenant and ids grow with time, so these tables can be partitioned by both without a new column.

CREATE TABLE conversations (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    title TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'completed', 'archived')),
    model TEXT,
    system_prompt TEXT,
    collection TEXT,
    metadata TEXT NOT NULL,
    leaf TEXT,
    message_count INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    summary TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX conversations_of_owner ON conversations (tenant, owner, updated_at, id)
WHERE deleted_at IS NULL;

CREATE TABLE messages (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    parent TEXT,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
    content TEXT NOT NULL,
    metadata TEXT NOT NULL,
    attachments TEXT NOT NULL,
    number INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, conversation, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE,
    -- No cascade: deleting a long branch would recurse once per message.
    FOREIGN KEY (tenant, conversation, parent) REFERENCES messages (tenant, conversation, id)
) STRICT;

CREATE INDEX messages_of_parent ON messages (tenant, conversation, parent, number);

CREATE TABLE answers (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    parent TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'parked', 'ended')),
    phase TEXT NOT NULL,
    stop_reason TEXT,
    attempt INTEGER NOT NULL,
    incarnation TEXT,
    fence INTEGER NOT NULL,
    request TEXT NOT NULL,
    transcript TEXT,
    epoch TEXT,
    seq INTEGER NOT NULL,
    length INTEGER NOT NULL,
    crc32 INTEGER,
    outcome TEXT,
    finish_reason TEXT,
    model TEXT,
    provider TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    citations TEXT NOT NULL,
    sources TEXT NOT NULL,
    degraded TEXT NOT NULL,
    timings TEXT,
    error TEXT,
    terminal INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, id) REFERENCES messages (tenant, id) ON DELETE CASCADE,
    CHECK ((state = 'running') = (incarnation IS NOT NULL)),
    CHECK ((state = 'ended') = (outcome IS NOT NULL))
) STRICT;

CREATE INDEX answers_unfinished ON answers (tenant, conversation, number) WHERE state <> 'ended';

-- The text of an unfinished answer, a piece per checkpoint; `start` counts UTF-16 code units.
CREATE TABLE pieces (
    tenant TEXT NOT NULL,
    answer TEXT NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, answer, start),
    FOREIGN KEY (tenant, answer) REFERENCES answers (tenant, id) ON DELETE CASCADE
) STRICT;

-- What the conversation's log has to tell, in order; `logged` once it did.
CREATE TABLE commits (
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('message', 'complete', 'conversation', 'feedback')),
    subject TEXT NOT NULL,
    logged INTEGER NOT NULL CHECK (logged IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation, number),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX commits_unlogged ON commits (tenant, conversation, number) WHERE logged = 0;

-- What a client's id stood for. Kept as long as its owner: an id is recognised for ever.
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    result TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, id)
) STRICT;

CREATE TABLE feedback (
    tenant TEXT NOT NULL,
    message TEXT NOT NULL,
    owner TEXT NOT NULL,
    conversation TEXT NOT NULL,
    rating TEXT NOT NULL CHECK (rating IN ('up', 'down', '1', '2', '3', '4', '5')),
    comment TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, message, owner),
    FOREIGN KEY (tenant, message) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX feedback_by_time ON feedback (tenant, updated_at, message, owner);

-- Who runs answers, and what answers run.

CREATE TABLE incarnations (
    id TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    beat_at INTEGER NOT NULL,
    unbroken_since INTEGER NOT NULL
) STRICT;

CREATE TABLE tool_calls (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    answer TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('server', 'client')),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    arguments TEXT NOT NULL,
    args_hash TEXT NOT NULL,
    result TEXT,
    fence INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, answer) REFERENCES answers (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX tool_calls_of_answer ON tool_calls (tenant, answer, created_at, id);
CREATE INDEX tool_calls_expiring ON tool_calls (expires_at) WHERE expires_at IS NOT NULL;

-- A row is a decision; there is no second one.
CREATE TABLE approvals (
    tenant TEXT NOT NULL,
    call TEXT NOT NULL,
    args_hash TEXT NOT NULL,
    allow INTEGER NOT NULL CHECK (allow IN (0, 1)),
    decided_by TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, call),
    FOREIGN KEY (tenant, call) REFERENCES tool_calls (tenant, id) ON DELETE CASCADE
) STRICT;

-- What was consumed. It outlives its answer, so it refers to nothing.
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    owner TEXT NOT NULL,
    answer TEXT,
    feature TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    day INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE INDEX usage_by_time ON usage (tenant, created_at);
CREATE INDEX usage_of_owner ON usage (tenant, owner, created_at);
CREATE INDEX usage_of_answer ON usage (tenant, answer) WHERE answer IS NOT NULL;

-- Work in the background. Tenant '' is the installation itself.

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    dedupe TEXT,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'dead')),
    run_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    holder TEXT,
    lease INTEGER NOT NULL,
    last_error TEXT,
    progress TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'open';
CREATE INDEX jobs_dead ON jobs (tenant, id) WHERE state = 'dead';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_once ON jobs (tenant, kind, dedupe)
WHERE dedupe IS NOT NULL AND state = 'open';

CREATE TABLE schedules (
    name TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    every_ms INTEGER NOT NULL CHECK (every_ms > 0),
    next_at INTEGER NOT NULL
) STRICT;

-- What was done with power over others. Actors stand here under a pseudonym: forgetting a person
-- removes the row that resolves it and leaves the chain whole.

CREATE TABLE audit (
    tenant TEXT NOT NULL,
    number INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT;

CREATE TABLE audit_heads (
    tenant TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE pseudonyms (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    PRIMARY KEY (tenant, person),
    UNIQUE (tenant, pseudonym)
) STRICT;

CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

-- REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE tenant = NEW.tenant AND number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
