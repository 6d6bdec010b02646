"""Why no connection came about. The client library says that the time ran out; the cause stands only in its log.

This file needs no library.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from typing_extensions import override

from soundscene_worker.broker.errors import AccessDenied, BrokerError, BrokerUnreachable
from soundscene_worker.broker.translation import WAYS_OUT, meaning, translate

__all__ = ["Ear", "overheard", "refusal"]

_CAUSES: Final = (
    (
        r"is not valid for|[Hh]ostname mismatch",
        "the broker's certificate names another host: use a name that it holds in bootstrap_servers "
        "(a worker with ssl_check_hostname = false accepts any)",
    ),
    (
        r"certificate has expired|not yet valid",
        "the broker's certificate has expired, or one of the clocks is wrong: renew it, or set the clock",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "an authority we do not know signed the broker's certificate: put that authority's into ssl_ca_file",
    ),
    (
        r"ALERT_BAD_CERTIFICATE|ALERT_CERTIFICATE_REQUIRED|ALERT_UNKNOWN_CA|ALERT_CERTIFICATE_UNKNOWN",
        "the broker wants a certificate of ours that it trusts: give ssl_certificate_file and ssl_key_file",
    ),
    (
        r"Invalid frame length|WRONG_VERSION_NUMBER",
        "one side speaks TLS and the other does not: security_protocol must be the listener's",
    ),
    (
        r"SaslAuthenticationFailed|[Ii]nvalid credentials",
        "wrong user name or password: check sasl_username, sasl_password, and sasl_mechanism, which belongs to them",
    ),
    (
        r"UnsupportedSaslMechanism|does not support .* sasl mechanism",
        "the broker does not offer this sasl_mechanism: use one that it names, or let it offer this one",
    ),
    (r"IllegalSaslState", "the listener takes no SASL: security_protocol must be the listener's"),
)
"""What the library's errors look like, the more telling first, and what has happened."""

_HANGING_UP: Final = r"disconnected|UNEXPECTED_EOF_WHILE_READING"
"""A broker that is there but will not talk to us closes the connection without a word; so does one that ends."""


class Ear(logging.Handler):
    """Collects the exceptions one client logs, and no other client of this process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.causes: list[Exception] = []
        self._threads: set[int] = set()
        self.listen_to_this_thread()

    def listen_to_this_thread(self) -> None:
        """Hear what is logged on the calling thread from now on; each client has one of its own."""
        self._threads.add(threading.get_ident())

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.thread in self._threads and isinstance(record.args, tuple):
            errors = [argument for argument in record.args if isinstance(argument, Exception)]
            self.causes += [error for error in errors if "Unable to bootstrap" not in str(error)]


@contextlib.contextmanager
def overheard() -> Iterator[Ear]:
    """Listen to the library's log meanwhile."""
    ear, logger = Ear(), logging.getLogger("kafka")
    logger.addHandler(ear)
    try:
        yield ear
    finally:
        logger.removeHandler(ear)


def refusal(error: BaseException, causes: Sequence[BaseException], doing: str) -> BrokerError:
    """Return why no connection came about.

    Parameters
    ----------
    error : BaseException
        What the library raised.
    causes : sequence of BaseException
        What it logged meanwhile.
    doing : str
        What was tried.

    Returns
    -------
    BrokerError
        `AccessDenied` when one side does not know or trust the other, `BrokerUnreachable` when nobody answered.
    """
    texts = [str(cause) for cause in causes]
    for sign, cause in _CAUSES:
        for text in texts:
            if re.search(sign, text):
                return AccessDenied(f"{doing}: {cause}. The client said: {text}")
    telling = [cause for cause in causes if meaning(type(cause)) is not BrokerUnreachable]
    found = translate((telling or causes or [error])[-1], doing)
    if any(re.search(_HANGING_UP, text) for text in texts):
        way_out = f"security_protocol must be the listener's; {WAYS_OUT[AccessDenied]}"
        return type(found)(f"{found}; somebody answered and hung up: {way_out}")
    return found
