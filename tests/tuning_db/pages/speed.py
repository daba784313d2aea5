"""How long each page of the demo race takes: ``python -m tests.tuning_db.pages.speed [ROUNDS]``.

The whole model, a real server in this process, one connection; the client beside it takes a part of the times.
The processor's time does not grow where a machine has other work as well.
"""

from __future__ import annotations

import http.client
import sys
import tempfile
import time
from pathlib import Path

from cli._output import seconds, size, table
from tests.tuning_db.demo import make, served
from tests.tuning_db.pages.pictures import pages


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rows = []
    with tempfile.TemporaryDirectory() as folder, served(make(Path(folder) / "demo.db")) as demo:
        connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=60)
        for name, (who, path) in pages(demo).items():
            headers = {"Accept": "text/html"} | ({"Cookie": f"headstart={demo.tokens[who]}"} if who else {})
            times, body, began = [], b"", time.process_time()
            for _ in range(rounds + 5):
                start = time.perf_counter()
                connection.request("GET", path, headers=headers)
                body = connection.getresponse().read()
                times.append(time.perf_counter() - start)
            spent = (time.process_time() - began) / (rounds + 5)
            ordered = sorted(times[5:])
            middle, tail = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
            rows.append([name, who or "anybody", size(len(body)), seconds(middle), seconds(tail), seconds(spent)])
        connection.close()
    table("Pages", ("page", "seen by", "bytes", "median", "p99", "processor"), rows, left=2)


if __name__ == "__main__":
    main()
