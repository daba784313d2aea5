"""The board: who is ahead in a release, how ready each chip is, how the race went, what a head start is worth.

``board``, ``readiness``, ``timeline`` and ``headstart`` are functions of a store, of a viewer and of a release by id or
name. Each reads what the viewer may know, by the predicates of ``windows``, and computes from that alone.
"""

from tuning_db.board.headstart import headstart
from tuning_db.board.readiness import readiness
from tuning_db.board.standings import board
from tuning_db.board.timeline import timeline

__all__ = ["board", "headstart", "readiness", "timeline"]
