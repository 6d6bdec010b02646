"""Writes `docs/configuration.md` from the settings themselves."""

from __future__ import annotations

from typing import Final

from soundscene_worker.settings import ENVIRONMENT_PREFIX, WorkerSettings, is_secret
from soundscene_worker.settings_sources import bounds

__all__ = ["markdown"]

_INTRODUCTION: Final = f"""\
# Configuration of the worker

Each setting can be given in three ways. The command line counts most, then the environment, then the file:

    soundscene-worker --group-id scenes
    {ENVIRONMENT_PREFIX}GROUP_ID=scenes soundscene-worker
    soundscene-worker --config worker.toml        # or {ENVIRONMENT_PREFIX}CONFIG=worker.toml

```toml
bootstrap_servers = "kafka-1:9092,kafka-2:9092"
group_id = "scenes"
http_host = "0.0.0.0"
max_devices = 1000
```

Everything is checked before anything starts. A name the file should not have is refused; foreign variables in the
environment are left alone. Secrets are taken from the environment, the file, or files of their own
(`sasl_password_file`) which not everybody may read; not from the command line, which everybody on a machine can read.
They are never logged; see [security.md](security.md).

| exit code | meaning |
|---|---|
| 0 | ended in order by SIGTERM or Ctrl-C: windows of the last turn published, offsets committed, group left |
| 1 | a fault of the program; the log has the traceback |
| 2 | a setting or the bundle cannot be used |
| 3 | the broker cannot be reached at the start, a topic is missing, or the broker refuses us or denies a right |

An outage of the broker after the start ends nothing: the worker waits, `/ready` fails, `/live` does not.

This page is written by `python -m soundscene_worker.configuration_page > docs/configuration.md`; a test keeps it equal.

| setting in the file | command line | default | numbers allowed | meaning |
|---|---|---|---|---|
"""


def markdown() -> str:
    """Return the page."""
    rows = []
    for name, field in WorkerSettings.model_fields.items():
        default = field.get_default()
        flag = "" if is_secret(field) else f"`--{name.replace('_', '-')}`"
        if field.annotation is bool:
            flag += f", `--no-{name.replace('_', '-')}`"
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append(f"| `{name}` | {flag} | {shown} | {bounds(field)} | {field.description} |\n")
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    print(markdown(), end="")
