"""Makes what several requests hand in durable in one transaction."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import structlog

from engagement.exceptions import EngagementError, OverloadedError
from engagement.store.queries.inbox import InboxQueries, Submission

WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Content that waits at most for its transaction; who brings more is told to come again."""
GROUP_BYTES_MAX = 8 * 1024 * 1024
"""Content of one transaction, so that no answer waits for too long a one."""
_log = structlog.get_logger()


class GroupCommit:
    """Commits in a thread of its own: what came during one transaction shares the next.

    A sync of the disk costs the same for one batch as for hundreds, and whoever waits for one
    would wait for the others' too.
    """

    def __init__(self, inbox: InboxQueries) -> None:
        self.transactions = 0
        """Transactions so far."""
        self._inbox = inbox
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Submission, int, Future[int]]] = deque()
        self._waiting_bytes = 0
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def accept(self, submission: Submission, *, size: int) -> Future[int]:
        """A future that is done only when the submission is durable: how many of its keys are new.

        Args:
            submission: What to keep.
            size: About how many bytes of memory it takes.

        Raises:
            OverloadedError: Too much waits already; nothing of the submission is kept.
        """
        answer: Future[int] = Future()
        with self._changed:
            if self._is_closing or self._waiting_bytes + size > WAITING_BYTES_MAX:
                raise OverloadedError("The service has more to take in than it can; come again.")
            self._waiting.append((submission, size, answer))
            self._waiting_bytes += size
            if self._thread is None:  # whoever takes nothing in needs none
                self._thread = threading.Thread(target=self._run, name="group-commit")
                self._thread.start()
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Return only when everything that waited is durable or has failed."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            self._commit(group)

    def _next_group(self) -> list[tuple[Submission, Future[int]]] | None:
        """What to commit together; None when closing and nothing waits."""
        group: list[tuple[Submission, Future[int]]] = []
        group_bytes = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            while self._waiting and group_bytes < GROUP_BYTES_MAX:
                submission, size, answer = self._waiting.popleft()
                group_bytes += size
                if answer.set_running_or_notify_cancel():  # else who asked has gone away
                    group.append((submission, answer))
            self._waiting_bytes -= group_bytes
            return group if group_bytes or not self._is_closing else None

    def _commit(self, group: Sequence[tuple[Submission, Future[int]]]) -> None:
        try:
            counts = self._inbox.accept([submission for submission, _ in group])
        except EngagementError as error:
            for _, answer in group:
                answer.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - one submission must not take the others
            # along, nor a panic, which is no Exception, the thread that all of them wait for.
            _log.exception("group_commit_failed")
            if len(group) > 1:
                for submission_and_answer in group:
                    self._commit([submission_and_answer])
            else:
                group[0][1].set_exception(error)
        else:
            self.transactions += 1
            for (_, answer), count in zip(group, counts, strict=True):
                answer.set_result(count)
