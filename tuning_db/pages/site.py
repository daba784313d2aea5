"""All pages together."""

from __future__ import annotations

from tuning_db.pages import ledgers, login, release, releases, static, vendor, workload

# No part of the OpenAPI document, which is for programs.
ROUTERS = tuple(module.router for module in (releases, release, workload, vendor, ledgers, login, static))
