# Generated from ../asynchronous/sending.py by `make generate`; edit that file instead.
"""Sends requests with httpx, again where that may help."""

from collections.abc import Mapping
from dataclasses import replace

import httpx

from engagement.client.access import TIMEOUT_SECONDS
from engagement.client.concurrency import Pause
from engagement.client.refusals import UNAVAILABLE_STATUSES
from engagement.client.responses import ANSWER_BYTES_MAX, HttpResponse, NoResponseError
from engagement.client.retrying import backoff_seconds, repeat_seconds

_HEADERS = {"User-Agent": "engagement-export", "Accept-Encoding": "identity"}


class RetryingSender:
    """Sends requests that may be repeated without harm, with waits that are bounded."""

    def __init__(self, http: httpx.Client, *, retries: int, pause: Pause) -> None:
        self._http = http
        self._retries = retries
        self._pause = pause

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> HttpResponse:
        """Return the response to the last try. Redirects are responses.

        Args:
            method: GET, POST or PUT.
            url: Where to; it may hold a credential.
            headers: Besides those of all requests.
            content: The request's body.
            bytes_max: How much of the response's body is read; a longer body shows that there
                was more.

        Raises:
            NoResponseError: None came.
        """
        follows_lost_try = False
        attempt = 0
        while True:
            is_last = attempt >= self._retries
            response, reason = None, ""
            try:
                # Built for each try, with the cookies that an earlier one may have brought.
                request = self._http.build_request(
                    method, url, headers={**_HEADERS, **(headers or {})}, content=content
                )
                response = self._send_once(request, bytes_max)
            except httpx.TransportError as error:
                # The error itself is left behind: it holds the address.
                reason = f"{type(error).__name__} after {TIMEOUT_SECONDS:.0f} s at the most"
            if response is None:
                if is_last:
                    raise NoResponseError(reason)
                follows_lost_try = True
                wait = backoff_seconds(attempt)
            else:
                seconds = repeat_seconds(response, attempt)
                if is_last or seconds is None:
                    return replace(response, follows_lost_try=follows_lost_try)
                follows_lost_try |= response.status in UNAVAILABLE_STATUSES
                wait = seconds
            self._pause(wait)
            attempt += 1

    def _send_once(self, request: httpx.Request, bytes_max: int) -> HttpResponse:
        body = bytearray()
        response = self._http.send(request, stream=True, follow_redirects=False)
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > bytes_max:
                    break
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(status=response.status_code, headers=headers, body=bytes(body))
