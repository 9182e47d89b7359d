"""The request itself: verbs, lists, patches, deletions, watches, selectors, and what is wrong with them."""

from client import JSON, MERGE, PATCH, PARTIAL, STRATEGIC, TABLE
from objects import config_map, deployment, pod, service, with_


def create_read_update(c):
    cms = c.core("configmaps")
    c.post(cms, config_map())
    c.post(cms, config_map())
    got = c.get(cms + "/cm")
    c.get(cms + "/none")
    c.put(cms + "/cm", with_(got.body, {"data.b": "2"}))
    c.put(cms + "/cm", with_(got.body, {"data.b": "3"}), note="stale resourceVersion")
    c.put(cms + "/cm", config_map(c="3"), note="without resourceVersion")
    c.put(cms + "/other", config_map(), note="name differs")
    c.put(cms + "/new", config_map("new"), note="update of nothing")
    c.put(cms + "/cm", with_(config_map(), {"metadata.uid": "6e0b5f44-0000-0000-0000-000000000000"}), note="wrong uid")
    c.post(cms, with_(config_map("x"), {"metadata.namespace": "elsewhere"}), note="other namespace")
    c.post(cms, with_(config_map("x"), {"metadata.resourceVersion": "7"}), note="resourceVersion on create")
    c.post(cms, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, note="no name")
    c.post(cms, {"apiVersion": "v1", "kind": "ConfigMap"}, note="no metadata")
    c.post(cms, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, note="other kind")
    c.post(cms, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "s"}}, note="other version")
    c.post(cms, {"kind": "ConfigMap", "metadata": {"name": "s"}}, note="no apiVersion")
    c.post(cms, {"apiVersion": "v1", "metadata": {"name": "nokind"}}, note="no kind")
    c.post(cms, {"metadata": {"name": "bare"}}, note="neither")
    c.post(cms, {"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "s"}}, note="unknown kind")
    c.post(cms, "", note="empty body")
    c.post(cms, "{", note="broken JSON")
    c.post(cms, "[]", note="an array")
    c.post(cms, "null", note="null")
    c.post(cms, '"text"', note="a string")
    c.post(cms, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"t"},"data":{"a":1}}', note="number for a string")
    c.post(cms, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"t"},"data":[]}', note="array for a map")
    c.post(cms, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"t"},"binaryData":{"a":"!!"}}', note="not base64")
    c.post(cms, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"unk"},"datta":{"a":"1"}}', note="unknown field")
    c.post(cms, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: b\n", headers={"Content-Type": "application/yaml"})
    c.post(cms, "a: [", headers={"Content-Type": "application/yaml"}, note="broken YAML")
    c.post(cms, "x", headers={"Content-Type": "text/plain"}, note="content type")
    c.post(cms, config_map("ct"), headers={"Content-Type": ""}, note="no content type")
    c.post(cms + "/cm", config_map("cm"), note="POST on an object")
    c.put(cms, config_map("cm"), note="PUT on a collection")
    c.patch(cms, {"data": {"a": "1"}}, note="PATCH on a collection")
    c.request("OPTIONS", cms)
    c.request("FOO", cms)
    c.request("HEAD", cms + "/cm")
    c.get(cms + "/cm/status", note="no such subresource")
    c.get(cms + "/cm/x/y")
    c.get(cms + "/cm/")
    c.get(cms + "/")
    c.get(c.core("configmap"), note="singular")
    c.get("/api/v1/configmaps/cm", note="namespaced without namespace")
    c.post("/api/v1/configmaps", config_map("q"), note="create across namespaces")
    c.post(c.core("configmaps", ns="no-such-namespace"), config_map("q"))
    c.get(c.core("configmaps", ns="no-such-namespace"))
    c.get(c.core("configmaps", "x", ns="no-such-namespace"))
    c.get(cms + "/cm", headers={"Accept": "application/xml"}, note="Accept nothing we have")
    c.get(cms + "/cm", headers={"Accept": "*/*"})
    c.get(cms + "/cm", headers={"Accept": "text/html, application/json;q=0.9"})
    c.get(cms + "/cm", headers={"Accept": "application/*"})
    c.get(cms + "/cm", headers={"Accept": "application/json;as=Table;v=v1beta2;g=meta.k8s.io"}, note="unknown table version")
    c.get(cms + "/cm", headers={"Accept": "application/json;as=Nothing;v=v1;g=meta.k8s.io"})
    c.get(cms + "/cm", headers={"Accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"})
    c.get(cms + "/cm", headers={"Accept": PARTIAL})
    c.get(cms, headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"})
    c.get(cms + "/cm?pretty=true")
    c.get(cms + "/cm?unknown=1")


def generate_names(c):
    cms = c.core("configmaps")
    c.post(cms, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}})
    c.post(cms, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "Bad_"}})
    c.post(cms, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-", "name": "both"}})


def dry_runs(c):
    cms = c.core("configmaps")
    c.post(cms + "?dryRun=All", config_map())
    c.get(cms + "/cm")
    c.post(cms + "?dryRun=Some", config_map())
    c.post(cms + "?dryRun=", config_map("e"))
    c.post(cms, config_map())
    c.patch(cms + "/cm?dryRun=All", {"data": {"b": "2"}})
    c.put(cms + "/cm?dryRun=All", config_map(z="1"))
    c.delete(cms + "/cm?dryRun=All")
    c.delete(cms + "/cm", {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]})
    c.delete(cms + "/cm", {"dryRun": ["Some"]})
    c.get(cms + "/cm")
    c.delete(cms + "?dryRun=All")
    c.post(c.core("services") + "?dryRun=All", service())
    c.post(c.core("pods") + "?dryRun=All", pod())
    c.post(cms + "?fieldManager=" + "x" * 129, config_map("fm"), note="field manager too long")
    c.post(cms + "?fieldManager=a%01", config_map("fm"), note="field manager not printable")
    c.post(cms + "?fieldManager=me", config_map("fm"))


