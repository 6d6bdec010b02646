"""Fixtures of all tests."""

pytest_plugins = ["scripts.pytest_services"]
