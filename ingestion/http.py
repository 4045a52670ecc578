"""The only module that talks HTTP: deadline, size limit, gate, and every answer sorted into the error tree.

It makes one try. The retry policy is in `ingestion.tasks`, and only there. A key travels in a header of its own
source's host, never in an address, and never to another host.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import urllib3
from django.conf import settings

from assets.models import Source as SourceRow
from ingestion import gate
from ingestion.answers import charset, http_date, provider_error, retry_after
from ingestion.deadline import Call, TooSlow, begun, session
from ingestion.errors import RateLimited, Refused, Unavailable, Unknown
from ingestion.gate import Limits
from ingestion.redaction import redact, redact_bytes
from ingestion.source import HttpFile, HttpResponse, Source

DEADLINE = 120.0
#: For a message of ours.
POST_DEADLINE = 15.0
CONNECT_TIMEOUT = 5.0
#: The longest silence in mid-answer.
READ_TIMEOUT = 30.0
MAX_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 3
KEPT_HEADERS = (
    "content-type",
    "etag",
    "last-modified",
    "date",
    "age",
    "cache-control",
    "cf-cache-status",
    "retry-after",
)
KEPT_PREFIXES = ("x-ratelimit-",)
PLAN_WORDS = ("plan", "upgrade", "subscri", "payment")


class Ahead:
    """A call that is under way in a thread of its own, which nobody has to wait for."""

    def __init__(self, send: Callable[[str], Call], url: str) -> None:
        self.url = url
        self._answer: Future[Call] = Future()
        threading.Thread(target=self._call, args=(send,), name="ahead", daemon=True).start()

    def _call(self, send: Callable[[str], Call]) -> None:
        try:
            self._answer.set_result(send(self.url))
        except BaseException as error:
            self._answer.set_exception(error)

    def answer(self) -> Call:
        """Waits for it. Raises what the call raised."""
        return self._answer.result()


class SourceHttp:
    """`ingestion.source.Http` for one source: its base URL, its key, its gate."""

    def __init__(
        self, row: SourceRow, source: Source, base_url: str, limits: Limits, key: tuple[str, str] | None
    ) -> None:
        self.row, self.source, self.limits = row, source, limits
        self.base_url = base_url.rstrip("/")
        self.secrets = tuple({*settings.SOURCE_KEYS, *([key[1]] if key else [])})
        self.key_headers = {key[0]: key[1]} if key else {}
        self.failed_before = 0
        self._ahead: Ahead | None = None
        self.session = session()
        # Proxies and authorities of the environment count, and are looked for once; a password that ~/.netrc holds for
        # the host goes nowhere.
        environment = self.session.merge_environment_settings(self.base_url, {}, stream=True, verify=None, cert=None)
        self.session.proxies, self.session.verify = environment["proxies"], environment["verify"]
        self.session.trust_env = False
        self.session.headers.update(
            {"user-agent": "cryptoetl", "accept": "application/json, text/csv;q=0.9, */*;q=0.1"}
        )

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> HttpResponse:
        url = self._url(path, params)
        body = bytearray()
        with closing(self._answer(url)) as call:
            for chunk in self._chunks(call):
                body += chunk
            self._succeeded()
            answer = call.answer
            return HttpResponse(
                # As received, but for keys, which some sources repeat.
                body=redact_bytes(bytes(body), self.secrets),
                url=self._shown(url),
                received_at=datetime.now(UTC),
                status_code=answer.status_code,
                headers=self._kept(answer.headers),
                encoding=charset(answer.headers.get("content-type", "")),
            )

    def ahead(self, path: str, params: Mapping[str, str | int] | None = None) -> None:
        # Whoever may not call yet is told when the answer is asked for.
        with suppress(Unavailable):
            self.failed_before = gate.enter(self.row, self.limits)
            self._ahead = Ahead(self._send, self._url(path, params))

    def download(self, url: str) -> HttpFile:
        descriptor, path = tempfile.mkstemp(prefix="cryptoetl-")
        try:
            with os.fdopen(descriptor, "wb") as file, closing(self._answer(url)) as call:
                for chunk in self._chunks(call):
                    file.write(chunk)
                self._succeeded()
                answer = call.answer
                return HttpFile(
                    path,
                    self._shown(url),
                    datetime.now(UTC),
                    http_date(answer.headers.get("last-modified")),
                    self._kept(answer.headers),
                )
        except BaseException:
            os.unlink(path)
            raise

    def _kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name.lower(): redact(value, self.secrets)[:500].replace("\0", "␀")
            for name, value in headers.items()
            if name.lower() in KEPT_HEADERS or name.lower().startswith(KEPT_PREFIXES)
        }

    def _answer(self, url: str) -> Call:
        """An answer with status 200, its body not yet read. Every call, a redirect too, passes the gate."""
        for _ in range(MAX_REDIRECTS + 1):
            ahead, self._ahead = self._ahead, None
            if ahead is None or ahead.url != url:
                ahead = None
                self.failed_before = gate.enter(self.row, self.limits)
            try:
                call = ahead.answer() if ahead else self._send(url)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise self._unavailable(plain(error, host_of(url))) from None
            if not call.answer.is_redirect:
                break
            call.close()
            url = self._redirected(url, call.answer.headers["location"])
        else:
            raise Refused(redact(f"{self.row.title} redirects in a circle at {urlsplit(url).path}.", self.secrets))
        if call.answer.status_code != 200:
            try:
                text = b"".join(self._chunks(call))[:20_000].decode(errors="replace")
            finally:
                call.close()
            raise self._error(call.answer, redact(text, self.secrets), redact(urlsplit(url).path, self.secrets))
        return call

    def _redirected(self, url: str, location: str) -> str:
        """Where a redirect leads, with the same user and password. Raises Refused where no key may go."""
        title, here = self.row.title, urlsplit(url)
        try:
            target = urlsplit(urljoin(url, location.replace("\0", "%00")))
        except ValueError:
            said = redact(ascii(location), self.secrets)[:200]
            raise Refused(f"{title} redirects to what is no address: {said}.") from None
        host = host_of(target.geturl())
        if host != host_of(url):
            raise Refused(redact(f"{title} redirects to another host, {host}: the key stays here.", self.secrets))
        if target.scheme not in (here.scheme, "https"):
            raise Refused(f"{title} redirects from {here.scheme} to {target.scheme}: the key stays here.")
        return target._replace(netloc=here.netloc).geturl()

    def _url(self, path: str, params: Mapping[str, str | int] | None) -> str:
        return self.base_url + path + (f"?{urlencode(params)}" if params else "")

    def _shown(self, url: str) -> str:
        """The address without key, user and password."""
        return redact(urlsplit(url)._replace(netloc=host_of(url)).geturl(), self.secrets)

    def _send(self, url: str) -> Call:
        """The headers are there. Two minutes for them and the body, however slowly they drip."""
        ask = partial(self.session.get, url, headers=self.key_headers, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
        return begun(ask, DEADLINE)

    def _chunks(self, call: Call) -> Iterator[bytes]:
        """The body, decoded; MAX_BYTES at most."""
        size = 0
        try:
            with call.deadline.running():
                while chunk := call.answer.raw.read1(65_536, decode_content=True):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise Refused(f"{self.row.title} sent more than {MAX_BYTES // 1024 // 1024} MB in one answer.")
                    yield chunk
            if call.deadline.passed:
                # A body without a length ends where the line does.
                raise TooSlow(f"{DEADLINE:.0f}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            slow = TooSlow(f"{DEADLINE:.0f}") if call.deadline.passed else error
            raise self._unavailable(plain(slow, self.row.title)) from None

    def _succeeded(self) -> None:
        if self.failed_before:
            gate.succeeded(self.row)

    def _unavailable(self, message: str, retry_after: float | None = None) -> Unavailable:
        message = redact(message, self.secrets)
        gate.failed(self.row, message)
        return Unavailable(message, retry_after)

    def _error(self, answer: requests.Response, text: str, path: str) -> Exception:
        status, wait = answer.status_code, retry_after(answer.headers)
        code, said = provider_error(text)
        said = f": {said}" if said else ""
        if status == 429 or (status == 402 and not any(word in text.lower() for word in PLAN_WORDS)):
            gate.failed(self.row, f"HTTP {status}{said}")
            return RateLimited(f"{self.row.title} answers HTTP {status}, too many calls{said}", wait)
        if status in (408, 425) or status >= 500:
            return self._unavailable(f"{self.row.title} answers HTTP {status}{said}", wait)
        self._succeeded()
        meaning = self.source.refusals.get(code) or self.source.refusals.get(str(status))
        if meaning:
            return Refused(f"{self.row.title} refuses (HTTP {status}): {meaning}.")
        if status == 404:
            return Unknown(f"{self.row.title} knows no {path} (HTTP 404){said}")
        return Refused(f"{self.row.title} refuses with HTTP {status}{said}")


def host_of(url: str) -> str:
    """The host and port of an address, without the user and password that it may hold."""
    return urlsplit(url).netloc.rpartition("@")[2]


def post_json(url: str, message: Mapping[str, object]) -> None:
    """The message is with the receiver. Raises Unavailable, without the address: it may hold a key."""
    host = urlsplit(url).hostname or "the receiver"
    try:
        with session() as one:
            ask = partial(one.post, url, json=message, timeout=(CONNECT_TIMEOUT, CONNECT_TIMEOUT))
            # What it has to say beyond that is not read.
            with closing(begun(ask, POST_DEADLINE)) as call:
                status = call.answer.status_code
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Unavailable(plain(error, host)) from None
    if status >= 300:
        raise Unavailable(f"{host} answers HTTP {status}.")


def plain(error: BaseException, where: str) -> str:
    """A network error as a person would say it."""
    text = str(error)
    if isinstance(error, TooSlow):
        return f"{where} took longer than {text} s for one answer."
    if isinstance(error, requests.ConnectTimeout):
        return f"{where} did not accept a connection within {CONNECT_TIMEOUT:.0f} s."
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return f"{where} was silent for {READ_TIMEOUT:.0f} s."
    if isinstance(error, requests.exceptions.SSLError) or "CERTIFICATE" in text:
        return f"{where} has no certificate that is trusted here."
    if "Name or service not known" in text or "resolve" in text or "getaddrinfo" in text:
        return f"The name {where} can't be resolved: is there a network?"
    if "refused" in text.lower():
        return f"{where} refuses the connection."
    if "unreachable" in text.lower():
        return f"{where} can't be reached: the network is unreachable."
    if isinstance(error, requests.exceptions.ProxyError) or "proxy" in text.lower():
        return f"{where} can't be reached through the proxy."
    if isinstance(error, urllib3.exceptions.DecodeError):
        return f"{where} sent a damaged compressed body."
    if isinstance(error, urllib3.exceptions.IncompleteRead) or "IncompleteRead" in text:
        return f"{where} broke off in mid-answer."
    return f"{where} broke the connection ({type(error).__name__})."