def patches(c):
    cms = c.core("configmaps")
    c.post(cms, with_(config_map(a="1", b="2"), {"metadata.labels": {"x": "1"}}))
    at = cms + "/cm"
    c.patch(at, {"data": {"c": "3"}})
    c.patch(at, {"data": {"a": None}})
    c.patch(at, {"data": None})
    c.patch(at, [], note="array")
    c.patch(at, "x", note="not JSON")
    c.patch(at, "", note="empty")
    c.patch(at, {"metadata": {"name": "other"}})
    c.patch(at, {"metadata": {"namespace": "other"}})
    c.patch(at, {"metadata": {"uid": "x"}})
    c.patch(at, {"metadata": {"resourceVersion": "1"}})
    c.patch(at, {"kind": "Secret"})
    c.patch(at, {"apiVersion": "v9"})
    c.patch(at, {"data": {"a": 1}})
    c.patch(at, {"data": "x"})
    c.patch(at, {"metadata": {"labels": {"bad label!": "x"}}})
    c.patch(at, {"metadata": {"labels": {"ok": "bad value!"}}})
    c.patch(at, {"metadata": {"annotations": {"bad annotation!": "x"}}})
    c.patch(at, {"unknown": 1})
    c.patch(cms + "/none", {"data": {"a": "1"}})
    c.patch(at, [{"op": "add", "path": "/data", "value": {"k": "v"}}], PATCH)
    c.patch(at, [{"op": "replace", "path": "/data/k", "value": "w"}], PATCH)
    c.patch(at, [{"op": "test", "path": "/data/k", "value": "w"}, {"op": "remove", "path": "/data/k"}], PATCH)
    c.patch(at, [{"op": "test", "path": "/data/k", "value": "nope"}], PATCH)
    c.patch(at, [{"op": "test", "path": "/metadata/name", "value": "nope"}], PATCH)
    c.patch(at, [{"op": "remove", "path": "/data/none"}], PATCH)
    c.patch(at, [{"op": "replace", "path": "/data/none", "value": "x"}], PATCH)
    c.patch(at, [{"op": "add", "path": "/spec/none", "value": "x"}], PATCH)
    c.patch(at, [{"op": "jump", "path": "/data"}], PATCH)
    c.patch(at, [{"op": "copy", "from": "/metadata/labels", "path": "/data"}], PATCH)
    c.patch(at, [{"op": "move", "from": "/data/x", "path": "/data/y"}], PATCH)
    c.patch(at, {"op": "add"}, PATCH, note="not an array")
    c.patch(at, [{"op": "add", "path": "data", "value": 1}], PATCH, note="no slash")
    c.patch(at, [{"op": "add", "path": "/data/a~1b", "value": "slash"}], PATCH)
    c.patch(at, [{"path": "/data/a"}], PATCH, note="no op")
    c.patch(at, {"data": {"s": "1"}}, STRATEGIC)
    c.patch(at, {"data": {"$patch": "replace", "t": "1"}}, STRATEGIC)
    c.patch(at, {"data": {"$patch": "delete"}}, STRATEGIC)
    c.patch(at, {"data": {"$patch": "nonsense"}}, STRATEGIC)
    c.patch(at, "[]", STRATEGIC)
    c.patch(at, {"a": 1}, "application/json", note="content type")
    c.patch(at, {"a": 1}, "text/plain", note="content type")
    c.patch(at, {"metadata": {"finalizers": ["a/b"]}})
    c.patch(at, {"metadata": {"finalizers": ["nodomain"]}})
    c.patch(at, {"metadata": {"finalizers": ["a b"]}})
    c.patch(at, {"metadata": {"finalizers": None}})
    c.get(at)


