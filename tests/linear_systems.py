"""Linear systems written plainly, for tests of the elimination."""

from __future__ import annotations

import torch
from torch import Tensor


def columns_of(own: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
    """``columns`` and ``mixing`` of derivatives (B, C, T, n) and (B, C, T, S): a column for each parameter."""
    columns = torch.cat([own, shared], -1).transpose(-1, -2)
    count = columns.shape[2]
    return columns, torch.eye(count).to(columns).expand(*columns.shape[:2], count, count)
