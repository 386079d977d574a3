"""Tests of server.limits, module by module."""
