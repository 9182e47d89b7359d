"""One side of the comparison: sends requests, keeps every answer.

A scenario is a function that gets a `Side` and talks through it. It runs once against each server; what it sent and what came back is the transcript.
Nothing is judged here: compare.py does that, over the two transcripts.
"""

import base64
import http.client
import json
import re
import ssl
import tempfile
import time
import urllib.parse

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

# What Kubernetes 1.20 calls the versions that have become stable since: the same request goes to the version that a side serves.
OLDER = {
    "batch/v1/cronjobs": "batch/v1beta1/cronjobs",
    "policy/v1": "policy/v1beta1",
    "discovery.k8s.io/v1": "discovery.k8s.io/v1beta1",
    "autoscaling/v2": "autoscaling/v2beta2",
}
OLDER_KINDS = {"CronJob": ("batch/v1", "batch/v1beta1"), "PodDisruptionBudget": ("policy/v1", "policy/v1beta1"),
               "Eviction": ("policy/v1", "policy/v1beta1"), "EndpointSlice": ("discovery.k8s.io/v1", "discovery.k8s.io/v1beta1")}


def kubeconfig(path):
    """(host, port, TLS context) of the only cluster and user of a kubeconfig."""
    text = open(path).read()

    def material(key):
        data = re.search(rf"{key}-data: *\"?([A-Za-z0-9+/=]+)", text)
        if data:
            file = tempfile.NamedTemporaryFile(suffix=".pem", delete=False)
            file.write(base64.b64decode(data[1]))
            file.close()
            return file.name
        named = re.search(rf"{key}: *\"?([^\"\n]+)", text)
        return named[1] if named else None

    server = re.search(r"server: *\"?([^\"\s]+)", text)[1]
    url = urllib.parse.urlparse(server)
    context = ssl.create_default_context(cafile=material("certificate-authority"))
    context.check_hostname = False
    plain = ssl.create_default_context(cafile=material("certificate-authority"))
    plain.check_hostname = False
    context.load_cert_chain(material("client-certificate"), material("client-key"))
    return url.hostname, url.port, context, plain


class Answer:
    """What came back: `code`, `headers`, `body` (parsed where it was JSON)."""

    def __init__(self, code, headers, raw):
        self.code = code
        self.headers = {name.title(): value for name, value in headers.items()}
        text = raw.decode("utf-8", "replace")
        try:
            self.body = json.loads(text)
        except ValueError:
            self.body = text

    def __getitem__(self, path):
        """`answer["metadata.uid"]`; nil-safe."""
        at = self.body
        for key in path.split("."):
            if isinstance(at, dict):
                at = at.get(key)
            elif isinstance(at, list) and key.isdigit() and int(key) < len(at):
                at = at[int(key)]
            else:
                return None
        return at


