"""What all tests share: fixtures of real services, and how hypothesis searches."""

import os
import signal

from hypothesis import settings

pytest_plugins = ["scripts.pytest_services"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C and hands that on to all it starts; tests send it to what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a busy machine is no fault. The same examples each time in CI, new ones at every desk.
# `make fuzz` sets CASES.
settings.register_profile(
    "house", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=int(os.environ.get("CASES", "100"))
)
settings.load_profile("house")
