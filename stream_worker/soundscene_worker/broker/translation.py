"""What the client library's errors mean to us, by name: this file needs no library."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from soundscene_worker.broker.errors import (
    AccessDenied,
    BrokerError,
    BrokerUnreachable,
    CommitRefused,
    RecordTooLarge,
    TopicMissing,
)

__all__ = ["MEANINGS", "WAYS_OUT", "meaning", "overheard", "refusal", "translate", "translated"]

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
    AccessDenied: "check security_protocol, the certificates, the credentials and the rights of this user",
    TopicMissing: "create the topic, or correct its name",
    CommitRefused: "poll on; what is still assigned can be committed after the rebalance",
    RecordTooLarge: "send smaller records, or raise max.message.bytes of the topic and request_bytes of the producer",
    BrokerUnreachable: "check that a broker runs there and that the network lets us through",
}


_HANGING_UP: Final = ("disconnected", "Handshake", "SASL")
"""Signs of a broker that is there but will not talk to us: it closes the connection without a word."""


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


def refusal(error: BaseException, causes: Sequence[BaseException], doing: str) -> BrokerError:
    """Return why no connection came about: the library's error says only that the time ran out.

    Parameters
    ----------
    error : BaseException
        What the library raised.
    causes : sequence of BaseException
        What it logged meanwhile.
    doing : str
        What was tried.
    """
    telling = [cause for cause in causes if meaning(type(cause)) is not BrokerUnreachable]
    found = translate((telling or causes or [error])[-1], doing)
    if any(sign in str(cause) for cause in causes for sign in _HANGING_UP):
        return type(found)(f"{found}; somebody answered and hung up: {WAYS_OUT[AccessDenied]}")
    return found


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the library's errors into ours; all others pass."""
    try:
        yield
    except Exception as error:
        if any(ancestor.__name__ == "KafkaError" for ancestor in type(error).__mro__):
            raise translate(error, doing) from error
        raise


@contextlib.contextmanager
def overheard() -> Iterator[list[Exception]]:
    """Collect the exceptions the library only logs: it reports a wrong password as a timeout."""
    causes: list[Exception] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            arguments = record.args if isinstance(record.args, tuple) else ()
            causes.extend(a for a in arguments if isinstance(a, Exception) and "Unable to bootstrap" not in str(a))

    ear, logger = Ear(logging.WARNING), logging.getLogger("kafka")
    logger.addHandler(ear)
    try:
        yield causes
    finally:
        logger.removeHandler(ear)
