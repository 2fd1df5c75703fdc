"""Logs an outage once when it begins and once when it ends, however often the work that fails is tried again."""

import logging
from time import monotonic


class FailureLog:
    """The failures of something that is tried again and again, since it worked last."""

    def __init__(self, logger: logging.Logger, works_again: str) -> None:
        """`works_again` is the text that says that the outage is over, without its numbers."""
        self._logger = logger
        self._works_again = works_again
        self._reason = ""
        self._since_s = 0.0
        self.count = 0
        """Failures of the present outage."""

    def failed(self, text: str) -> None:
        """Count a failure. Its text is logged if it is the first one, or has another text than the last one."""
        if not self.count:
            self._since_s = monotonic()
        self.count += 1
        if text != self._reason:
            self._reason = text
            self._logger.warning("%s", text)

    def worked(self) -> None:
        """Log the end of the outage, if there was one, with its number of failures and its length."""
        if self.count:
            lasted_s = monotonic() - self._since_s
            self._logger.info("%s, after %d failures in %.1f s", self._works_again, self.count, lasted_s)
            self.count, self._reason = 0, ""
