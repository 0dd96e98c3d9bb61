"""Runs that are stopped in every stage, where their user or the machine's may stop them."""

from __future__ import annotations

from test_run_safety import HALTS, halted_by_signals


def test_signals_end_every_stage_in_order(plaza, tmp_path):
    halted_by_signals(plaza, tmp_path, HALTS)
