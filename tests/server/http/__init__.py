"""Tests of the plain HTTP side."""
