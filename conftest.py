"""Fixtures of all tests that need a real service."""

pytest_plugins = ["scripts.pytest_services"]
