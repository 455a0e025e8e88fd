"""examples/orders from end to end: an order placed, one that fails, why, the mended function, and the way back."""
import json
import os
import re
import shutil
import time
from pathlib import Path

import boto3
import pytest
from conftest import PYTHON, ROOT, lamplighter
from test_run import run, save  # noqa: F401 (a fixture)


@pytest.fixture
def orders(tmp_path, run, monkeypatch):  # noqa: F811
    # boto3, which the intake uses: this Python's own, shown to functions as docs/runtimes.md says.
    (tmp_path / "sdk" / PYTHON).mkdir(parents=True)
    (tmp_path / "sdk" / PYTHON / "site-packages").symlink_to(Path(boto3.__file__).parent.parent)
    runtimes = [str(tmp_path / "sdk"), *filter(None, [os.environ.get("LAMPLIGHTER_RUNTIMES")])]
    monkeypatch.setenv("LAMPLIGHTER_RUNTIMES", ":".join(runtimes))
    folder = tmp_path / "orders"
    shutil.copytree(ROOT / "examples/orders", folder, ignore=shutil.ignore_patterns(".lamplighter", "__pycache__"))
    running = run(folder, "--watch")
    running.folder = folder
    return running


def command(running, *arguments):
    outcome = lamplighter(*arguments, "--endpoint", f"http://127.0.0.1:{running.port}")
    assert outcome.returncode == 0, (arguments, outcome.stdout, outcome.stderr)
    return outcome.stdout


def wait_for_log(running, name, pattern, advance=None, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        outcome = lamplighter("logs", name, "--endpoint", f"http://127.0.0.1:{running.port}")
        if found := re.search(pattern, outcome.stdout):
            return found
        assert time.monotonic() < deadline, (pattern, outcome.stdout, outcome.stderr)
        if advance:
            command(running, "clock", "advance", advance)
        time.sleep(0.1)


def test_orders(orders):
    orders.wait_for(r"answer +\{\"order\": \"1001\", \"kind\": \"goods\"")
    dead = orders.wait_for(r"Failures = (fulfilment-failures)$")[1]
    orders.wait_for("watching")
    wait_for_log(orders, "orders-Billing", "order 1001 billed to ada: 83")
    wait_for_log(orders, "orders-Fulfilment", "order 1001 shipped to ada")

    # Only goods are shipped, all is billed.
    download = {"id": "1003", "customer": "ada", "items": [{"article": "manual", "download": True}]}
    command(orders, "invoke", "orders-Intake", "--payload", json.dumps(download))
    wait_for_log(orders, "orders-Billing", "order 1003 billed to ada: 3")

    # Poison: it is tried twice, goes to the dead-letter queue, and says why.
    poison = (orders.folder / "poison.json").read_text()
    command(orders, "invoke", "orders-Intake", "--payload", poison)
    wait_for_log(orders, "orders-Billing", "order 1002 billed to grace: 3")
    wait_for_log(orders, "orders-Fulfilment", "receive 2: KeyError", advance="31s")
    deadline = time.monotonic() + 60
    while not (shown := lamplighter("queue", "peek", dead, "--endpoint", f"http://127.0.0.1:{orders.port}").stdout):
        assert time.monotonic() < deadline
        command(orders, "clock", "advance", "31s")
        time.sleep(0.1)
    assert "snuffer" in shown and "kind = goods" in shown
    assert "came from  orders-FulfilmentQueue-" in shown
    assert re.search(r"KeyError in orders-Fulfilment after 2 attempts", shown), shown
    assert re.search(rf"{dead} +1 +0 +0 +failures of orders-FulfilmentQueue-", command(orders, "queue", "ls"))
    assert "order 1003" not in command(orders, "logs", "orders-Fulfilment"), "a download is nothing to ship"

    # Mended by a save, redriven, processed.
    source = (orders.folder / "fulfilment/app.py").read_text()
    save(orders.folder / "fulfilment/app.py", source.replace('"wick": 1000', '"wick": 1000, "snuffer": 10'))
    orders.wait_for("orders-Fulfilment updated")
    assert f"1 moved from {dead}" in command(orders, "queue", "redrive", dead)
    wait_for_log(orders, "orders-Fulfilment", "order 1002 shipped to grace")
    assert lamplighter("queue", "peek", dead, "--endpoint", f"http://127.0.0.1:{orders.port}").stdout == ""

    # What is no order, and came asynchronously, goes to the complaints.
    orders.client().invoke(FunctionName="orders-Intake", InvocationType="Event", Payload=b'{"id": "1004"}')
    wait_for_log(orders, "orders-Complaints", "not an order: .*1004.*an order needs customer, items")
    assert orders.interrupt() == 0
