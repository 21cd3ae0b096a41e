"""What webhooks stand beside: httpx in a loop, with the same body, and nothing else."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

CONNECTIONS = 8
HEADERS = {
    "content-type": "application/json",
    "user-agent": "Counterpoint",
    "webhook-id": "msg_0190b7c6-7b1e-7d1f-9a55-6a7f5d3c2b1a_1",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "accept-encoding": "identity",
}


def threads(url: str, body: str, count: int) -> float:
    """Post so often from 8 threads, a client each; return the Unix time of the end."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(partial(_post, url, body), [count // CONNECTIONS] * CONNECTIONS))
    return time.time()


def _post(url: str, body: str, count: int) -> None:
    with httpx.Client(trust_env=False) as client:
        for _ in range(count):
            client.post(url, content=body, headers=HEADERS).raise_for_status()


def tasks(url: str, body: str, count: int) -> float:
    """The same from 8 tasks of one event loop with one client."""
    asyncio.run(_all(url, body, count))
    return time.time()


async def _all(url: str, body: str, count: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await asyncio.gather(
            *(_post_async(client, url, body, count // CONNECTIONS) for _ in range(CONNECTIONS))
        )


async def _post_async(client: httpx.AsyncClient, url: str, body: str, count: int) -> None:
    for _ in range(count):
        (await client.post(url, content=body, headers=HEADERS)).raise_for_status()


HANDLERS = {"threads": threads, "tasks": tasks}
