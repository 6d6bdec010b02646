"""`python -m soundscene.cli` is the command `soundscene`."""

from __future__ import annotations

import sys

from soundscene.cli import main

sys.exit(main())
