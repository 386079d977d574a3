"""Tests of what only the in-process implementations promise."""
