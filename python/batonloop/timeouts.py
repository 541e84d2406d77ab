"""Timeouts, all native."""

from __future__ import annotations

from ._batonloop import Timeout, timeout, timeout_at
from .names import complete

__all__ = ("Timeout", "timeout", "timeout_at")

complete(globals())
