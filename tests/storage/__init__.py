"""Tests of storage, module by module; what all implementations share is in contracts."""
