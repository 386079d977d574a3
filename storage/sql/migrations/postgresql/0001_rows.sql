-- Who may come.

CREATE TABLE tenants (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL,
    settings text NOT NULL,
    disabled bigint NOT NULL CHECK (disabled IN (0, 1)),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE sites (
    tenant text NOT NULL,
    id text NOT NULL,
    public_key text NOT NULL UNIQUE,
    name text NOT NULL,
    origins text NOT NULL,
    settings text NOT NULL,
    disabled bigint NOT NULL CHECK (disabled IN (0, 1)),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant) REFERENCES tenants (id)
);

CREATE TABLE users (
    tenant text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('visitor', 'user')),
    roles text NOT NULL,
    tier text NOT NULL,
    name text,
    email text,
    locale text,
    password_hash text,
    token_budget bigint,
    disabled bigint NOT NULL CHECK (disabled IN (0, 1)),
    sessions_from bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- An address names one account only where it is used to sign in.
CREATE UNIQUE INDEX users_login ON users (tenant, lower(email)) WHERE password_hash IS NOT NULL;

CREATE TABLE keys (
    tenant text NOT NULL,
    id text NOT NULL,
    hash text NOT NULL UNIQUE,
    name text NOT NULL,
    user_id text NOT NULL,
    scopes text NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What people say. Tenants and users come from verified tokens, so nothing here refers to the
-- tables above: a row there is made where there is something to keep. Every key begins with the
-- tenant and ids grow with time, so these tables can be partitioned by both without a new column.

CREATE TABLE conversations (
    tenant text NOT NULL,
    id text NOT NULL,
    owner text NOT NULL,
    title text,
    status text NOT NULL CHECK (status IN ('active', 'paused', 'completed', 'archived')),
    model text,
    system_prompt text,
    collection text,
    metadata text NOT NULL,
    leaf text,
    message_count bigint NOT NULL,
    commits bigint NOT NULL,
    summary text,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_nano bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    deleted_at bigint,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX conversations_of_owner ON conversations (tenant, owner, updated_at, id)
WHERE deleted_at IS NULL;

CREATE TABLE messages (
    tenant text NOT NULL,
    id text NOT NULL,
    conversation text NOT NULL,
    parent text,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
    content text NOT NULL,
    metadata text NOT NULL,
    attachments text NOT NULL,
    number bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, conversation, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE,
    -- No cascade: deleting a long branch would recurse once per message.
    FOREIGN KEY (tenant, conversation, parent) REFERENCES messages (tenant, conversation, id)
);

CREATE INDEX messages_of_parent ON messages (tenant, conversation, parent, number);

CREATE TABLE answers (
    tenant text NOT NULL,
    id text NOT NULL,
    conversation text NOT NULL,
    parent text NOT NULL,
    number bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'parked', 'ended')),
    phase text NOT NULL,
    stop_reason text,
    attempt bigint NOT NULL,
    incarnation text,
    fence bigint NOT NULL,
    request text NOT NULL,
    transcript text,
    epoch text,
    seq bigint NOT NULL,
    length bigint NOT NULL,
    crc32 bigint,
    outcome text,
    finish_reason text,
    model text,
    provider text,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_nano bigint NOT NULL,
    citations text NOT NULL,
    sources text NOT NULL,
    degraded text NOT NULL,
    timings text,
    error text,
    terminal bigint,
    created_at bigint NOT NULL,
    started_at bigint,
    ended_at bigint,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, id) REFERENCES messages (tenant, id) ON DELETE CASCADE,
    CHECK ((state = 'running') = (incarnation IS NOT NULL)),
    CHECK ((state = 'ended') = (outcome IS NOT NULL))
);

CREATE INDEX answers_unfinished ON answers (tenant, conversation, number) WHERE state <> 'ended';

-- The text of an unfinished answer, a piece per checkpoint; `start` counts UTF-16 code units.
CREATE TABLE pieces (
    tenant text NOT NULL,
    answer text NOT NULL,
    start bigint NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (tenant, answer, start),
    FOREIGN KEY (tenant, answer) REFERENCES answers (tenant, id) ON DELETE CASCADE
);

-- What the conversation's log has to tell, in order; `logged` once it did.
CREATE TABLE commits (
    tenant text NOT NULL,
    conversation text NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('message', 'complete', 'conversation', 'feedback')),
    subject text NOT NULL,
    logged bigint NOT NULL CHECK (logged IN (0, 1)),
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, conversation, number),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);

