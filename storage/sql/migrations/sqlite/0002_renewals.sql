-- By what visitors come back. Secrets are stored as hashes, under a name that only whoever holds one
-- of them knows: so a wrong secret under a known name is an old one, and somebody's copy.

CREATE TABLE renewals (
    family TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    visitor TEXT NOT NULL,
    site TEXT NOT NULL,
    origin TEXT NOT NULL,
    hash TEXT NOT NULL,
    previous_hash TEXT,
    rotated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX renewals_of_visitor ON renewals (tenant, visitor);
CREATE INDEX renewals_expiring ON renewals (expires_at);

-- Whose sessions were ended is asked every few seconds, by every process.
CREATE INDEX users_ended ON users (sessions_from) WHERE sessions_from > 0;
CREATE INDEX users_disabled ON users (tenant, id) WHERE disabled = 1;
