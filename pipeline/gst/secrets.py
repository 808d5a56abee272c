"""Texts without what nobody else may read."""

from __future__ import annotations

import re

# A password with a slash in it is no URL any more, but is told by a ":" that no port follows.
_IN_URL = re.compile(r"(\w[\w+.-]*://)(?:[^/\s\"']*@|[^/\s\"':]*:[^\s\"'@/]*[^\d\s\"'@/][^\s\"']*@)")
_QUERY = re.compile(r"(\w[\w+.-]*://[^\s\"'?]*)\?[^\s\"']*")
_PROPERTY = re.compile(
    r"\b([\w-]*(?:user-id|user-pw|username|password|passphrase|passwd|secret|token|keys?)\s*=\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s\"']+)",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """``text`` without users and passwords: of URLs in it, their queries, and of properties such as ``user-pw``."""
    return _PROPERTY.sub(r"\1***", _QUERY.sub(r"\1", _IN_URL.sub(r"\1", text)))
