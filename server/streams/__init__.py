"""From the conversation logs to those who follow them here."""
