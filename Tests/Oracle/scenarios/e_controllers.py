"""What the controllers do: workloads, garbage, endpoints, namespaces, quota. Nodes are objects without a machine on both sides."""

import json
import time

from client import MERGE, STRATEGIC
from objects import config_map, deployment, pod, service, template, with_


def _node(c, name):
    c.make("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "oracle": c.ns}}})
    capacity = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "50Gi"}
    c.send("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"capacity": capacity, "allocatable": capacity, "conditions": [
        {"type": t, "status": s, "reason": "Fake", "message": "fake", "lastHeartbeatTime": "2035-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"} for t, s in (("Ready", "True"), ("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"))]}}, {"Content-Type": STRATEGIC})
    c.send("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, {"Content-Type": STRATEGIC})


def _run(c, name, ready=True, ip="1.2.3.4"):
    """Plays the kubelet: the pod runs and is ready."""
    state = "True" if ready else "False"
    c.send("PATCH", c.core("pods", name) + "/status", {"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "172.31.9.1", "startTime": "2020-01-01T00:00:00Z",
        "conditions": [{"type": t, "status": state if t in ("Ready", "ContainersReady") else "True", "lastTransitionTime": "2020-01-01T00:00:00Z"} for t in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{"name": "c", "ready": ready, "restartCount": 0, "image": "x", "imageID": "x", "started": True, "state": {"running": {"startedAt": "2020-01-01T00:00:00Z"}}}]}}, {"Content-Type": STRATEGIC})


def _pods(c, selector="app=web"):
    return [p["metadata"]["name"] for p in c.send("GET", c.core("pods") + "?labelSelector=" + selector.replace("=", "%3D"))["items"] or [] if "deletionTimestamp" not in p["metadata"]]


