"""What can go wrong with the broker.

SceneError
└── BrokerError           something else the broker or its client refused
    ├── BrokerUnreachable no broker answered in time: wait and try again, or check the address
    ├── AccessDenied      the broker knows us not, or forbids what we ask
    ├── TopicMissing      a topic that must exist does not
    ├── CommitRefused     the group is being rebalanced, or has moved on without us: never fatal
    ├── DeliveryFailed    records were not acknowledged: whoever sent them must not count on them
    │   └── DeliveryDenied    this user may not write there
    └── RecordTooLarge    a record is larger than the broker or the producer accepts: do not send it again
"""

from __future__ import annotations

from soundscene.errors import SceneError

__all__ = [
    "AccessDenied",
    "BrokerError",
    "BrokerUnreachable",
    "CommitRefused",
    "DeliveryDenied",
    "DeliveryFailed",
    "RecordTooLarge",
    "TopicMissing",
]


class BrokerError(SceneError):
    """The broker or its client refused something."""


class BrokerUnreachable(BrokerError):  # noqa: N818 - reads as a sentence where it is caught
    """No broker answered in time."""


class AccessDenied(BrokerError):  # noqa: N818
    """Authentication or authorisation failed."""


class TopicMissing(BrokerError):  # noqa: N818
    """A topic that must exist does not."""


class CommitRefused(BrokerError):  # noqa: N818
    """The group did not take a commit: a rebalance is under way or has happened. Never fatal.

    Poll on, drop what was revoked, and commit again what is still assigned.
    """


class DeliveryFailed(BrokerError):  # noqa: N818
    """Records sent since the last successful flush are not known to be stored."""


class DeliveryDenied(DeliveryFailed):
    """The broker denies this user to write to the topic."""


class RecordTooLarge(BrokerError):  # noqa: N818
    """A record is larger than the broker or the producer accepts."""
