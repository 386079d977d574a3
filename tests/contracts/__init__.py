"""One suite per interface of `storage`, run over every implementation."""
