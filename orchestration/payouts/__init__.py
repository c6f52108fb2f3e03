"""What creators are paid: the append-only ledger of it, and what other policies would have paid.

docs/payouts.md says how; the shares themselves are computed by the dbt models.
"""

from orchestration.payouts.ledger import (
    Break,
    LedgerReport,
    bring_ledger,
    keep_ledger,
    post,
    verify,
)
from orchestration.payouts.policies import Policy, read_policies
from orchestration.payouts.replay import Replay, ReplayRow, replay

__all__ = [
    "Break",
    "LedgerReport",
    "Policy",
    "Replay",
    "ReplayRow",
    "bring_ledger",
    "keep_ledger",
    "post",
    "read_policies",
    "replay",
    "verify",
]
