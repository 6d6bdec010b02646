"""Certificates for tests, made on the spot: they are valid for two days and trusted by nobody else.

Needs the `openssl` command, version 3.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.processes import ServiceError, require


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is what others have to trust."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the authority's files, `NAME.pem` and `NAME.key`, in the folder.

        Raises:
            ServiceError: openssl is missing or failed.
        """
        self._folder = folder
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
        self._own = self._make(name, ["-x509"], extensions)

    @property
    def certificate(self) -> Path:
        """What to trust."""
        return self._own.certificate

    def issue(self, name: str, alternative_name: str = "IP:127.0.0.1") -> Pair:
        """Return a certificate for a host, such as `IP:127.0.0.1` or `DNS:kafka.example`."""
        signer = ["-x509", "-CA", str(self._own.certificate), "-CAkey", str(self._own.key)]
        return self._make(name, signer, [f"subjectAltName={alternative_name}", "basicConstraints=CA:FALSE"])

    def _make(self, name: str, how: list[str], extensions: list[str]) -> Pair:
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        openssl = require("openssl", needed_for="Making certificates", debian_package="openssl")
        command = [openssl, "req", *how, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        command += ["-keyout", str(pair.key), "-out", str(pair.certificate), "-days", "2", "-subj", f"/CN={name}"]
        command += [word for extension in extensions for word in ("-addext", extension)]
        outcome = subprocess.run(command, check=False, capture_output=True, text=True)
        if outcome.returncode != 0:
            raise ServiceError(f"openssl could not make a certificate:\n{outcome.stderr}")
        return pair
