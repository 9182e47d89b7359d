"""Who may do what: roles, bindings, escalation, service accounts, tokens, reviews."""

import base64
import json

from objects import config_map, pod, with_

RBAC = "rbac.authorization.k8s.io/v1"


def _as(user, *groups, **extra):
    headers = {"Impersonate-User": user}
    if groups:
        headers["Impersonate-Group"] = groups[0]
    return {**headers, **extra}


def _role(name, *rules, kind="Role"):
    return {"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def _binding(name, role, subjects, kind="RoleBinding", role_kind="Role"):
    return {"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role}, "subjects": subjects}


USER = {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}


def role_based_access(c):
    cms, bob = c.core("configmaps"), _as("bob")
    c.get(cms, headers=bob)
    c.get(cms + "/x", headers=bob)
    c.post(cms, config_map(), headers=bob)
    c.delete(cms, headers=bob)
    c.get("/api/v1/nodes", headers=bob)
    c.get("/apis/apps/v1/deployments", headers=bob)
    c.get("/healthz", headers=bob)
    c.get("/metrics", headers=bob)
    c.get("/api", headers=bob)
    c.get(c.core("pods", "x") + "/log", headers=bob)
    c.post(c.core("pods", "x") + "/exec?command=ls", None, headers=bob)
    c.get(c.core("nonsense"), headers=bob)
    c.watch(cms + "?watch=true", headers=bob)
    c.patch(cms + "/x", {}, headers=bob)
    c.put(cms + "/x", config_map("x"), headers=bob)
    c.post(c.group(RBAC, "roles"), _role("reader", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"], "resourceNames": ["seen"]}))
    c.post(c.group(RBAC, "rolebindings"), _binding("reader", "reader", [USER]))
    c.make(cms, config_map("seen"))
    c.wait(cms + "/seen", lambda a: a.code == 200, headers=bob)
    c.get(cms + "/other", headers=bob)
    c.get(cms, headers=bob)
    c.get(cms + "?fieldSelector=metadata.name%3Dseen", headers=bob)
    c.get("/api/v1/configmaps", headers=bob)
    c.get(c.core("configmaps", ns="default"), headers=bob)
    # escalation
    c.post(c.group(RBAC, "roles"), _role("rbac", {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["*"]}))
    c.post(c.group(RBAC, "rolebindings"), _binding("rbac", "rbac", [USER]))
    c.wait(c.group(RBAC, "roles", "rbac"), lambda a: a.code == 200, headers=bob)
    c.post(c.group(RBAC, "roles"), _role("more", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}), headers=bob)
    c.post(c.group(RBAC, "roles"), _role("all", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}), headers=bob)
    c.post(c.group(RBAC, "roles"), _role("same", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["seen"]}), headers=bob)
    c.patch(c.group(RBAC, "roles", "same"), {"rules": [{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}]}, headers=bob)
    c.post(c.group(RBAC, "rolebindings"), _binding("up", "cluster-admin", [USER], role_kind="ClusterRole"), headers=bob)
    c.post(c.group(RBAC, "rolebindings"), _binding("view", "view", [USER], role_kind="ClusterRole"), headers=bob)
    c.post(c.group(RBAC, "rolebindings"), _binding("none", "none", [USER]), headers=bob)
    c.post(c.group(RBAC, "rolebindings"), _binding("again", "reader", [USER]), headers=bob)
    c.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", _role(c.ns, kind="ClusterRole"), headers=bob)
    # impersonation
    c.get(cms, headers={"Impersonate-Group": "g"})
    c.get(cms, headers=_as("system:serviceaccount:" + c.ns + ":default"))
    c.get(cms, headers=_as("carol", "system:masters"))
    c.get(cms, headers={**bob, "Impersonate-Extra-X": "y"})
    c.get("/api/v1/nodes", headers=_as("system:node:n1", "system:nodes"))
    c.get("/api/v1/secrets", headers=_as("system:node:n1", "system:nodes"))
    c.get("/api/v1/nodes", headers=_as("system:kube-scheduler"))
    c.get(cms, headers=_as("system:anonymous", "system:unauthenticated"))


def _allowed(rules):
    """What rules allow, as a set: how it is spread over rules does not count."""
    return sorted({f"{verb} {group}/{what}" for rule in rules for verb in rule["verbs"] for group in rule.get("apiGroups") or ["path"]
                   for what in (rule.get("resources") or []) + (rule.get("nonResourceURLs") or [])})


def bootstrap_roles(c):
    for name in ("cluster-admin", "admin", "edit", "view", "system:discovery", "system:basic-user", "system:public-info-viewer", "system:node", "system:kube-scheduler", "system:node-proxier", "system:aggregate-to-view",
                 "system:aggregate-to-edit", "system:aggregate-to-admin", "system:auth-delegator", "system:controller:deployment-controller", "system:monitoring", "system:node-bootstrapper"):
        answer = c.send("GET", f"/apis/{RBAC}/clusterroles/{name}")
        if isinstance(answer.body, dict):
            answer.body["rules"] = _allowed(answer.body.get("rules") or [])
        c.keep("GET", f"/apis/{RBAC}/clusterroles/{name}", None, None, answer)
    for name in ("cluster-admin", "system:discovery", "system:basic-user", "system:public-info-viewer", "system:kube-scheduler", "system:node"):
        c.get(f"/apis/{RBAC}/clusterrolebindings/{name}")
    c.get(f"/apis/{RBAC}/namespaces/kube-system/roles/extension-apiserver-authentication-reader")
    c.get(f"/apis/{RBAC}/namespaces/kube-public/roles")


def reviews(c):
    az, an = "/apis/authorization.k8s.io/v1", "/apis/authentication.k8s.io/v1"

    def access(kind, **spec):
        return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}

    c.post(f"{az}/selfsubjectaccessreviews", access("SelfSubjectAccessReview", resourceAttributes={"verb": "get", "resource": "pods", "namespace": c.ns}))
    c.post(f"{az}/selfsubjectaccessreviews", access("SelfSubjectAccessReview", resourceAttributes={"verb": "get", "resource": "pods", "namespace": c.ns}), headers=_as("bob"))
    c.post(f"{az}/selfsubjectaccessreviews", access("SelfSubjectAccessReview", nonResourceAttributes={"verb": "get", "path": "/healthz"}), headers=_as("bob"))
    c.post(f"{az}/selfsubjectaccessreviews", access("SelfSubjectAccessReview"))
    c.post(f"{az}/selfsubjectaccessreviews", access("SelfSubjectAccessReview", nonResourceAttributes={"verb": "get"}, resourceAttributes={"verb": "get"}))
    c.post(f"{az}/subjectaccessreviews", access("SubjectAccessReview", user="bob", resourceAttributes={"verb": "get", "resource": "pods"}))
    c.post(f"{az}/subjectaccessreviews", access("SubjectAccessReview", user="bob", groups=["system:masters"], resourceAttributes={"verb": "get", "resource": "pods"}))
    c.post(f"{az}/subjectaccessreviews", access("SubjectAccessReview", resourceAttributes={"verb": "get", "resource": "pods"}))
    c.post(f"{az}/subjectaccessreviews", access("SubjectAccessReview", user="bob"))
    c.post(f"{az}/namespaces/{c.ns}/localsubjectaccessreviews", access("LocalSubjectAccessReview", user="bob", resourceAttributes={"verb": "get", "resource": "pods"}))
    c.post(f"{az}/namespaces/{c.ns}/localsubjectaccessreviews", access("LocalSubjectAccessReview", user="bob", resourceAttributes={"verb": "get", "resource": "pods", "namespace": c.ns}))
    for headers in (None, _as("bob")):
        answer = c.send("POST", f"{az}/selfsubjectrulesreviews", access("SelfSubjectRulesReview", namespace=c.ns), headers)
        if isinstance(answer.body, dict):
            status = answer.body.get("status", {})
            status["resourceRules"], status["nonResourceRules"] = _allowed(status.get("resourceRules", [])), _allowed(status.get("nonResourceRules", []))
        c.keep("POST", f"{az}/selfsubjectrulesreviews", None, headers, answer)
    c.post(f"{az}/selfsubjectrulesreviews", access("SelfSubjectRulesReview"))
    c.get(f"{az}/selfsubjectaccessreviews")
    c.get(f"{az}/selfsubjectaccessreviews/x")
    c.delete(f"{az}/selfsubjectaccessreviews")
    c.post(f"{an}/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "nonsense"}})
    c.post(f"{an}/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}})
    c.post(f"{an}/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "x"}}, headers=_as("bob"))


def service_account_tokens(c):
    sa = c.core("serviceaccounts")
    c.get(sa + "/default")
    c.post(sa, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

    def ask(body, name="robot", note=None):
        answer = c.send("POST", f"{sa}/{name}/token", body)
        token = answer["status.token"]
        if token:
            claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
            for moving in ("iat", "exp", "nbf", "jti"):
                claims.pop(moving, None)
            answer.body["status"] = {**answer.body["status"], "token": claims, "expirationTimestamp": "<time>"}
        c.keep("POST", f"{sa}/{name}/token", body, None, answer, note)
        return token

    token = ask(request)
    ask(with_(request, {"spec.expirationSeconds": 5}))
    ask(with_(request, {"spec.expirationSeconds": 600}))
    ask(with_(request, {"spec.expirationSeconds": 5000000000}))
    ask(with_(request, {"spec.audiences": ["me"]}))
    ask(with_(request, {"spec.boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}))
    ask(with_(request, {"spec.boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "none"}}))
    ask(with_(request, {"spec.boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}}))
    ask(request, "none")
    ask({})
    ask({"apiVersion": "v1", "kind": "Pod"})
    bearer = {"Authorization": f"Bearer {token}"}
    c.get(c.core("pods"), anonymous=True, headers=bearer)
    c.get("/version", anonymous=True, headers=bearer)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = c.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    if isinstance(answer.body, dict) and "spec" in answer.body:
        answer.body["spec"]["token"] = "<token>"
    c.keep("POST", "/apis/authentication.k8s.io/v1/tokenreviews", None, None, answer)
    answer = c.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", with_(review, {"spec.audiences": ["other"]}))
    if isinstance(answer.body, dict) and "spec" in answer.body:
        answer.body["spec"]["token"] = "<token>"
    c.keep("POST", "/apis/authentication.k8s.io/v1/tokenreviews", None, None, answer, "another audience")
    c.send("DELETE", sa + "/robot")
    c.wait("/version", lambda a: a.code == 401, seconds=0, headers=None)
    c.get(c.core("pods"), anonymous=True, headers=bearer, note="its account is gone")
    c.delete(sa + "/default")
    c.wait(sa + "/default", lambda a: a.code == 200, note="made again")
    c.wait(c.core("configmaps", "kube-root-ca.crt"), lambda a: a.code == 200)
    c.send("DELETE", c.core("configmaps", "kube-root-ca.crt"))
    c.wait(c.core("configmaps", "kube-root-ca.crt"), lambda a: a.code == 200, note="made again")
    c.post(c.core("pods"), pod("auto", nodeSelector={"no": "where"}))
