"""For example: `prokerja declare:job send_email to=me@example.com subject=Done body="All well."`.

The worker's environment says which mail server to use: PROKERJA_SMTP_HOST (localhost),
PROKERJA_SMTP_PORT, PROKERJA_SMTP_TLS (none, starttls or tls), PROKERJA_SMTP_USER and
PROKERJA_SMTP_PASSWORD, and PROKERJA_SMTP_SENDER for mail that names no sender.
"""

import getpass
import os
import re
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError, InvalidHeaderDefect
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from typing import Any, NamedTuple

from prokerja import Job

PORTS = {"none": 25, "starttls": 587, "tls": 465}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECTION_SECONDS = 30
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")


@dataclass
class SendEmail(Job):
    """Send a plain-text e-mail over SMTP.

    `to` takes one address or several with commas between them. What `host`, `port`, `tls` and
    `sender` leave open comes from the worker's environment; user and password always do, and go
    to PROKERJA_SMTP_HOST only. Name a `message_id` and a repeat after a crash bears the same one,
    so that mail systems can drop the double; without it every attempt has a new one, since two
    equal mails may both be meant.
    """

    to: str
    subject: str
    body: str
    sender: str = ""
    host: str = ""
    port: int = 0
    tls: str = ""
    message_id: str = ""

    retries = 3
    retry_after = 60
    timeout = 120

    def handle(self) -> dict[str, Any]:
        """Compose and hand over; tell whom the server refused while it took the others."""
        server = find_server(self.host, self.port, self.tls)
        message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
        sender, *more = add_addresses(message, "From", self.sender or default_sender())
        if more:
            raise ValueError(f"From {self.sender!r} has several addresses; give one sender")
        recipients = add_addresses(message, "To", self.to)
        add_header(message, "Subject", self.subject)
        add_header(message, "Message-ID", chosen_id(self.message_id, sender))
        message["Date"] = localtime()
        message.set_content(self.body)
        refused = deliver(message, sender, recipients, server)
        return {"message_id": str(message["Message-ID"]), "refused": refused}


class Server(NamedTuple):
    """Where the mail goes."""

    host: str
    port: int
    tls: str

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.host}:{self.port}"


def setting(name: str, default: str = "") -> str:
    """One of the worker's PROKERJA_SMTP_ variables; an empty one counts as absent."""
    return os.environ.get(f"PROKERJA_SMTP_{name}") or default


def find_server(host: str, port: int, tls: str) -> Server:
    """What the payload says, else the environment, else the mail server of this machine."""
    tls = tls or setting("TLS", "none")
    if tls not in PORTS:
        raise ValueError(f"no TLS mode is called {tls!r}; use one of: {', '.join(PORTS)}")
    number = str(port or setting("PORT", str(PORTS[tls])))
    if not (number.isdecimal() and 0 < int(number) < 2**16):
        raise ValueError(f"{number!r} is no port; use 1 to 65535, or none for {PORTS[tls]}")
    return Server(host or setting("HOST", "localhost"), int(number), tls)


def default_sender() -> str:
    """Whom mail comes from if the payload does not say."""
    return setting("SENDER") or f"{getpass.getuser()}@{socket.getfqdn()}"


def add_header(message: EmailMessage, name: str, text: str) -> None:
    """Set a header that stays one line, also once its encoded words have been decoded."""
    refuse_control(name, text)
    message[name] = text
    refuse_control(name, str(message[name]))


def refuse_control(name: str, text: str) -> None:
    """Refuse what could smuggle in a header."""
    if CONTROL.search(text):
        raise ValueError(
            f"{name} {text!r} has a line break or another control character; take it out"
        )


def add_addresses(message: EmailMessage, name: str, text: str) -> list[str]:
    """Set an address header; return the bare addresses in it."""
    try:
        add_header(message, name, text)
    except (HeaderParseError, IndexError) as error:  # what the parser makes of "a@"
        raise no_address(name, text) from error
    header = message[name]
    found = list(dict.fromkeys(address.addr_spec for address in header.addresses))
    if not found or any(isinstance(defect, InvalidHeaderDefect) for defect in header.defects):
        raise no_address(name, text)
    return found


