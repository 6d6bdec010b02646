"""What the client library's errors mean to us, by name: this file needs no library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from soundscene_worker.broker.connection import LARGEST_RECORD_BYTES
from soundscene_worker.broker.errors import (
    AccessDenied,
    BrokerError,
    BrokerUnreachable,
    CommitRefused,
    RecordTooLarge,
    TopicMissing,
)

__all__ = ["MEANINGS", "WAYS_OUT", "meaning", "translate", "translated"]

MEANINGS: Final[dict[str, type[BrokerError]]] = {
    "AuthorizationError": AccessDenied,
    "DelegationTokenAuthDisabledError": AccessDenied,
    "DelegationTokenExpiredError": AccessDenied,
    "DelegationTokenNotFoundError": AccessDenied,
    "DelegationTokenOwnerMismatchError": AccessDenied,
    "DelegationTokenRequestNotAllowedError": AccessDenied,
    "IllegalSaslStateError": AccessDenied,
    "InvalidPrincipalTypeError": AccessDenied,
    "PrincipalDeserializationFailureError": AccessDenied,
    "SaslAuthenticationFailedError": AccessDenied,
    "SecurityDisabledError": AccessDenied,
    "SSLError": AccessDenied,
    "UnacceptableCredentialError": AccessDenied,
    "UnsupportedSaslMechanismError": AccessDenied,
    "InvalidTopicError": TopicMissing,
    "UnknownTopicIdError": TopicMissing,
    "UnknownTopicOrPartitionError": TopicMissing,
    "CommitFailedError": CommitRefused,
    "FencedMemberEpochError": CommitRefused,
    "IllegalGenerationError": CommitRefused,
    "MemberIdRequiredError": CommitRefused,
    "RebalanceInProgressError": CommitRefused,
    "StaleMemberEpochError": CommitRefused,
    "UnknownMemberIdError": CommitRefused,
    "MessageSizeTooLargeError": RecordTooLarge,
    "RecordListTooLargeError": RecordTooLarge,
    "BrokerNotAvailableError": BrokerUnreachable,
    "RetriableError": BrokerUnreachable,
    "OSError": BrokerUnreachable,
    "KafkaError": BrokerError,
}
"""The library's class, or one it inherits from, to ours. A test names every class and what it becomes."""

WAYS_OUT: Final[dict[type[BrokerError], str]] = {
    AccessDenied: "check the certificates, the credentials and the rights of this user",
    TopicMissing: "create the topic, or correct its name",
    CommitRefused: "poll on; what is still assigned can be committed after the rebalance",
    RecordTooLarge: f"send smaller ones: a producer takes {LARGEST_RECORD_BYTES} bytes, a topic its max.message.bytes",
    BrokerUnreachable: "check that a broker runs there and that the network lets us through",
}


def meaning(error_class: type[BaseException]) -> type[BrokerError]:
    """Return our class for one of the library's; the nearest ancestor that has a meaning decides."""
    return next(
        (MEANINGS[ancestor.__name__] for ancestor in error_class.__mro__ if ancestor.__name__ in MEANINGS), BrokerError
    )


def translate(error: BaseException, doing: str) -> BrokerError:
    """Return our error, saying what was being done, what came of it and what to do now."""
    ours = meaning(type(error))
    what = type(error).__name__ if error.args in ((), (None,)) else str(error)
    way_out = WAYS_OUT.get(ours)
    return ours(f"{doing}: {what}" + (f"; {way_out}" if way_out else ""))


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the library's errors into ours; all others pass."""
    try:
        yield
    except Exception as error:
        if any(ancestor.__name__ == "KafkaError" for ancestor in type(error).__mro__):
            raise translate(error, doing) from error
        raise
