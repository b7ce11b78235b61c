"""Logs: what of other libraries' messages is shown."""

from __future__ import annotations

import logging

import pytest
import torch

from ariel_scripts.logs import set_up_logging


@pytest.mark.parametrize(("gpu", "shown"), [(True, True), (False, False)])
def test_kernels_are_advised_only_where_they_could_run(gpu: bool, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    set_up_logging()
    logger = logging.getLogger("transformers.integrations.hub_kernels")
    advice = "`mamba` is falling back to its reference PyTorch implementation because `mamba_ssm` is not installed."
    for text, expected in ((advice, shown), ("another warning", True)):
        record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, text, (), None)
        assert bool(logger.filter(record)) is expected
