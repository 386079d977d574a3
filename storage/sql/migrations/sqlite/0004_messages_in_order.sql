-- Who exports a conversation reads all its messages, page by page, in the order they were made.

CREATE INDEX IF NOT EXISTS messages_in_order ON messages (tenant, conversation, number);
