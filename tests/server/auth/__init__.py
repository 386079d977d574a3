"""Tests of server.auth, module by module."""