def strategic_patches(c):
    # pod templates have no controller that changes them meanwhile
    at = c.core("podtemplates") + "/web"
    c.post(c.core("podtemplates"), {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a", "image": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                                 "ports": [{"containerPort": 80}, {"containerPort": 81}]}, {"name": "b", "image": "b"}],
                 "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [{"key": "a", "operator": "Exists"}]}}})

    def spec(body):
        c.patch(at, {"template": {"spec": body}}, STRATEGIC)

    spec({"containers": [{"name": "a", "image": "a:2"}]})
    spec({"containers": [{"name": "c", "image": "c"}]})
    spec({"containers": [{"name": "c", "$patch": "delete"}]})
    spec({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "b:2"}]})
    spec({"containers": [{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}]})
    spec({"containers": [{"name": "a", "env": [{"name": "Z", "value": "3"}]}]})
    spec({"containers": [{"name": "a", "ports": [{"containerPort": 81, "name": "http"}]}]})
    spec({"containers": [{"name": "a", "ports": [{"$patch": "replace"}, {"containerPort": 99}]}]})
    spec({"volumes": [{"name": "v", "emptyDir": None, "hostPath": {"path": "/x"}}]})
    spec({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "x"}}]})
    spec({"tolerations": [{"key": "b", "operator": "Exists"}]})
    spec({"containers": [{"image": "no-name"}]})
    spec({"containers": "x"})
    spec({"terminationGracePeriodSeconds": "x"})
    spec({"$deleteFromPrimitiveList/x": ["a"]})
    c.patch(at, {"metadata": {"finalizers": ["a/b"]}}, STRATEGIC)
    c.patch(at, {"metadata": {"finalizers": ["c/d"]}}, STRATEGIC)
    c.patch(at, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b", "c/d"]}}, STRATEGIC)
    c.make(c.apps("deployments"), deployment(replicas=0))
    at = c.apps("deployments") + "/web"
    c.wait(at, lambda a: a["status.observedGeneration"])
    c.patch(at, {"spec": {"strategy": {"type": "Recreate"}}}, STRATEGIC, note="rollingUpdate stays: invalid")
    c.patch(at, {"spec": {"selector": {"matchLabels": {"app": "other"}}}}, STRATEGIC)
    c.patch(at, {"spec": {"template": {"metadata": {"labels": None}}}}, STRATEGIC)
    c.patch(at, {"spec": {"replicas": "three"}}, STRATEGIC)
    c.patch(at, {"spec": {"replicas": -1}}, STRATEGIC)
    c.patch(at, {"status": {"replicas": 7}}, STRATEGIC)
    c.patch(at + "/status?dryRun=All", {"status": {"replicas": 7}}, STRATEGIC)
    c.patch(at + "/status", {"spec": {"replicas": 7}}, STRATEGIC)
    c.patch(at, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, STRATEGIC)


def deletions(c):
    cms = c.core("configmaps")
    for name in ("a", "b", "c", "d", "e", "f"):
        c.make(cms, with_(config_map(name), {"metadata.labels": {"n": name}}))
    c.delete(cms + "/a")
    c.delete(cms + "/a")
    c.delete(cms + "/b", {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}})
    c.delete(cms + "/b", {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": "1"}})
    c.delete(cms + "/b", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Nonsense"})
    c.delete(cms + "/b", {"propagationPolicy": "Foreground", "orphanDependents": True})
    c.delete(cms + "/b", {"kind": "Foo", "apiVersion": "v1"}, note="other kind")
    c.delete(cms + "/b", "x", note="not JSON")
    c.delete(cms + "/b?propagationPolicy=Nope")
    c.delete(cms + "/b?gracePeriodSeconds=-1")
    c.delete(cms + "/b?gracePeriodSeconds=x")
    c.make(cms, config_map("b2"))
    c.delete(cms + "/b2", {"gracePeriodSeconds": 0})
    c.delete(cms + "?labelSelector=n%3Dc")
    c.delete(cms + "?labelSelector=n%20in%20(")
    c.delete(cms + "?fieldSelector=metadata.name%3Dd")
    c.delete(cms + "?fieldSelector=data.a%3Dd")
    c.make(cms, with_(config_map("fin"), {"metadata.finalizers": ["x/y"]}))
    c.delete(cms + "/fin")
    c.delete(cms + "/fin", note="again")
    c.get(cms + "/fin")
    c.patch(cms + "/fin", {"metadata": {"finalizers": ["x/y", "x/z"]}}, note="new finalizer on a dying object")
    c.patch(cms + "/fin", {"data": {"still": "changes"}})
    c.patch(cms + "/fin", {"metadata": {"deletionTimestamp": None}})
    c.post(cms, config_map("fin"), note="create while dying")
    c.patch(cms + "/fin", {"metadata": {"finalizers": []}})
    c.get(cms + "/fin")
    c.post(cms, with_(config_map("dt"), {"metadata.deletionTimestamp": "2020-01-01T00:00:00Z", "metadata.creationTimestamp": "2001-01-01T00:00:00Z",
                                          "metadata.uid": "x", "metadata.generation": 9, "metadata.deletionGracePeriodSeconds": 5}))
    c.delete(cms, {"propagationPolicy": "Orphan"})
    c.get(cms)
    pods = c.core("pods")
    c.post(pods, pod("p"))
    c.delete(pods + "/p", {"gracePeriodSeconds": 5})
    c.get(pods + "/p")
    c.post(pods, pod("q", nodeName="nowhere"))
    c.delete(pods + "/q", {"gracePeriodSeconds": 5})
    c.delete(pods + "/q", {"gracePeriodSeconds": 10})
    c.delete(pods + "/q", {"gracePeriodSeconds": 2})
    c.delete(pods + "/q?gracePeriodSeconds=0")
    c.get(pods + "/q")
    c.make(c.apps("deployments"), deployment(replicas=0))
    c.delete(c.apps("deployments", "web"), {"propagationPolicy": "Orphan"})
    c.make(c.apps("deployments"), deployment("fg", replicas=0))
    c.delete(c.apps("deployments", "fg"), {"propagationPolicy": "Foreground"})
    c.make(c.core("services"), service())
    c.delete(c.core("services", "svc"))
    c.delete(c.core("services"), note="deletecollection of services")
    c.make(c.core("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    c.delete(c.core("secrets", "s"))
    c.make(c.core("serviceaccounts"), {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}})
    c.delete(c.core("serviceaccounts", "sa"))
    c.make(c.core("podtemplates"), {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pt"}, "template": pod()["spec"] and {"spec": pod()["spec"]}})
    c.delete(c.core("podtemplates", "pt"))
    c.make(c.core("resourcequotas"), {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "rq"}})
    c.delete(c.core("resourcequotas", "rq"))
    c.make("/api/v1/persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": c.ns}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}})
    c.delete("/api/v1/persistentvolumes/" + c.ns)


def lists(c):
    cms = c.core("configmaps")
    for i in range(7):
        c.make(cms, with_(config_map(f"l{i}"), {"metadata.labels": {"i": str(i), "even": str(i % 2 == 0).lower()}}))
    c.wait(cms + "?labelSelector=i", lambda a: len(a["items"]) == 7)
    first = c.get(cms + "?limit=3&labelSelector=i")
    token = first["metadata.continue"] or ""
    second = c.get(cms + f"?limit=3&labelSelector=i&continue={token}", note="second page")
    c.get(cms + f"?limit=3&labelSelector=i&continue={second['metadata.continue'] or ''}", note="third page")
    c.get(cms + "?limit=2")
    c.get(cms + f"?limit=3&continue={token}&resourceVersion=1", note="continue and resourceVersion")
    c.get(cms + "?limit=3&continue=nonsense", note="broken token")
    c.get(cms + "?limit=3&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", note="token of an old revision")
    c.get(cms + "?limit=3&continue=eyJ2IjoieCJ9", note="token of another version")
    c.get(cms + "?limit=-1")
    c.get(cms + "?limit=x")
    c.get(cms + "?resourceVersion=0&labelSelector=i%3D0")
    c.get(cms + "?resourceVersion=x")
    c.get(cms + "?resourceVersion=-1")
    c.get(cms + "?resourceVersion=99999999", note="the future")
    c.get(cms + "/l1?resourceVersion=99999999", note="get in the future")
    c.get(cms + "/l1?resourceVersion=x")
    c.get(cms + "/l1?resourceVersion=0")
    c.get(cms + "?resourceVersionMatch=Exact")
    c.get(cms + "?resourceVersionMatch=Exact&resourceVersion=0")
    c.get(cms + "?resourceVersionMatch=NotOlderThan&resourceVersion=1&labelSelector=i%3D0")
    c.get(cms + "?resourceVersionMatch=Nonsense&resourceVersion=1")
    rv = first["metadata.resourceVersion"]
    c.delete(cms + "/l0")
    c.get(cms + f"?resourceVersionMatch=Exact&resourceVersion={rv}&labelSelector=i%20in%20(0,1)", note="as it was")
    c.get(cms + f"?limit=3&continue={token}&labelSelector=i", note="token before the deletion")
    c.get("/api/v1/configmaps?limit=1")
    c.get("/api/v1/configmaps?fieldSelector=metadata.namespace%3D" + c.ns + "&labelSelector=i%3D1")
    c.get(c.core("pods"), note="an empty list")
    c.get(c.apps("deployments"), note="an empty list")
    c.get("/apis/apps/v1/deployments?limit=500&labelSelector=no%3Dno")


def label_selectors(c):
    cms = c.core("configmaps")
    for i, labels in enumerate(({"a": "1"}, {"a": "2", "b": "x"}, {"b": "y"}, {"n": "10"}, {})):
        c.make(cms, with_(config_map(f"s{i}"), {"metadata.labels": labels}))
    c.wait(cms + "?fieldSelector=metadata.name%3Ds4", lambda a: len(a["items"]) == 1)
    for selector in ("a=1", "a==1", "a!=1,b", "a in (1,2)", "a notin (1)", "!a,b", "a", "a,b", "n>5", "n<5", "n>x", "n>10", "a=1,a=2", "a in (1", "a in 1", "a=(", "=1", "!",
                     "a ! b", "a=1,", ",", "a in ()", "a=bad value", "a=b!", "bad key!=x", "a=" + "x" * 64, "x/y/z=1", "a>", "a notin", "a exists", "a = 1 , b = 2", "a in (,)", "a=", "a!="):
        from urllib.parse import quote
        c.get(cms + "?labelSelector=" + quote(selector) + "&fieldSelector=metadata.name!%3Dkube-root-ca.crt", note=selector)


def field_selectors(c):
    from urllib.parse import quote
    c.make(c.core("pods"), pod("fs", restartPolicy="Never"))
    c.make(c.core("configmaps"), config_map("fs"))
    c.make(c.core("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fs"}, "type": "my/type"})
    c.wait(c.core("secrets") + "?fieldSelector=metadata.name%3Dfs", lambda a: len(a["items"]) == 1)
    for path, selectors in {
        c.core("configmaps"): ["metadata.name=fs", "metadata.name!=fs,metadata.name!=kube-root-ca.crt", "metadata.name==fs", "metadata.namespace=" + c.ns, "data.a=1", "metadata.labels.x=1",
                               "metadata.name", "metadata.name=fs,", "=", "metadata.name=a=b", "metadata.name>1", "metadata.name=fs,metadata.name=x", "metadata.name=a\\,b", "metadata.uid=x"],
        c.core("pods"): ["spec.nodeName=", "spec.nodeName=x", "status.phase=Pending", "status.phase!=Pending", "spec.restartPolicy=Never", "spec.schedulerName=default-scheduler",
                         "spec.serviceAccountName=default", "status.podIP=", "status.nominatedNodeName=", "spec.hostNetwork=true", "status.qosClass=BestEffort", "spec.containers=x"],
        c.core("secrets"): ["type=my/type", "type=other", "data=x"],
        c.core("services"): ["spec.type=ClusterIP", "spec.clusterIP=x"],
        c.core("events"): ["involvedObject.kind=Nothing", "involvedObject.name=fs2", "reason=x", "reportingComponent=x", "source=x", "type=Nothing", "action=x", "involvedObject.fieldPath=x", "regarding.kind=x"],
        c.group("events.k8s.io/v1", "events"): ["regarding.kind=Nothing", "regarding.name=none", "reason=x", "involvedObject.kind=x", "reportingController=x", "type=Nothing"],
        "/api/v1/nodes": ["spec.unschedulable=false", "spec.unschedulable=true", "metadata.name=none", "spec.podCIDR=x"],
        "/api/v1/namespaces": ["status.phase=Terminated", "name=none", "metadata.name=" + c.ns, "spec=x"],
        c.apps("deployments"): ["metadata.name=x", "status.replicas=1", "spec.replicas=1"],
        c.apps("replicasets"): ["status.replicas=1", "metadata.name=x"],
        c.core("replicationcontrollers"): ["status.replicas=1", "metadata.name=x"],
        c.group("batch/v1", "jobs"): ["status.successful=1", "status.succeeded=1", "metadata.name=x"],
        c.group("batch/v1", "cronjobs"): ["metadata.name=x"],
        "/api/v1/persistentvolumes": ["name=x", "metadata.name=x", "spec.x=1"],
        "/apis/certificates.k8s.io/v1/certificatesigningrequests": ["spec.signerName=x", "metadata.name=x", "status=x"],
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": ["metadata.name=x", "spec.group=x"],
        "/apis/rbac.authorization.k8s.io/v1/clusterroles": ["metadata.name=x", "rules=x"],
        "/apis/storage.k8s.io/v1/storageclasses": ["metadata.name=x", "provisioner=x"],
    }.items():
        for selector in selectors:
            c.get(path + "?fieldSelector=" + quote(selector), note=selector)
    c.get(c.core("pods", "fs") + "?fieldSelector=metadata.name%3Dother", note="selector on a single object")


def watches(c):
    cms = c.core("configmaps")
    start = c.make(cms, with_(config_map("w1"), {"metadata.labels": {"k": "1"}}))
    rv = start["metadata.resourceVersion"]

    def changes():
        c.send("PATCH", cms + "/w1", {"data": {"b": "2"}}, {"Content-Type": MERGE})
        c.make(cms, with_(config_map("w2"), {"metadata.labels": {"k": "2"}}))
        c.send("DELETE", cms + "/w1")

    c.watch(cms + f"?watch=true&resourceVersion={rv}", events=3, during=changes)
    c.watch(cms + f"?watch=1&resourceVersion={rv}&labelSelector=k", events=3, note="replayed")
    c.watch(cms + f"?watch=1&resourceVersion={rv}&labelSelector=k%3D2", events=1)
    c.watch(cms + f"?watch=1&resourceVersion={rv}&fieldSelector=metadata.name%3Dw1", events=2)
    c.watch(cms + "?watch=true&resourceVersion=0&labelSelector=k", events=1, note="from 0: what is there")
    c.watch(cms + "?watch=true&labelSelector=k", events=1, note="without a version")
    c.watch(f"/api/v1/watch/namespaces/{c.ns}/configmaps/w2", events=1, note="the old path")
    c.watch(f"/api/v1/watch/namespaces/{c.ns}/configmaps?labelSelector=k", events=1, note="the old path")
    c.watch(cms + "/w2?watch=true", events=1, note="watch on one object")
    c.watch(cms + "?watch=true&resourceVersion=1", seconds=4, note="too old")
    c.watch(cms + "?watch=true&resourceVersion=x", note="not a version")
    c.watch(cms + "?watch=true&resourceVersion=99999999&timeoutSeconds=1", note="the future", seconds=4)
    c.watch(cms + "?watch=yes&limit=1", events=1, note="not a boolean")
    c.watch(cms + "?watch=true&labelSelector=x%20in%20(", note="bad selector")
    c.watch(cms + "?watch=true&fieldSelector=data%3D1", note="bad selector")
    c.watch(cms + "?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone", seconds=4, note="ends by itself")
    c.watch(cms + "?watch=true&timeoutSeconds=x", seconds=4)
    c.watch(cms + "?watch=true&fieldSelector=metadata.name%3Dw2", events=1, headers={"Accept": TABLE}, note="as a table")
    c.watch(cms + "?watch=true&fieldSelector=metadata.name%3Dw2&includeObject=Object", events=1, headers={"Accept": TABLE}, note="as a table with objects")
    c.watch(cms + "?watch=true&fieldSelector=metadata.name%3Dw2", events=1, headers={"Accept": PARTIAL}, note="metadata only")
    c.watch(cms + "?watch=true&resourceVersionMatch=Exact&resourceVersion=1")

    def moves():
        c.send("PATCH", cms + "/w2", {"metadata": {"labels": {"k": "3"}}}, {"Content-Type": MERGE})
        c.send("PATCH", cms + "/w2", {"metadata": {"labels": {"k": "2"}}}, {"Content-Type": MERGE})

    now = c.send("GET", cms)["metadata.resourceVersion"]
    c.watch(cms + f"?watch=true&resourceVersion={now}&labelSelector=k%3D2", events=2, during=moves, note="leaves and enters the selection")
    c.watch(c.core("secrets") + "/none?watch=true", seconds=2, note="an object that is not there")
    c.watch(c.core("nonsense") + "?watch=true")
    c.watch("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3D" + c.ns, events=1)


def unknown_paths(c):
    for path in ("/", "/api", "/apis", "/api/v1", "/api/v2", "/apis/apps", "/apis/apps/v1", "/apis/apps/v9", "/apis/nothing", "/apis/nothing/v1", "/foo", "/api/v1/foo",
                 "/apis/apps/v1/foo", "/api/v1/namespaces/x/foo", "/apis/apps/v1/namespaces/x/foo/y", "/version", "/version/", "/healthz", "/livez", "/readyz", "/healthz/ping", "/livez/ping",
                 "/readyz/ping", "/healthz/nothing", "/healthz?verbose", "/livez?verbose", "/readyz?verbose", "/readyz?verbose&exclude=etcd", "/healthz/etcd", "/openapi", "/openapi/v9", "/logs", "/debug/pprof",
                 "/.well-known/openid-configuration", "/openid/v1/jwks", "/api/v1/nodes/none", "/api/v1/componentstatuses", "/swagger.json", "/apis/", "/api/", "/api/v1/", "/apis/apps/v1/"):
        c.get(path)
    for path in ("/api", "/apis", "/version", "/healthz", "/api/v1", "/apis/apps/v1", "/", "/foo"):
        c.post(path, {})
    c.delete("/api/v1")
    c.get("/api/v1/namespaces", anonymous=True)
    c.get("/version", anonymous=True)
    c.get("/healthz", anonymous=True)
    c.get("/api", anonymous=True)
    c.get("/nothing", anonymous=True)
    c.get(c.core("pods"), anonymous=True)
    c.post(c.core("pods"), pod(), anonymous=True)
    c.get("/api", anonymous=True, headers={"Authorization": "Bearer nonsense"})
    c.get("/api", anonymous=True, headers={"Authorization": "Basic bm86bm8="})


def large_bodies(c):
    c.post(c.core("configmaps"), config_map("big", a="x" * 1_100_000), note="1.1 MB")
    c.post(c.core("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "big"}, "stringData": {"a": "x" * 1_100_000}})
    c.post(c.core("configmaps"), "x" * 3_500_000, note="3.5 MB")
    c.post(c.core("configmaps"), with_(config_map("ann"), {"metadata.annotations": {"a": "x" * 300_000}}))
    c.post(c.core("configmaps"), '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"x":' + "[" * 20000 + "]" * 20000 + "}")


def subresources(c):
    c.post(c.apps("deployments"), deployment(replicas=0))
    at = c.apps("deployments", "web")
    c.wait(at, lambda a: a["status.observedGeneration"] == 1)
    c.get(at + "/scale")
    c.patch(at + "/scale", {"spec": {"replicas": 0}})
    scale = c.get(at + "/scale")
    c.put(at + "/scale", with_(scale.body, {"spec.replicas": 0}))
    c.put(at + "/scale", with_(scale.body, {"spec.replicas": -2}))
    c.put(at + "/scale", with_(scale.body, {"metadata.name": "other"}))
    c.put(at + "/scale", with_(scale.body, {"metadata.resourceVersion": "1"}))
    c.put(at + "/scale", {"apiVersion": "v1", "kind": "Pod"})
    c.post(at + "/scale", {})
    c.delete(at + "/scale")
    c.get(at + "/status")
    c.post(at + "/status", {})
    c.get(at + "/rollback")
    c.get(c.apps("deployments", "none") + "/scale")
    c.get(c.apps("replicasets", "none") + "/scale")
    c.get(c.apps("statefulsets", "none") + "/scale")
    c.get(c.core("replicationcontrollers", "none") + "/scale")
    c.post(c.core("pods"), pod("p", nodeSelector={"no": "where"}))
    p = c.core("pods", "p")
    c.get(p + "/status")
    c.get(p + "/log")
    c.get(c.core("pods", "none") + "/log")
    c.get(p + "/log?container=none")
    c.get(p + "/log?tailLines=-1")
    c.get(p + "/log?limitBytes=0")
    c.get(p + "/log?sinceSeconds=0")
    c.get(p + "/log?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z")
    c.get(p + "/log?tailLines=x")
    c.get(p + "/exec?command=ls")
    c.get(p + "/exec")
    c.get(c.core("pods", "none") + "/exec?command=ls")
    c.get(p + "/attach")
    c.get(p + "/portforward?ports=80")
    c.get(p + "/proxy")
    c.get(p + "/nothing")
    c.get(p + "/binding")
    c.get(p + "/eviction")
    c.post(p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": ""}})
    c.post(p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Pod", "name": "x"}})
    c.post(p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "other"}, "target": {"kind": "Node", "name": "x"}})
    c.post(p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "nowhere"}})
    c.post(p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "elsewhere"}}, note="bound already")
    c.post(c.core("pods", "none") + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "none"}, "target": {"kind": "Node", "name": "nowhere"}})
    c.get(p)
    c.post(c.core("bindings"), {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "x"}})
    c.get(p + "/log")
    c.get(p + "/exec?command=ls")
    c.post(p + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "other"}})
    c.post(p + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}})
    c.post(p + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}})
    c.post(c.core("pods", "none") + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "none"}})
    c.get(p)
    c.patch(p, {"spec": {"containers": [{"name": "c", "image": "other"}]}}, STRATEGIC)
    c.patch(p, {"spec": {"nodeName": "other"}}, STRATEGIC)
    c.patch(p, {"spec": {"activeDeadlineSeconds": 5}}, STRATEGIC)
    c.patch(p, {"spec": {"activeDeadlineSeconds": 9}}, STRATEGIC)
    c.patch(p, {"spec": {"terminationGracePeriodSeconds": 5}}, STRATEGIC)
    c.patch(p, {"spec": {"tolerations": [{"key": "x", "operator": "Exists"}]}}, STRATEGIC)
    c.patch(p, {"spec": {"containers": [{"name": "new", "image": "x"}]}}, STRATEGIC)
    c.patch(p, {"spec": {"hostNetwork": True}}, STRATEGIC)
    c.patch(p + "/status", {"status": {"phase": "Running", "podIP": "1.2.3.4"}}, STRATEGIC)
    c.patch(p + "/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, STRATEGIC)
    c.patch(p + "/status", {"status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}}, STRATEGIC)
    c.patch(p, {"status": {"phase": "Failed"}}, STRATEGIC)
    c.get(p)


def managed_fields(c):
    cms = c.core("configmaps")

    def fields(answer):
        found = [{k: v for k, v in entry.items() if k != "time"} for entry in answer["metadata.managedFields"] or []]
        c.keep("MANAGED", answer.body.get("kind", "") if isinstance(answer.body, dict) else "", None, None, type(answer)(answer.code, {}, __import__("json").dumps({"fields": found}).encode()))

    fields(c.send("POST", cms + "?fieldManager=one", with_(config_map(a="1"), {"metadata.labels": {"x": "1"}, "metadata.annotations": {"y": "2"}})))
    fields(c.send("PATCH", cms + "/cm?fieldManager=two", {"data": {"b": "2"}}, {"Content-Type": MERGE}))
    fields(c.send("PATCH", cms + "/cm?fieldManager=two", {"data": {"a": "2"}}, {"Content-Type": MERGE}))
    fields(c.send("PATCH", cms + "/cm?fieldManager=one", {"data": {"b": None}}, {"Content-Type": MERGE}))
    fields(c.send("PATCH", cms + "/cm", {"metadata": {"managedFields": [{}]}}, {"Content-Type": MERGE}))
    fields(c.send("POST", c.apps("deployments") + "?fieldManager=one", deployment(replicas=0)))
    fields(c.send("POST", c.core("services") + "?fieldManager=one", service()))
    fields(c.send("POST", c.core("pods") + "?fieldManager=one", pod(tolerations=[{"key": "a", "operator": "Exists"}], volumes=[{"name": "v", "emptyDir": {}}], nodeSelector={"x": "y"})))
    fields(c.send("PATCH", c.core("pods", "pod") + "/status?fieldManager=kubelet", {"status": {"conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "1.2.3.4"}]}}, {"Content-Type": STRATEGIC}))
