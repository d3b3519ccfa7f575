"""Posts what comes on stdin, as JSON: `python -m prokerja.webhook [URL]`.

Without an address in the command line, where others could read it, that in the environment is
taken. Exits with 0 if the server has taken it, with 1 and one line on stderr if not.
"""

from __future__ import annotations

import os
import sys
from typing import Any

SECONDS = 30.0
"""For an answer."""


def is_address(url: Any) -> bool:
    """Whether this is something that can be posted to."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_plain = parts.username is None and parts.port != 0 and url.isprintable()
        return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain
    except (ValueError, TypeError, AttributeError):
        return False


def post(url: str, data: bytes) -> str:
    """Post JSON; returns what went wrong, empty if nothing did."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import quote, urlsplit
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """What is redirected would be asked for, not posted."""

        def redirect_request(self, *given: Any) -> None:
            return None

    host = urlsplit(url).hostname
    headers = {"Content-Type": "application/json", "User-Agent": "prokerja"}
    try:
        request = Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), data, headers)  # noqa: S310
        with build_opener(NoRedirect).open(request, timeout=SECONDS):
            return ""
    except HTTPError as error:
        return f"{host} answered {error.code} {error.reason}"
    except (OSError, HTTPException, ValueError) as error:
        return f"cannot post to {host}: {getattr(error, 'reason', None) or error}"


def main() -> int:
    """Post what comes on stdin; returns the exit code."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROKERJA_WEBHOOK_URL", "")
    if not is_address(url):
        sys.stderr.write("prokerja.webhook: no address; give one with http:// or https://\n")
        return 2
    if fault := post(url, sys.stdin.buffer.read()):
        sys.stderr.write(f"prokerja.webhook: {' '.join(fault.split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