def no_address(name: str, text: str) -> ValueError:
    """An address that cannot be used, or none."""
    return ValueError(
        f"{name} {text!r} is no e-mail address; write name@example.com, several with commas"
    )


def chosen_id(message_id: str, sender: str) -> str:
    """The given Message-ID in its angle brackets, or a new one."""
    if not message_id:
        return make_msgid(domain=sender.rpartition("@")[2])
    bracketed = f"<{message_id.removeprefix('<').removesuffix('>')}>"
    if not MESSAGE_ID.fullmatch(bracketed):
        raise ValueError(f"{message_id!r} is no Message-ID; write one like backup-42@example.com")
    return bracketed


def deliver(
    message: EmailMessage, sender: str, recipients: list[str], server: Server
) -> list[dict[str, str]]:
    """Send it, and say on an error which server it was."""
    try:
        connection = connect(server)
        try:
            log_in(connection, server)
            refused = hand_over(connection, message, sender, recipients)
        finally:
            hang_up(connection)
    except smtplib.SMTPRecipientsRefused as error:
        raise RuntimeError(
            f"{server} refused every recipient: {reasons(error.recipients)}; "
            "check the addresses, the sender's too"
        ) from error
    except (smtplib.SMTPResponseException, smtplib.SMTPNotSupportedError) as error:
        raise RuntimeError(
            f"{server} did not take the mail: {error}; check PROKERJA_SMTP_TLS, "
            "PROKERJA_SMTP_USER, PROKERJA_SMTP_PASSWORD and the sender"
        ) from error
    except OSError as error:
        raise ConnectionError(
            f"cannot talk to the mail server {server}: {error}; "
            "check PROKERJA_SMTP_HOST, PROKERJA_SMTP_PORT and PROKERJA_SMTP_TLS"
        ) from error
    return reasons(refused)


def hand_over(
    connection: smtplib.SMTP, message: EmailMessage, sender: str, recipients: list[str]
) -> dict[str, tuple[int, bytes]]:
    """Send it byte for byte: `send_message` changes lines that start with `From`."""
    if all(address.isascii() for address in (sender, *recipients)):
        return connection.sendmail(sender, recipients, message.as_bytes())
    return connection.send_message(message, sender, recipients)


def reasons(refused: dict[str, tuple[int, bytes]]) -> list[dict[str, str]]:
    """Whom a server refused, and in which words."""
    return [
        {"address": address, "reason": f"{code} {text.decode(errors='replace')}"}
        for address, (code, text) in refused.items()
    ]


def connect(server: Server) -> smtplib.SMTP:
    """Connect as encrypted as asked for, or not at all."""
    if server.tls == "tls":
        return smtplib.SMTP_SSL(
            server.host,
            server.port,
            timeout=CONNECTION_SECONDS,
            context=ssl.create_default_context(),
        )
    connection = smtplib.SMTP(server.host, server.port, timeout=CONNECTION_SECONDS)
    if server.tls == "starttls":
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection


def log_in(connection: smtplib.SMTP, server: Server) -> None:
    """Log in where the environment says so: a payload cannot send the password elsewhere."""
    user, password = setting("USER"), setting("PASSWORD")
    if not user or server.host != setting("HOST", "localhost"):
        return
    if server.tls == "none" and server.host not in LOOPBACK:
        raise ValueError(
            f"the password would go to {server} unencrypted; "
            "set PROKERJA_SMTP_TLS to starttls or tls"
        )
    connection.login(user, password)


def hang_up(connection: smtplib.SMTP) -> None:
    """Part from the server; once it has the mail, a rude goodbye must not send it again."""
    with suppress(OSError):
        connection.quit()
    connection.close()
