"""The shop's API: takes orders, hands them to the queue and answers from the cache.

  GET  /api/info        who answers, how many pages the cache has counted
  POST /api/orders      {"item": …, "quantity": …} -> 202 {"id": …}
  GET  /api/orders/ID   {"status": "waiting" | "done", …}
  GET  /healthz         200 while both Redis servers answer
"""
import json
import os
import signal
import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import queue_client
import redis

QUEUE, CACHE = queue_client.queue(), queue_client.cache()
RESULT_SECONDS = int(os.environ.get("RESULT_SECONDS", "3600"))
MAXIMUM_BODY = 64 * 1024
STOPPING = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that an idle connection stays

    def answer(self, code, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if STOPPING.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def guarded(self, action):
        try:
            action()
        except redis.RedisError as error:
            self.answer(503, {"error": f"the store does not answer: {error}"})

    def do_GET(self):
        self.guarded(self.read)

    def do_POST(self):
        self.guarded(self.order)

    def read(self):
        if self.path == "/healthz":
            CACHE.ping()
            QUEUE.ping()
            self.answer(200, {"status": "ok"})
        elif self.path == "/api/info":
            self.answer(200, {"pod": socket.gethostname(), "visits": CACHE.incr("visits"), "waiting": QUEUE.llen(queue_client.JOBS),
                              "greeting": os.environ.get("GREETING", "")})
        elif self.path.startswith("/api/orders/"):
            job = CACHE.hgetall(queue_client.result_key(self.path.rsplit("/", 1)[1]))
            self.answer(200 if job else 404, job or {"error": "no such order"})
        else:
            self.answer(404, {"error": "no such page"})

    def order(self):
        if self.path != "/api/orders":
            return self.answer(404, {"error": "no such page"})
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAXIMUM_BODY:
            return self.answer(413, {"error": f"an order has at most {MAXIMUM_BODY} bytes"})
        try:
            order = json.loads(self.rfile.read(length))
            item, quantity = str(order["item"]), int(order.get("quantity", 1))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.answer(400, {"error": 'an order looks like {"item": "tea", "quantity": 2}'})
        job_id = uuid.uuid4().hex
        key = queue_client.result_key(job_id)
        CACHE.hset(key, mapping={"status": "waiting", "item": item, "quantity": quantity})
        CACHE.expire(key, RESULT_SECONDS)
        QUEUE.lpush(queue_client.JOBS, json.dumps({"id": job_id, "item": item, "quantity": quantity}))
        self.answer(202, {"id": job_id})

    def log_message(self, format, *arguments):
        if self.path != "/healthz":
            print(f"{self.client_address[0]} {format % arguments}", flush=True)


def main():
    server = ThreadingHTTPServer(("", 8000), Handler)
    server.daemon_threads = False

    def stop(*_):
        STOPPING.set()
        threading.Thread(target=server.shutdown).start()

    # Out of the service's endpoints first, then the last answers, then the end.
    signal.signal(signal.SIGTERM, stop)
    print("api: serving on 8000", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
