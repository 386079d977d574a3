"""Tests of how answers are made."""