def _run_all(c, count, selector="app=web", seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        names = _pods(c, selector)
        if len(names) >= count:
            break
        time.sleep(0.1)
    for i, name in enumerate(sorted(_pods(c, selector))):
        _run(c, name, ip=f"1.2.3.{i + 1}")


def _events(c, about, seconds=3):
    """The events about objects whose kind is `about`: reasons and messages, sorted, without chance."""
    time.sleep(0.5)
    found = c.send("GET", c.core("events"))["items"] or []
    rows = sorted({(e["type"], e["reason"], e["involvedObject"]["kind"], e.get("message", ""), (e.get("source") or {}).get("component", ""), e["involvedObject"].get("apiVersion", ""), e["involvedObject"].get("fieldPath", ""))
                   for e in found if e["involvedObject"]["kind"] in about})
    answer = c.send("GET", "/version")
    answer.body = [list(r) for r in rows]
    c.keep("EVENTS", about if isinstance(about, str) else ",".join(about), None, None, answer)


def deployments(c):
    _node(c, c.ns)
    at = c.apps("deployments", "web")
    selector = {"nodeSelector": {"oracle": c.ns}}
    c.make(c.apps("deployments"), deployment(replicas=2, template=template(**selector), progressDeadlineSeconds=600))
    c.wait(at, lambda a: a["status.replicas"] == 2 and len(a["status.conditions"]) == 2, note="made")
    _run_all(c, 2)
    c.wait(at, lambda a: a["status.readyReplicas"] == 2 and a["status.availableReplicas"] == 2, note="available")
    c.get(c.apps("replicasets"))
    c.get(c.core("pods") + "?limit=1")
    # a new revision
    c.send("PATCH", at, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}, {"Content-Type": STRATEGIC})
    c.wait(at, lambda a: a["status.updatedReplicas"] == 1, note="rolling")
    c.wait(c.apps("replicasets"), lambda a: len(a["items"]) == 2)
    for _ in range(3):
        time.sleep(0.3)
        _run_all(c, 3, seconds=1)
    c.wait(at, lambda a: a["status.updatedReplicas"] == 2 and a["status.availableReplicas"] == 2 and a["status.replicas"] == 2, note="rolled")
    answer = c.send("GET", c.apps("replicasets"))
    if isinstance(answer.body, dict):
        answer.body["items"] = sorted(answer.body.get("items", []), key=lambda r: r["metadata"]["annotations"].get("deployment.kubernetes.io/revision", ""))
    c.keep("GET", c.apps("replicasets"), None, None, answer, "by revision")
    # back again
    c.send("PATCH", at, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}}}, {"Content-Type": STRATEGIC})
    for _ in range(4):
        time.sleep(0.3)
        _run_all(c, 3, seconds=1)
    c.wait(at, lambda a: a["metadata.annotations"]["deployment.kubernetes.io/revision"] == "3" and a["status.updatedReplicas"] == 2 and a["status.replicas"] == 2 and a["status.availableReplicas"] == 2, note="rolled back")
    answer = c.send("GET", c.apps("replicasets"))
    if isinstance(answer.body, dict):
        answer.body["items"] = sorted(answer.body.get("items", []), key=lambda r: r["metadata"]["annotations"].get("deployment.kubernetes.io/revision", ""))
    c.keep("GET", c.apps("replicasets"), None, None, answer, "by revision")
    # scale
    c.send("PATCH", at + "/scale", {"spec": {"replicas": 1}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: a["status.replicas"] == 1, note="scaled down")
    c.send("PATCH", at + "/scale", {"spec": {"replicas": 0}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: not a["status.replicas"] and a["status.observedGeneration"] == a["metadata.generation"], note="scaled to nothing")
    # paused
    c.send("PATCH", at, {"spec": {"paused": True}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: len(a["status.conditions"]) == 2 and a["status.conditions.1.reason"] == "DeploymentPaused" or a["status.conditions.0.reason"] == "DeploymentPaused", note="paused", seconds=5)
    c.send("PATCH", at, {"spec": {"paused": None}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: "DeploymentResumed" in json.dumps(a.body) or "NewReplicaSetAvailable" in json.dumps(a["status"]), note="resumed", seconds=5)
    _events(c, "Deployment")
    _events(c, "ReplicaSet")
    c.send("DELETE", f"/api/v1/nodes/{c.ns}")


def stuck_deployment(c):
    c.make(c.apps("deployments"), deployment(replicas=1, progressDeadlineSeconds=1, template=template(nodeSelector={"no": "where"})))
    c.wait(c.apps("deployments", "web"), lambda a: "ProgressDeadlineExceeded" in json.dumps(a.body), note="deadline exceeded", seconds=15)
    c.wait(c.core("pods"), lambda a: a["items.0.status.conditions.0.reason"] == "Unschedulable", note="unschedulable", seconds=15)
    _events(c, "Pod")
    c.make(c.apps("deployments"), deployment("recreate", replicas=1, strategy={"type": "Recreate"}, selector={"matchLabels": {"app": "r"}}, template=template({"app": "r"}, nodeSelector={"no": "where"})))
    c.wait(c.apps("deployments", "recreate"), lambda a: a["status.replicas"] == 1)
    c.send("PATCH", c.apps("deployments", "recreate"), {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}, {"Content-Type": STRATEGIC})
    c.wait(c.apps("deployments", "recreate"), lambda a: a["status.updatedReplicas"] == 1 and a["status.observedGeneration"] == 2)


def replica_sets(c):
    rs = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template(nodeSelector={"no": "where"})}}
    c.make(c.core("pods"), with_(pod("orphan", nodeSelector={"no": "where"}), {"metadata.labels": {"app": "web"}}))
    c.make(c.apps("replicasets"), rs)
    at = c.apps("replicasets", "rs")
    c.wait(at, lambda a: a["status.replicas"] == 2, note="adopts one, makes one")
    c.wait(c.core("pods", "orphan"), lambda a: a["metadata.ownerReferences"], note="adopted")
    c.send("PATCH", c.core("pods", "orphan"), {"metadata": {"labels": {"app": "x"}}}, {"Content-Type": MERGE})
    c.wait(c.core("pods", "orphan"), lambda a: not a["metadata.ownerReferences"], note="released")
    c.wait(at, lambda a: a["status.replicas"] == 2)
    _run_all(c, 2)
    c.wait(at, lambda a: a["status.readyReplicas"] == 2, note="ready")
    c.send("PATCH", at, {"spec": {"replicas": 0}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: a["status.replicas"] == 0 and a["status.observedGeneration"] == 2, note="to nothing")
    _events(c, "ReplicaSet")
    c.make(c.core("resourcequotas"), {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    c.wait(c.core("resourcequotas", "q"), lambda a: a["status.hard"])
    c.send("PATCH", at, {"spec": {"replicas": 1}}, {"Content-Type": MERGE})
    c.wait(at, lambda a: a["status.conditions"], note="quota forbids")


def garbage(c):
    owner = c.make(c.core("configmaps"), config_map("owner"))
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata.uid"]}

    def child(name, **more):
        c.make(c.core("configmaps"), with_(config_map(name), {"metadata.ownerReferences": [{**ref, **more}]}))

    child("child")
    c.make(c.core("configmaps"), with_(config_map("absent"), {"metadata.ownerReferences": [{**ref, "uid": "00000000-0000-0000-0000-000000000001"}]}))
    c.wait(c.core("configmaps", "absent"), lambda a: a.code == 404, note="its owner never was")
    c.get(c.core("configmaps", "child"))
    c.send("DELETE", c.core("configmaps", "owner"))
    c.wait(c.core("configmaps", "child"), lambda a: a.code == 404, note="background")
    owner = c.make(c.core("configmaps"), config_map("owner"))
    ref["uid"] = owner["metadata.uid"]
    child("block", blockOwnerDeletion=True)
    c.make(c.core("configmaps"), with_(config_map("held"), {"metadata.ownerReferences": [{**ref, "blockOwnerDeletion": True}], "metadata.finalizers": ["x/y"]}))
    time.sleep(0.5)
    c.delete(c.core("configmaps", "owner"), {"propagationPolicy": "Foreground"})
    c.wait(c.core("configmaps", "block"), lambda a: a.code == 404, note="foreground")
    c.wait(c.core("configmaps", "held"), lambda a: a["metadata.deletionTimestamp"])
    c.get(c.core("configmaps", "owner"), note="waits for held")
    c.send("PATCH", c.core("configmaps", "held"), {"metadata": {"finalizers": None}}, {"Content-Type": MERGE})
    c.wait(c.core("configmaps", "owner"), lambda a: a.code == 404, note="gone at last")
    owner = c.make(c.core("configmaps"), config_map("owner"))
    ref["uid"] = owner["metadata.uid"]
    child("left")
    time.sleep(0.5)
    c.delete(c.core("configmaps", "owner"), {"propagationPolicy": "Orphan"})
    c.wait(c.core("configmaps", "owner"), lambda a: a.code == 404, note="orphan")
    c.get(c.core("configmaps", "left"))
    c.make(c.apps("deployments"), deployment(replicas=1, template=template(nodeSelector={"no": "where"})))
    c.wait(c.core("pods"), lambda a: a["items"])
    c.delete(c.apps("deployments", "web"))
    c.wait(c.core("pods"), lambda a: not a["items"], note="a deployment's pods follow")
    c.wait(c.apps("replicasets"), lambda a: not a["items"])


def endpoints(c):
    c.make(c.core("services"), service(ports=[{"name": "http", "port": 80, "targetPort": 8080}, {"name": "named", "port": 81, "targetPort": "web"}]))
    c.wait(c.core("endpoints", "svc"), lambda a: a.code == 200, note="nobody behind it")
    for i, ready in ((1, True), (2, False)):
        c.make(c.core("pods"), with_(pod(f"p{i}", nodeName="nowhere", containers=[{"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 9090}]}]), {"metadata.labels": {"app": "web"}}))
        _run(c, f"p{i}", ready, f"1.2.3.{i}")
    c.wait(c.core("endpoints", "svc"), lambda a: len(a["subsets"]) >= 1 and a["subsets.0.notReadyAddresses"] and a["subsets.0.addresses"], note="one ready, one not")
    c.wait(c.group("discovery.k8s.io/v1", "endpointslices"), lambda a: len(a["items.0.endpoints"]) == 2)
    _run(c, "p2", True, "1.2.3.2")
    c.wait(c.core("endpoints", "svc"), lambda a: len(a["subsets.0.addresses"]) == 2)
    c.send("PATCH", c.core("services", "svc"), {"spec": {"publishNotReadyAddresses": True}}, {"Content-Type": MERGE})
    _run(c, "p2", False, "1.2.3.2")
    c.wait(c.core("endpoints", "svc"), lambda a: len(a["subsets.0.addresses"]) == 2, note="not ready ones are published")
    c.send("DELETE", c.core("pods", "p1") + "?gracePeriodSeconds=0")
    c.wait(c.core("endpoints", "svc"), lambda a: len(a["subsets.0.addresses"]) == 1)
    c.send("DELETE", c.core("services", "svc"))
    c.wait(c.core("endpoints", "svc"), lambda a: a.code == 404, note="goes with its service")
    c.wait(c.group("discovery.k8s.io/v1", "endpointslices"), lambda a: not a["items"])
    c.make(c.core("services"), service("headless", clusterIP="None", ports=None))
    c.wait(c.core("endpoints", "headless"), lambda a: a["subsets"], note="headless without ports")
    c.make(c.core("services"), service("manual", selector=None))
    c.get(c.core("endpoints", "manual"), note="without a selector nobody makes them")
    c.make(c.core("endpoints"), {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "manual"}, "subsets": [{"addresses": [{"ip": "5.6.7.8"}], "ports": [{"port": 80}]}]})
    c.wait(c.group("discovery.k8s.io/v1", "endpointslices") + "?labelSelector=kubernetes.io/service-name%3Dmanual", lambda a: a["items"], note="mirrored")


def namespaces(c):
    name = c.ns + "-x"
    c.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    c.wait(c.core("serviceaccounts", "default", ns=name), lambda a: a.code == 200)
    c.make(c.core("configmaps", ns=name), with_(config_map("held"), {"metadata.finalizers": ["x/y"]}))
    c.make(c.core("secrets", ns=name), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    c.delete("/api/v1/namespaces/" + name)
    c.wait("/api/v1/namespaces/" + name, lambda a: len(a["status.conditions"]) >= 5, note="held by a finalizer")
    c.post(c.core("configmaps", ns=name), config_map("late"), note="create while terminating")
    c.get(c.core("secrets", "s", ns=name))
    c.delete("/api/v1/namespaces/" + name, note="again")
    c.send("PATCH", c.core("configmaps", "held", ns=name), {"metadata": {"finalizers": None}}, {"Content-Type": MERGE})
    c.wait("/api/v1/namespaces/" + name, lambda a: a.code == 404, note="gone")
    c.post(c.core("configmaps", ns=name), config_map("late"), note="create after")
    for protected in ("default", "kube-system", "kube-public"):
        c.delete("/api/v1/namespaces/" + protected + "?dryRun=All")
    c.delete("/api/v1/namespaces/none")
    c.delete("/api/v1/namespaces")
    c.put(f"/api/v1/namespaces/{c.ns}/finalize", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": c.ns}, "spec": {"finalizers": ["kubernetes", "a/b"]}})
    c.put(f"/api/v1/namespaces/{c.ns}/finalize", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": c.ns}, "spec": {"finalizers": ["kubernetes"]}})
    c.patch("/api/v1/namespaces/" + c.ns, {"spec": {"finalizers": []}})
    c.patch("/api/v1/namespaces/" + c.ns, {"metadata": {"labels": {"a": "b"}}})


def quotas(c):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "configmaps": "3", "services": "1", "services.nodeports": "0", "count/deployments.apps": "1", "secrets": "10", "persistentvolumeclaims": "0"}}}
    c.post(c.core("resourcequotas"), quota)
    c.wait(c.core("resourcequotas", "q"), lambda a: a["status.used"], note="counted")

    def limited(name, cpu="100m", memory="100Mi"):
        return pod(name, nodeSelector={"no": "where"}, containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": memory}}}])

    c.post(c.core("pods"), pod("bare"), note="without requests")
    c.post(c.core("pods"), limited("a"))
    c.post(c.core("pods"), limited("b", cpu="2"))
    c.post(c.core("pods"), limited("b", memory="2Gi"))
    c.post(c.core("pods"), limited("b"))
    c.post(c.core("pods"), limited("c"), note="the third")
    c.post(c.core("services"), service())
    c.post(c.core("services"), service("two"))
    c.send("DELETE", c.core("services", "svc"))
    c.post(c.core("services"), service("np", type="NodePort"))
    c.post(c.apps("deployments"), deployment(replicas=0))
    c.post(c.apps("deployments"), deployment("two", replicas=0))
    c.post(c.core("persistentvolumeclaims"), {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    for i in range(3):
        c.post(c.core("configmaps"), config_map(f"c{i}"))
    c.wait(c.core("resourcequotas", "q"), lambda a: a["status.used.pods"] == "2", note="used")
    c.table(c.core("resourcequotas", "q"))
    c.send("DELETE", c.core("pods", "a") + "?gracePeriodSeconds=0")
    c.wait(c.core("resourcequotas", "q"), lambda a: a["status.used.pods"] == "1", note="freed")
    c.patch(c.core("resourcequotas", "q"), {"spec": {"hard": {"pods": "1"}}})
    c.make(c.core("resourcequotas"), {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "be"}, "spec": {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}})
    c.wait(c.core("resourcequotas", "be"), lambda a: a["status.hard"])


def limit_ranges(c):
    c.post(c.core("limitranges"), {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1", "memory": "1Gi"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "10"}},
        {"type": "Pod", "max": {"cpu": "2"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "100Mi"}}]}})
    time.sleep(0.5)

    def of(name, *resources):
        return pod(name, nodeSelector={"no": "where"}, containers=[{"name": f"c{i}", "image": "x", "resources": r} for i, r in enumerate(resources)])

    c.post(c.core("pods"), of("plain", {}))
    c.post(c.core("pods"), of("limits", {"limits": {"cpu": "200m"}}))
    c.post(c.core("pods"), of("requests", {"requests": {"cpu": "200m"}}))
    c.post(c.core("pods"), of("over", {"limits": {"cpu": "3"}}))
    c.post(c.core("pods"), of("under", {"requests": {"cpu": "10m"}}))
    c.post(c.core("pods"), of("ratio", {"requests": {"cpu": "50m"}, "limits": {"cpu": "1"}}))
    c.post(c.core("pods"), of("sum", {"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}}))
    c.post(c.core("pods"), of("memory", {"limits": {"memory": "2Gi"}}))
    for size in ("50Mi", "500Mi", "5Gi"):
        c.post(c.core("persistentvolumeclaims"), {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p" + size.lower()}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}})


def priorities(c):
    c.post("/apis/scheduling.k8s.io/v1/priorityclasses", {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": c.ns}, "value": 1000, "preemptionPolicy": "Never"})
    time.sleep(0.5)
    c.post(c.core("pods"), pod("p", priorityClassName=c.ns, nodeSelector={"no": "where"}))
    c.post(c.core("pods"), pod("q", priorityClassName=c.ns, priority=3, nodeSelector={"no": "where"}))
    c.post(c.core("pods"), pod("r", priorityClassName="system-cluster-critical", nodeSelector={"no": "where"}))
    c.delete("/apis/scheduling.k8s.io/v1/priorityclasses/" + c.ns)
    c.delete("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical?dryRun=All")
    c.patch("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical?dryRun=All", {"value": 1})


def scheduling(c):
    _node(c, c.ns)
    here = {"nodeSelector": {"oracle": c.ns}}

    def outcome(name, body):
        c.make(c.core("pods"), body)
        c.wait(c.core("pods", name), lambda a: a["spec.nodeName"] or a["status.conditions"], note=name, seconds=10)

    outcome("fits", pod("fits", **here))
    outcome("huge", pod("huge", containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "64"}}}], **here))
    outcome("elsewhere", pod("elsewhere", nodeSelector={"no": "where"}))
    c.send("PATCH", f"/api/v1/nodes/{c.ns}", {"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}, {"Content-Type": STRATEGIC})
    time.sleep(0.5)
    outcome("tainted", pod("tainted", **here))
    outcome("tolerates", pod("tolerates", tolerations=[{"key": "k", "operator": "Exists"}], **here))
    c.send("PATCH", f"/api/v1/nodes/{c.ns}", {"spec": {"taints": None, "unschedulable": True}}, {"Content-Type": STRATEGIC})
    time.sleep(0.5)
    outcome("cordoned", pod("cordoned", **here))
    c.get(f"/api/v1/nodes/{c.ns}", note="cordoned")
    _events(c, "Pod")
    c.send("DELETE", f"/api/v1/nodes/{c.ns}")


def evictions(c):
    _node(c, c.ns)
    c.make(c.apps("deployments"), deployment(replicas=2, template=template(nodeSelector={"oracle": c.ns})))
    _run_all(c, 2)
    c.make(c.group("policy/v1", "poddisruptionbudgets"), {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "pdb"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}})
    c.wait(c.group("policy/v1", "poddisruptionbudgets", "pdb"), lambda a: a["status.expectedPods"] == 2 and a["status.currentHealthy"] == 2, note="counted", seconds=8)
    name = sorted(_pods(c))[0]
    answer = c.send("POST", c.core("pods", name) + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    c.keep("POST", c.core("pods", "X") + "/eviction", None, None, answer, "the budget forbids")
    c.send("PATCH", c.group("policy/v1", "poddisruptionbudgets", "pdb"), {"spec": {"minAvailable": 1}}, {"Content-Type": MERGE})
    c.wait(c.group("policy/v1", "poddisruptionbudgets", "pdb"), lambda a: a["status.disruptionsAllowed"] == 1, seconds=8)
    answer = c.send("POST", c.core("pods", name) + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    c.keep("POST", c.core("pods", "X") + "/eviction", None, None, answer, "the budget allows")
    c.send("DELETE", f"/api/v1/nodes/{c.ns}")


def nodes(c):
    _node(c, c.ns)
    c.get(f"/api/v1/nodes/{c.ns}")
    c.wait(f"/api/v1/nodes/{c.ns}", lambda a: a["spec.podCIDR"], note="has its range")
    c.patch(f"/api/v1/nodes/{c.ns}", {"spec": {"unschedulable": True}})
    c.wait(f"/api/v1/nodes/{c.ns}", lambda a: a["spec.taints"], note="tainted by its condition", seconds=8)
    c.patch(f"/api/v1/nodes/{c.ns}", {"spec": {"unschedulable": None}})
    c.wait(f"/api/v1/nodes/{c.ns}", lambda a: not a["spec.taints"], seconds=8)
    c.get(f"/api/v1/nodes/{c.ns}/status")
    c.get(f"/api/v1/nodes/{c.ns}/proxy/")
    c.make(c.core("pods"), pod("p", nodeName=c.ns))
    c.delete(f"/api/v1/nodes/{c.ns}")
