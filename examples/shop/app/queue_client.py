"""What api.py and worker.py share: the two Redis connections and the names of their keys."""
import os

import redis

JOBS = "jobs"  # list: ids that wait
RUNNING = "jobs:running"  # list: ids that a worker has taken and not finished


def result_key(job_id):
    return f"job:{job_id}"


def connect(host, password_file=None):
    password = None
    if password_file:
        with open(password_file) as file:
            password = file.read().strip()
    return redis.Redis(host=host, password=password, decode_responses=True, socket_connect_timeout=2,
                       health_check_interval=15, retry_on_timeout=True)


def queue():
    return connect(os.environ["QUEUE_HOST"])


def cache():
    return connect(os.environ["CACHE_HOST"], os.environ.get("CACHE_PASSWORD_FILE"))
