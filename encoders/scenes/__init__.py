"""Drawn street scenes whose looks depend on the place, for the demonstration and the tests."""
