"""TLS with certificate files of your own. They are read at the start, and a pair that cannot be used is refused there with a sentence."""
import ssl
from pathlib import Path

from engine.errors import Refused


def context_of(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """None without both. Raises Refused for a file that cannot be read, has no certificate or key, or does not fit the other one."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        there, missing = ("SWARM_TLS_CERT", "SWARM_TLS_KEY") if key is None else ("SWARM_TLS_KEY", "SWARM_TLS_CERT")
        raise Refused(f"{there} is set and {missing} is not. TLS needs both: set {missing} too, or neither.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # TLS 1.2 and newer
    _check("SWARM_TLS_CERT", certificate, "CERTIFICATE-----", "a certificate, with those that it depends on below it")
    _check("SWARM_TLS_KEY", key, "PRIVATE KEY-----", "the private key")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Refused(f"The key in {key} (SWARM_TLS_KEY) does not belong to the certificate in {certificate} (SWARM_TLS_CERT)."
                          " Set the two files of one certificate.") from None
        raise Refused(f"{certificate} (SWARM_TLS_CERT) and {key} (SWARM_TLS_KEY) cannot be used: {error.reason or error}."
                      " Both must be whole, in PEM format.") from None
    return context


def _check(setting: str, file: Path, begins: str, content: str) -> None:
    try:
        text = file.read_text(encoding="latin-1")
    except OSError as error:
        raise Refused(f"{setting}: {file} cannot be read: {error.strerror}. The server's user must be able to read it.") from None
    if begins not in text:
        raise Refused(f"{setting}: {file} has not {content} in PEM format. Convert it, or name another file.")


def _no_password() -> str:
    raise Refused("The key of SWARM_TLS_KEY is encrypted, and the server cannot ask for its password. Decrypt it: openssl pkey -in <key> -out <new key>.")
