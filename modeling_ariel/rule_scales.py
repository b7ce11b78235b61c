"""Weights of physics rules that are learned, as those of tasks are (Kendall, Gal & Cipolla 2018, arXiv:1705.07115)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOST = 10.0  # times that a rule may count more, or less, than its weight


class RuleScales(nn.ParameterDict):
    """ln of the usual size s of what each rule charges, in limits; 0 at the start.

    A rule costs its weight times (charge / s + limit * ln s), least where s is the mean charge in limits: rules that
    are broken much count less, those that are all but kept more. Two things keep a weight from running to 0: ln s is
    paid for, and s stays within a factor of MOST.
    """

    def __init__(self, rules: Sequence[str]):
        super().__init__({name: nn.Parameter(torch.zeros(())) for name in rules})

    def log_sizes(self) -> Tensor:
        """(R,), in the order of the rules."""
        return math.log(MOST) * torch.tanh(torch.stack(list(self.values())) / math.log(MOST))