CREATE INDEX commits_unlogged ON commits (tenant, conversation, number) WHERE logged = 0;

-- What a client's id stood for. Kept as long as its owner: an id is recognised for ever.
CREATE TABLE idempotency (
    tenant text NOT NULL,
    owner text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    result text,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, owner, id)
);

CREATE TABLE feedback (
    tenant text NOT NULL,
    message text NOT NULL,
    owner text NOT NULL,
    conversation text NOT NULL,
    rating text NOT NULL CHECK (rating IN ('up', 'down', '1', '2', '3', '4', '5')),
    comment text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, message, owner),
    FOREIGN KEY (tenant, message) REFERENCES messages (tenant, id) ON DELETE CASCADE
);

CREATE INDEX feedback_by_time ON feedback (tenant, updated_at, message, owner);

-- Who runs answers, and what answers run.

CREATE TABLE incarnations (
    id text NOT NULL PRIMARY KEY,
    instance text NOT NULL,
    started_at bigint NOT NULL,
    beat_at bigint NOT NULL,
    unbroken_since bigint NOT NULL
);

CREATE TABLE tool_calls (
    tenant text NOT NULL,
    id text NOT NULL,
    answer text NOT NULL,
    attempt bigint NOT NULL,
    step bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('server', 'client')),
    name text NOT NULL,
    state text NOT NULL,
    arguments text NOT NULL,
    args_hash text NOT NULL,
    result text,
    fence bigint NOT NULL,
    expires_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, answer) REFERENCES answers (tenant, id) ON DELETE CASCADE
);

CREATE INDEX tool_calls_of_answer ON tool_calls (tenant, answer, created_at, id);
CREATE INDEX tool_calls_expiring ON tool_calls (expires_at) WHERE expires_at IS NOT NULL;

-- A row is a decision; there is no second one.
CREATE TABLE approvals (
    tenant text NOT NULL,
    call text NOT NULL,
    args_hash text NOT NULL,
    allow bigint NOT NULL CHECK (allow IN (0, 1)),
    decided_by text NOT NULL,
    decided_at bigint NOT NULL,
    PRIMARY KEY (tenant, call),
    FOREIGN KEY (tenant, call) REFERENCES tool_calls (tenant, id) ON DELETE CASCADE
);

-- What was consumed. It outlives its answer, so it refers to nothing.
CREATE TABLE usage (
    tenant text NOT NULL,
    key text NOT NULL,
    owner text NOT NULL,
    answer text,
    feature text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_nano bigint NOT NULL,
    day bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX usage_by_time ON usage (tenant, created_at);
CREATE INDEX usage_of_owner ON usage (tenant, owner, created_at);
CREATE INDEX usage_of_answer ON usage (tenant, answer) WHERE answer IS NOT NULL;

-- Work in the background. Tenant '' is the installation itself.

CREATE TABLE jobs (
    id text NOT NULL PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    payload text NOT NULL,
    dedupe text,
    state text NOT NULL CHECK (state IN ('open', 'done', 'dead')),
    run_at bigint NOT NULL,
    attempts bigint NOT NULL,
    max_attempts bigint NOT NULL,
    holder text,
    lease bigint NOT NULL,
    last_error text,
    progress text,
    created_at bigint NOT NULL,
    finished_at bigint
);

CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'open';
CREATE INDEX jobs_dead ON jobs (tenant, id) WHERE state = 'dead';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_once ON jobs (tenant, kind, dedupe)
WHERE dedupe IS NOT NULL AND state = 'open';

CREATE TABLE schedules (
    name text NOT NULL PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    payload text NOT NULL,
    every_ms bigint NOT NULL CHECK (every_ms > 0),
    next_at bigint NOT NULL
);

-- What was done with power over others. Actors stand here under a pseudonym: forgetting a person
-- removes the row that resolves it and leaves the chain whole.

CREATE TABLE audit (
    tenant text NOT NULL,
    number bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail text NOT NULL,
    created_at bigint NOT NULL,
    previous text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (tenant, number)
);

CREATE TABLE audit_heads (
    tenant text NOT NULL PRIMARY KEY,
    number bigint NOT NULL,
    hash text NOT NULL
);

CREATE TABLE pseudonyms (
    tenant text NOT NULL,
    person text NOT NULL,
    pseudonym text NOT NULL,
    PRIMARY KEY (tenant, person),
    UNIQUE (tenant, pseudonym)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
