"""Headers as the CloudEvents 1.0 binding for Kafka has them in binary mode: UTF-8 text under names with `ce_` before.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["SPEC_VERSION", "Headers", "pack_headers", "unpack_headers"]

SPEC_VERSION: Final = "1.0"

Headers = list[tuple[str, bytes]]


def pack_headers(attributes: Mapping[str, str], content_type: str) -> Headers:
    """Write attributes, the specification's version first and the content type last."""
    named = {"specversion": SPEC_VERSION, **attributes}
    return [*((f"ce_{name}", text.encode()) for name, text in named.items()), ("content-type", content_type.encode())]


def unpack_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Read the attributes, without `ce_`; other headers, such as those of tracing, are left alone.

    Raises
    ------
    ValueError
        An attribute occurs twice, or is not UTF-8.
    """
    attributes: dict[str, str] = {}
    for name, value in headers:
        if not name.startswith("ce_"):
            continue
        attribute = name.removeprefix("ce_")
        if attribute in attributes:
            raise ValueError(f"expected one header {name[:40]}, found two")
        try:
            attributes[attribute] = (value or b"").decode()
        except UnicodeDecodeError:
            raise ValueError(f"expected header {name[:40]} to be UTF-8") from None
    return attributes