class Side:
    def __init__(self, address, name, tag, steps):
        self.host, self.port, self.context, self.plain = address
        self.scenario, self.tag, self.steps = name, tag, steps
        self.ns = f"{name}-{tag}"
        self.old = False
        self.connections = {}

    # -- names ---------------------------------------------------------------------------------------------------------------------

    def version(self, path):
        if self.old:
            for new, old in OLDER.items():
                base, _, resource = new.partition("/cronjobs")
                if new in path or (new.endswith("cronjobs") and re.search(r"batch/v1(/namespaces/[^/]+)?/cronjobs", path)):
                    if new.endswith("cronjobs"):
                        return path.replace("batch/v1/", "batch/v1beta1/")
                    return path.replace(new, old)
        return path

    def body_version(self, body):
        if self.old and isinstance(body, dict) and body.get("kind") in OLDER_KINDS:
            new, old = OLDER_KINDS[body["kind"]]
            if body.get("apiVersion") == new:
                return {**body, "apiVersion": old}
        if self.old and isinstance(body, dict) and body.get("apiVersion") == "autoscaling/v2":
            return {**body, "apiVersion": "autoscaling/v2beta2"}
        return body

    def core(self, resource, name=None, ns=None):
        return f"/api/v1/namespaces/{ns or self.ns}/{resource}" + (f"/{name}" if name else "")

    def apps(self, resource, name=None, ns=None):
        return f"/apis/apps/v1/namespaces/{ns or self.ns}/{resource}" + (f"/{name}" if name else "")

    def group(self, group, resource, name=None, ns=None):
        return f"/apis/{group}/namespaces/{ns or self.ns}/{resource}" + (f"/{name}" if name else "")

    # -- requests ------------------------------------------------------------------------------------------------------------------

    def send(self, method, path, body=None, headers=None, anonymous=False, timeout=30):
        """One request, kept out of the transcript."""
        path = self.version(path)
        headers = dict(headers or {})
        headers.setdefault("User-Agent", "oracle/1")
        headers.setdefault("Accept", JSON)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(self.body_version(body))
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", JSON)
        for attempt in (0, 1):
            connection = self.connections.get(anonymous)
            if connection is None:
                context = self.plain if anonymous else self.context
                connection = http.client.HTTPSConnection(self.host, self.port, context=context, timeout=timeout)
                self.connections[anonymous] = connection
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                answer = Answer(response.status, dict(response.getheaders()), response.read())
                if response.will_close:
                    self.connections.pop(anonymous).close()
                return answer
            except (OSError, http.client.HTTPException) as error:
                self.connections.pop(anonymous).close()
                if attempt == 1:
                    return Answer(0, {}, f"no answer: {type(error).__name__}".encode())

    def request(self, method, path, body=None, headers=None, anonymous=False, note=None):
        answer = self.send(method, path, body, headers, anonymous)
        self.keep(method, path, body, headers, answer, note)
        return answer

    def keep(self, method, path, body, headers, answer, note=None):
        if isinstance(body, bytes):
            body = body[:200].decode("utf-8", "replace")
        self.steps.append({
            "scenario": self.scenario, "method": method, "path": path, "note": note, "headers": headers or {}, "request": body, "code": answer.code,
            "type": answer.headers.get("Content-Type", ""), "warning": answer.headers.get("Warning", ""), "body": answer.body,
        })

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def put(self, path, body, **options):
        return self.request("PUT", path, body, **options)

    def delete(self, path, body=None, **options):
        return self.request("DELETE", path, body, **options)

    def patch(self, path, body, kind=MERGE, **options):
        headers = {"Content-Type": kind, **(options.pop("headers", None) or {})}
        return self.request("PATCH", path, body, headers=headers, **options)

    def table(self, path, **options):
        return self.request("GET", path, headers={"Accept": TABLE}, **options)

    def make(self, path, body):
        """Creates without a word in the transcript: what a scenario needs, not what it looks at."""
        return self.send("POST", path, body)

    def wait(self, path, until, seconds=20, note=None, headers=None):
        """Asks until `until(answer)` holds; the last answer is kept."""
        end = time.monotonic() + seconds
        while True:
            answer = self.send("GET", path, headers=headers)
            try:
                done = until(answer)
            except (TypeError, KeyError, IndexError, AttributeError):
                done = False
            if done or time.monotonic() > end:
                self.keep("GET", path, None, headers, answer, (note or "") + ("" if done else " [never became so]"))
                return answer
            time.sleep(0.1)

    def watch(self, path, events=None, seconds=3, note=None, during=None, headers=None):
        """Opens a watch; keeps the events that arrive until there are `events` of them or the time is over."""
        path = self.version(path)
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=seconds)
        got, code, kind, end = [], 0, "", time.monotonic() + seconds
        buffer = b""
        try:
            connection.request("GET", path, headers={"Accept": JSON, "User-Agent": "oracle/1", **(headers or {})})
            response = connection.getresponse()
            code, kind = response.status, response.headers.get("Content-Type", "")
            if during:
                during()
            while time.monotonic() < end and (events is None or len(got) < events):
                piece = response.read1(65536)
                if not piece:
                    break
                buffer += piece
                *lines, buffer = buffer.split(b"\n")
                got += [json.loads(line) for line in lines if line.strip()]
            if not got and buffer:
                got = json.loads(buffer)
        except (TimeoutError, OSError, ValueError):
            pass
        finally:
            connection.close()
        answer = Answer(code, {"Content-Type": kind}, json.dumps(got if events is None or isinstance(got, dict) else got[:events]).encode())
        self.keep("WATCH", path, None, headers, answer, note)
        return answer
