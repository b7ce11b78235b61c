"""How fast the Space is: start, first paint, first spectrum cold and warm, and twenty users at once.

    python bench/space_speed.py [--users 20] [--requests 3]

It starts the app as `make space` does, opens it in headless Chromium where that is installed, and lets users ask for
spectra and what-ifs through the API at the same time. The numbers are of this machine as busy as it is; they go to
bench/out/space_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "space")]


def seconds(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def paint(address: str, planets: list[str]) -> dict[str, float]:
    """First paint, and the first spectrum drawn: of a planet not computed before, and of the same planet again."""
    from chromium import ARGUMENTS, CHROMIUM
    from playwright.sync_api import sync_playwright

    found: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, headless=True)
        for name, planet in (("cold", planets[0]), ("warm", planets[0])):
            page = browser.new_context().new_page()  # each with an empty cache
            begin = time.perf_counter()
            page.goto(f"{address}/?planet={planet}")
            page.wait_for_selector("#spectrum-plot .main-svg", timeout=120_000)
            found[f"first_spectrum_{name}_s"] = time.perf_counter() - begin
            entries = "performance.getEntriesByType('paint').find(e => e.name === 'first-contentful-paint')?.startTime"
            found[f"first_paint_{name}_s"] = (page.evaluate(entries) or float("nan")) / 1e3
            page.context.close()
        browser.close()
    return found


def crowd(address: str, planets: list[str], users: int, requests: int) -> dict[str, Any]:
    """Users who all ask at once, each for other planets and conditions; every error is counted."""
    from gradio_client import Client

    barrier = threading.Barrier(users)

    def user(number: int) -> tuple[list[float], list[str]]:
        client = Client(address, verbose=False)
        times, errors = [], []
        barrier.wait(120)
        for turn in range(requests):
            planet = planets[(number + 7 * turn) % len(planets)]
            begin = time.perf_counter()
            try:
                if turn % 3 == 2:
                    answer = client.predict(planet, 1.5 + number / 10, api_name="/what_if")
                else:
                    answer = client.predict(planet, "ppm", 0, api_name="/spectrum")
                if len(answer["table"]) != 283:
                    errors.append(f"{planet}: {len(answer['table'])} rows")
            except Exception as error:  # whatever a user would have seen
                errors.append(str(error))
            times.append(time.perf_counter() - begin)
        return times, errors

    begin = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        results = list(pool.map(user, range(users)))
    took = time.perf_counter() - begin
    times = sorted(value for found, _ in results for value in found)
    return {
        "users": users,
        "requests": len(times),
        "errors": [error for _, found in results for error in found],
        "wall_s": took,
        "median_s": statistics.median(times),
        "p90_s": times[int(0.9 * (len(times) - 1))],
        "slowest_s": times[-1],
    }


def measure(users: int, requests: int) -> dict[str, Any]:
    """All of it, on a fresh server."""
    from chromium import CHROMIUM
    from gradio_client import Client
    from space_server import checkout_command, started

    command, environment = checkout_command(REPOSITORY)
    result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with started(command, REPOSITORY, environment, Path(folder) / "app.log") as address:
            result["start_s"] = time.perf_counter() - begin
            address = address.rstrip("/")
            planets = [found["planet"] for found in Client(address, verbose=False).predict(api_name="/planets")]
            if CHROMIUM.exists():
                result |= paint(address, planets)
            client = Client(address, verbose=False)
            for name in ("cold", "warm"):
                result[f"api_{name}_s"] = seconds(lambda: client.predict(planets[-1], "ppm", 0, api_name="/spectrum"))
            result["crowd"] = crowd(address, planets, users, requests)
            result["load_after"] = os.getloadavg()[0]
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--requests", type=int, default=3, help="of each user")
    arguments = parser.parse_args()
    measured = measure(arguments.users, arguments.requests)
    out = REPOSITORY / "bench" / "out" / "space_speed.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured, indent=1))
    sys.exit(bool(measured["crowd"]["errors"]))
