"""Tests of server, module by module."""
