"""Sends predictions with a real client library and writes down what was sent and got, one JSON line a call.

usage: client.py LIBRARY URL COUNT SEED OUT [--region]
"""

import asyncio
import json
import random
import sys


def body(dice, n, region):
    def customer():
        one = {
            "age": dice.uniform(18, 80),
            "monthly_charge": dice.uniform(5, 120),
            "tenure_months": dice.randrange(72),
            "plan": dice.choice(["basic", "plus", "pro"]),
            "has_partner": dice.random() < 0.5,
            "note": dice.choice([None, "naïve – ünïcode ✓", 'quote " and \\ backslash', ""]),
        }
        if region:
            one["region"] = dice.choice(["north", "south"])
        return one

    return [customer() for _ in range(dice.randrange(2, 9))] if n % 5 == 4 else customer()


def write(out, sent, status, weir_id, text):
    got = json.loads(text)
    out.write(json.dumps({"id": weir_id, "status": status, "sent": sent, "got": got}) + "\n")


def with_requests(url, bodies, out):
    import requests

    session = requests.Session()
    for sent in bodies:
        answer = session.post(url, json=sent, timeout=30)
        write(out, sent, answer.status_code, answer.headers["x-weir-id"], answer.text)


def with_httpx(url, bodies, out):
    import httpx

    with httpx.Client(timeout=30) as client:
        for sent in bodies:
            answer = client.post(url, json=sent)
            write(out, sent, answer.status_code, answer.headers["x-weir-id"], answer.text)


def with_aiohttp(url, bodies, out):
    import aiohttp

    async def one(session, sent):
        async with session.post(url, json=sent) as answer:
            write(out, sent, answer.status, answer.headers["x-weir-id"], await answer.text())

    async def all_of_them():
        async with aiohttp.ClientSession() as session:
            for i in range(0, len(bodies), 8):
                await asyncio.gather(*(one(session, sent) for sent in bodies[i : i + 8]))

    asyncio.run(all_of_them())


def main():
    library, url, count, seed, path = sys.argv[1:6]
    dice = random.Random(int(seed))
    bodies = [body(dice, n, "--region" in sys.argv) for n in range(int(count))]
    with open(path, "a", encoding="utf-8") as out:
        {"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}[library](url, bodies, out)
    print("ok", len(bodies))


main()
