"""Delivers what waits in the queue, in a thread of its own, until the server has it.

`sentAt` is written anew at every attempt and everything else of a batch never changes. The server
corrects the device's clock by the difference between `sentAt` and its own time, so the time of an
earlier attempt would shift every record by the time that the device was offline; and it tells
batches apart by their id alone, so that a later `sentAt` cannot make a second batch of the same
records.
"""

import gzip
import logging
import sqlite3
import threading
import time
from secrets import SystemRandom

import httpx

from engagement.agent.answers import Accepted, BatchOutcome, Unacceptable, Unanswered, read_outcome
from engagement.agent.clock import Clock
from engagement.agent.queue import Queue, WaitingBatch
from engagement.exceptions import BadInputError
from engagement.model.instants import format_rfc3339

WAIT_SECONDS_FIRST = 1.0
WAIT_SECONDS_MAX = 300.0
RETRY_AFTER_SECONDS_MAX = 86_400.0
"""A server that asks for more is taken to be mistaken."""
TIMEOUT_SECONDS = 30.0
ANSWER_BYTES_MAX = 1024 * 1024
ANSWER_SECONDS_MAX = 120.0
GZIP_BYTES_MIN = 1024
"""Smaller batches are sent as they are."""
_LOGGER = logging.getLogger("engagement.agent")
_dice = SystemRandom()


class BatchSender:
    """Sends the batches of a queue, one after another, each until it is answered for."""

    def __init__(
        self, queue: Queue, http: httpx.Client, clock: Clock, *, flush_seconds: float
    ) -> None:
        """Start to send.

        Args:
            queue: Where batches come from.
            http: What sends them; its base address is the server's, its headers have the key.
            clock: What tells the time and waits.
            flush_seconds: How long to gather records before they are sent.
        """
        self._queue = queue
        self._http = http
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._failures = 0
        self._stopped = threading.Event()
        self._answered = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engagement-agent", daemon=True)
        self._thread.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Return whether everything reported until now is answered for within the time."""
        deadline = time.monotonic() + timeout_seconds
        try:
            last = self._queue.last_number
            self._queue.wanted.set()
            with self._answered:
                while self._queue.is_waiting(last):
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        return False
                    self._answered.wait(remaining)
        except sqlite3.Error as error:
            _LOGGER.warning("The queue cannot be read: %s.", error)
            return False
        return True

    def stop(self, timeout_seconds: float) -> None:
        """Send nothing more; return when a request on the way has ended or the time is over."""
        self._stopped.set()
        self._queue.wanted.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._queue.wanted.clear()
                wait_seconds = self._send_waiting()
                if wait_seconds is None:
                    self._clock.wait(self._queue.wanted, self._flush_seconds)
                else:
                    self._clock.wait(self._stopped, wait_seconds)
        except BadInputError:
            # The agent was closed while a request was on the way. Its batch is still in the
            # queue, and the next agent sends it again.
            return
        finally:
            self._http.close()

    def _send_waiting(self) -> float | None:
        """Send what waits now, but not what comes meanwhile, which would make small batches.

        Returns:
            Seconds to pause, if the server could not be made to answer.
        """
        try:
            last = self._queue.last_number
            while not self._stopped.is_set():
                batch = self._queue.next_batch(last)
                if batch is None:
                    return None
                outcome = self._send(batch)
                if isinstance(outcome, Unanswered):
                    return self._pause_seconds(outcome)
                self._settle(batch, outcome)
        except sqlite3.Error as error:
            return self._pause_seconds(Unanswered(reason=f"the queue cannot be used ({error})"))
        return None

    def _send(self, batch: WaitingBatch) -> BatchOutcome:
        body = f'{{"sentAt":"{format_rfc3339(self._clock.now())}",{batch.content}}}'.encode()
        headers = {"Content-Type": "application/json"}
        if len(body) >= GZIP_BYTES_MIN:
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        try:
            with self._http.stream(
                "POST", "/collect/v1/batch", content=body, headers=headers
            ) as answer:
                return read_outcome(
                    answer.status_code,
                    answer.headers.get("retry-after", ""),
                    _read(answer),
                    records=batch.records,
                )
        except Exception as error:  # noqa: BLE001 - whatever a network does, the thread goes on
            return Unanswered(reason=type(error).__name__)

    def _settle(self, batch: WaitingBatch, outcome: Accepted | Unacceptable) -> None:
        self._failures = 0
        if isinstance(outcome, Accepted):
            self._queue.resolve(batch, outcome.losses)
        else:
            _LOGGER.warning("The server refused a batch for good: %s", outcome.loss.message)
            self._queue.resolve(batch, [outcome.loss], is_set_aside=True)
        with self._answered:
            self._answered.notify_all()

    def _pause_seconds(self, unanswered: Unanswered) -> float:
        """What the server asked for, and a share of a wait that doubles with every failure."""
        longest = min(WAIT_SECONDS_MAX, WAIT_SECONDS_FIRST * 2.0 ** min(self._failures, 30))
        wanted = min(unanswered.seconds or 0.0, RETRY_AFTER_SECONDS_MAX)
        # Devices that were turned away together must not come again together.
        seconds = wanted + _dice.uniform(longest / 2, longest)
        # Somebody may have to put the key or the address right, but needs to be told once only.
        level = logging.INFO if self._failures else logging.WARNING
        self._failures += 1
        _LOGGER.log(level, "No answer (%s); again in %.0f s.", unanswered.reason, seconds)
        return seconds


def _read(answer: httpx.Response) -> bytes:
    """The body, which a hostile server can make neither large nor slow."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    body = b""
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX or time.monotonic() > deadline:
            raise ValueError("The answer must be short.")
    return body
