-- Where the log stood when a piece was stored: who comes back from before that place may not have
-- been shown it, and whoever comes from behind it may have been, though the log told it later.

ALTER TABLE pieces ADD COLUMN epoch TEXT;
ALTER TABLE pieces ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
