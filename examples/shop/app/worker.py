"""The shop's worker: takes orders off the queue one by one and leaves the result in the cache.

An order is moved to a list of running ones while it is worked on, and goes back when a worker starts: a killed worker loses nothing.
"""
import hashlib
import json
import os
import signal
import socket
import time

import queue_client
import redis

ROUNDS = int(os.environ.get("ROUNDS", "50000"))


def work(order):
    """Something that costs a little time and can be checked: a chain of hashes over the order."""
    digest = f"{order['item']}:{order['quantity']}".encode()
    for _ in range(ROUNDS):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


def main():
    queue, cache = queue_client.queue(), queue_client.cache()
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    mine = f"{queue_client.RUNNING}:{socket.gethostname()}"
    print("worker: waiting for orders", flush=True)
    while not stopping:
        try:
            while queue.rpoplpush(mine, queue_client.JOBS):  # what this pod had taken before its container was restarted
                pass
            taken = queue.brpoplpush(queue_client.JOBS, mine, timeout=5)
            if not taken:
                continue
            order, started = json.loads(taken), time.time()
            cache.hset(queue_client.result_key(order["id"]), mapping={
                "status": "done", "receipt": work(order), "worker": socket.gethostname(), "seconds": f"{time.time() - started:.3f}"})
            queue.lrem(mine, 1, taken)
            print(f"worker: order {order['id']} done", flush=True)
        except redis.RedisError as error:
            print(f"worker: the store does not answer, trying again: {error}", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main()
