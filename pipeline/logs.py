"""Logs as JSON, for services whose logs a machine reads."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TextIO

from .sinks.jsonl import iso_time

# Users and passwords, and whatever a query holds, in anything that looks like a URL.
# A password with a slash in it is told by a ":" that no port follows.
_SECRET_USER = re.compile(
    r"(\b[a-z][a-z0-9+.-]*://)(?:[^\s/'\"]*@|[^\s/'\":]*:[^\s/'\"@]*[^\s/'\"@\d][^\s'\"]*@)", re.IGNORECASE
)
_SECRET_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"]*\?)[^\s'\"]+", re.IGNORECASE)
_SECRET_WORD = re.compile(
    r"(?<![a-z])(token|password|passwd|secret|authorization)(['\"]?\s*[=:]\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|(?:\w+ )?[^\s,;'\"]+)",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """``text`` with what may be a secret replaced by ``***``: users of URLs, their queries, ``token=...``."""
    text = _SECRET_USER.sub(r"\1***@", text)
    text = _SECRET_QUERY.sub(r"\1***", text)
    return _SECRET_WORD.sub(r"\1\2***", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``.

    ``error`` has the traceback where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry = {
            "time": iso_time(round(record.created * 1e9)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def use_json_logs(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs as JSON lines to ``stream`` (None: standard error), in the place of other handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
