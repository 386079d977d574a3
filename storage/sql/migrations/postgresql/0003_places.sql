-- Where an answer stood in its log when a piece of it was stored. A device that is not so far yet
-- cannot have been shown the piece; any other may have been, though the log told it later. NULL: by
-- a version that did not say so, and then it counts as shown.

ALTER TABLE pieces ADD COLUMN epoch text;
ALTER TABLE pieces ADD COLUMN seq bigint NOT NULL DEFAULT 0;
