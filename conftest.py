"""What all tests share: fixtures of real services, and how hypothesis searches."""

import os

from hypothesis import settings

pytest_plugins = ["scripts.pytest_services"]

# No deadline: a busy machine is no fault. The same examples each time in CI, new ones at every desk.
# `make fuzz` sets CASES.
settings.register_profile(
    "house", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=int(os.environ.get("CASES", "100"))
)
settings.load_profile("house")
