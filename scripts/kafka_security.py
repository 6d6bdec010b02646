"""A real broker that asks who is there and what he may do: TLS, SASL, certificates of clients and access control lists.

Four ways lead to it, all on 127.0.0.1: `secure` (SASL_SSL), `mutual` (SSL, a client's certificate is asked for),
`misnamed` (SASL_SSL with a certificate for another host), and `admin`, without any of it, for the test alone.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from scripts.certificates import Authority, Pair
from scripts.kafka_broker import KafkaBroker
from scripts.processes import free_port


class User(NamedTuple):
    """Who may log in, and how."""

    mechanism: str
    name: str
    password: str


USERS = (
    User("PLAIN", "plain", "plain-secret"),
    User("SCRAM-SHA-256", "scram256", "scram256-secret"),
    User("SCRAM-SHA-512", "scram512", "scram512-secret"),
)
_LISTENERS = {"ADMIN": "PLAINTEXT", "SECURE": "SASL_SSL", "MUTUAL": "SSL", "MISNAMED": "SASL_SSL"}


class SecuredKafka:
    """The broker, its certificates and its access control list; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Make the certificates in the folder; the broker starts on entering."""
        self.authority = Authority(folder, "authority")
        self.stranger = Authority(folder, "stranger")
        self.client = self.authority.issue("client")
        named = {"SECURE": "IP:127.0.0.1", "MUTUAL": "IP:127.0.0.1", "MISNAMED": "DNS:kafka.example"}
        self._stores = {
            name: _store(self.authority.issue(f"broker-{name.lower()}", where)) for name, where in named.items()
        }
        self._ports = {name: free_port() for name in _LISTENERS}
        self.broker = KafkaBroker(
            port=self._ports["ADMIN"],
            properties=self._properties(free_port()),
            format_words=[
                word
                for user in USERS
                if user.mechanism != "PLAIN"
                for word in ("--add-scram", f"{user.mechanism}=[name={user.name},password={user.password}]")
            ],
        )

    def address(self, listener: str) -> str:
        """Return `host:port` of a listener: secure, mutual, misnamed or admin."""
        return f"127.0.0.1:{self._ports[listener.upper()]}"

    def grant(self, user: str, rights: Iterable[tuple[str, str, str]]) -> None:
        """Let a user do what each right (operation, resource, name) says."""
        from kafka import KafkaAdminClient

        client = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        outcome = client.create_acls([_acl(user, *right) for right in rights])
        client.close()
        assert not outcome["failed"], outcome

    def revoke(self, user: str, rights: Iterable[tuple[str, str, str]]) -> None:
        """Take rights away."""
        from kafka import KafkaAdminClient

        client = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        client.delete_acls([_acl(user, *right) for right in rights])
        client.close()

    def __enter__(self) -> "SecuredKafka":
        """Start the broker, unless it runs already."""
        if not self.broker.running:
            self.broker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop it."""
        self.broker.stop()

    def _properties(self, controller_port: int) -> dict[str, str]:
        controller = f"127.0.0.1:{controller_port}"
        where = [f"{name}://{self.address(name)}" for name in _LISTENERS]
        protocols = {**_LISTENERS, "CONTROLLER": "PLAINTEXT"}
        trust = {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(self.authority.certificate)}
        settings = {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": ",".join([*where, f"CONTROLLER://{controller}"]),
            "advertised.listeners": ",".join(where),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "inter.broker.listener.name": "ADMIN",
            "sasl.enabled.mechanisms": ",".join(user.mechanism for user in USERS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # who comes by ADMIN; nobody else can be anonymous
            "listener.name.mutual.ssl.client.auth": "required",
            **trust,
        }
        for name, store in self._stores.items():
            prefix = f"listener.name.{name.lower()}"
            settings |= {f"{prefix}.ssl.keystore.type": "PEM", f"{prefix}.ssl.keystore.location": str(store)}
            if name != "MUTUAL":
                settings |= {f"{prefix}.{key}": value for key, value in _logins().items()}
        return settings


def _logins() -> dict[str, str]:
    module = "org.apache.kafka.common.security"
    known = " ".join(f'user_{user.name}="{user.password}"' for user in USERS if user.mechanism == "PLAIN")
    scram = f"{module}.scram.ScramLoginModule required;"
    return {
        "plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required {known};",
        "scram-sha-256.sasl.jaas.config": scram,
        "scram-sha-512.sasl.jaas.config": scram,
    }


def _store(pair: Pair) -> Path:
    """Return a file with the key and its certificate, as Kafka wants them."""
    store = pair.key.with_suffix(".store.pem")
    store.write_text(pair.key.read_text() + pair.certificate.read_text())
    return store


def _acl(user: str, operation: str, resource: str, name: str) -> object:
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType[resource], name)
    return ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
