"""Broken manifests: the same reasons, the same fields, the same words."""

from client import MERGE, STRATEGIC
from objects import config_map, deployment, pod, service, template, with_

DRY = "?dryRun=All"
LONG = "x" * 254


def _try(c, path, base, table):
    for changes in table:
        c.post(path + DRY, with_(base, changes), note=", ".join(f"{k}={v!r}" for k, v in changes.items())[:160])


def metadata_errors(c):
    _try(c, c.core("configmaps"), config_map(), [
        {"metadata.name": "Upper"}, {"metadata.name": "a_b"}, {"metadata.name": "-a"}, {"metadata.name": "a."}, {"metadata.name": LONG}, {"metadata.name": ""}, {"metadata.name": "a/b"}, {"metadata.name": ".."},
        {"metadata.name": 5}, {"metadata.labels": {"a b": "c"}}, {"metadata.labels": {"": "c"}}, {"metadata.labels": {"a": "b c"}}, {"metadata.labels": {"a/b/c": ""}}, {"metadata.labels": {"a": "x" * 64}},
        {"metadata.labels": {"UPPER.com/x": "y"}}, {"metadata.labels": {"/x": "y"}}, {"metadata.labels": {"x" * 64: "y"}}, {"metadata.labels": []}, {"metadata.labels": {"a": 1}}, {"metadata.labels": {"a": None}},
        {"metadata.annotations": {"a b": "c"}}, {"metadata.annotations": {"A/b": "c"}}, {"metadata.finalizers": ["x"]}, {"metadata.finalizers": ["kubernetes"]}, {"metadata.finalizers": ["orphan", "foregroundDeletion"]},
        {"metadata.finalizers": ["a/" + "x" * 64]}, {"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}]},
        {"metadata.ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": "x"}]},
        {"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "x"}]},
        {"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x", "controller": True}, {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "y", "controller": True}]},
        {"metadata.ownerReferences": [{"apiVersion": "a/b/c", "kind": "Pod", "name": "p", "uid": "x"}]},
        {"metadata.generation": -1}, {"metadata.creationTimestamp": "yesterday"}, {"metadata.generateName": "x" * 300},
        {"data": {"a b": "x"}}, {"data": {"..": "x"}}, {"data": {"": "x"}}, {"data": {LONG: "x"}}, {"data": {"a": "x"}, "binaryData": {"a": "eA=="}}, {"immutable": "yes"}, {"data": None},
    ])
    _try(c, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, [
        {"metadata.name": "a.b"}, {"metadata.name": "x" * 64}, {"metadata.name": "Upper"}, {"spec.finalizers": ["x y"]}, {"spec.finalizers": ["bad"]}])
    _try(c, c.core("services"), service(), [{"metadata.name": "1a"}, {"metadata.name": "a.b"}, {"metadata.name": "x" * 64}])
    _try(c, c.apps("deployments"), deployment(), [{"metadata.name": "Upper"}, {"metadata.name": LONG}])


def pod_errors(c):
    _try(c, c.core("pods"), pod(), [
        {"spec": ...}, {"spec": {}}, {"spec.containers": []}, {"spec.containers": None}, {"spec.containers.0.name": ""}, {"spec.containers.0.name": "Upper"}, {"spec.containers.0.name": "x" * 64},
        {"spec.containers.0.image": ""}, {"spec.containers.0.image": " x"}, {"spec.containers.1": {"name": "c", "image": "x"}}, {"spec.containers.0.imagePullPolicy": "Sometimes"},
        {"spec.restartPolicy": "Sometimes"}, {"spec.dnsPolicy": "x"}, {"spec.dnsPolicy": "None"}, {"spec.dnsConfig": {"nameservers": ["x"]}}, {"spec.dnsConfig": {"nameservers": ["1.1.1.1"] * 4}},
        {"spec.dnsConfig": {"searches": ["bad_domain!"]}}, {"spec.dnsConfig": {"options": [{"name": ""}]}}, {"spec.activeDeadlineSeconds": 0}, {"spec.activeDeadlineSeconds": -1}, {"spec.terminationGracePeriodSeconds": -1},
        {"spec.nodeName": "Bad_Node"}, {"spec.nodeSelector": {"a b": "c"}}, {"spec.nodeSelector": {"a": "b c"}}, {"spec.serviceAccountName": "Bad_"}, {"spec.hostname": "Bad_"}, {"spec.subdomain": "Bad_"}, {"spec.hostname": "x" * 64},
        {"spec.hostAliases": [{"ip": "x"}]}, {"spec.hostAliases": [{"ip": "1.1.1.1", "hostnames": ["Bad_"]}]}, {"spec.schedulerName": "Bad Name"}, {"spec.priorityClassName": "Bad_"}, {"spec.runtimeClassName": "Bad_"},
        {"spec.readinessGates": [{"conditionType": "a b"}]}, {"spec.imagePullSecrets": [{}]}, {"spec.unknown": 1}, {"spec.hostNetwork": "yes"}, {"spec.enableServiceLinks": 1},
        {"spec.preemptionPolicy": "x"}, {"spec.hostPID": True, "spec.shareProcessNamespace": True},
    ])
    _try(c, c.core("pods"), pod(), [
        {"spec.containers.0.ports": [{"containerPort": 0}]}, {"spec.containers.0.ports": [{"containerPort": 70000}]}, {"spec.containers.0.ports": [{"containerPort": 80, "protocol": "ICMP"}]},
        {"spec.containers.0.ports": [{"containerPort": 80, "name": "Bad_"}]}, {"spec.containers.0.ports": [{"containerPort": 80, "name": "waytoolongportname"}]}, {"spec.containers.0.ports": [{"containerPort": 80, "name": "123"}]},
        {"spec.containers.0.ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}, {"spec.containers.0.ports": [{"containerPort": 80, "hostPort": 70000}]},
        {"spec.containers.0.ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}, {"spec.containers.0.ports": [{"containerPort": 80, "hostIP": "x"}]},
        {"spec.hostNetwork": True, "spec.containers.0.ports": [{"containerPort": 80, "hostPort": 81}]}, {"spec.containers.0.ports": [{"containerPort": "80"}]}, {"spec.containers.0.ports": [{}]},
        {"spec.containers.0.env": [{"name": ""}]}, {"spec.containers.0.env": [{"name": "a=b"}]}, {"spec.containers.0.env": [{"name": "1a"}]}, {"spec.containers.0.env": [{"name": "a b"}]},
        {"spec.containers.0.env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, {"spec.containers.0.env": [{"name": "A", "valueFrom": {}}]},
        {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}, {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]},
        {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": ""}}}]}, {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v9"}}}]},
        {"spec.containers.0.env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "", "key": ""}}}]}, {"spec.containers.0.env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "a b"}}}]},
        {"spec.containers.0.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.foo"}}}]}, {"spec.containers.0.env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}, "secretKeyRef": {"name": "x", "key": "k"}}}]},
        {"spec.containers.0.envFrom": [{}]}, {"spec.containers.0.envFrom": [{"configMapRef": {"name": "Bad_"}}]}, {"spec.containers.0.envFrom": [{"prefix": "1", "configMapRef": {"name": "x"}}]},
        {"spec.containers.0.resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}, {"spec.containers.0.resources": {"limits": {"cpu": "-1"}}}, {"spec.containers.0.resources": {"limits": {"foo": "1"}}},
        {"spec.containers.0.resources": {"limits": {"memory": "lots"}}}, {"spec.containers.0.resources": {"limits": {"example.com/x": "1.5"}}}, {"spec.containers.0.resources": {"requests": {"example.com/x": "1"}}},
        {"spec.containers.0.resources": {"limits": {"cpu": {}}}}, {"spec.containers.0.resources": {"requests": {"hugepages-2Mi": "1Mi"}}}, {"spec.containers.0.resources": {"limits": {"cpu": "1.0001m"}}},
        {"spec.containers.0.resources": {"limits": {"a b": "1"}}}, {"spec.containers.0.resources": {"limits": {"cpu": ""}}},
        {"spec.containers.0.volumeMounts": [{"name": "none", "mountPath": "/x"}]}, {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": ""}]},
        {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]},
        {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../x"}]}, {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/x"}]},
        {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "a:b"}]}, {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "x"}]},
        {"spec.volumes": [{"name": "v"}], "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a", "subPathExpr": "b"}]},
        {"spec.containers.0.livenessProbe": {}}, {"spec.containers.0.livenessProbe": {"httpGet": {"port": 0}}}, {"spec.containers.0.livenessProbe": {"httpGet": {"port": "Bad_"}}}, {"spec.containers.0.livenessProbe": {"exec": {}}},
        {"spec.containers.0.livenessProbe": {"tcpSocket": {"port": 70000}}}, {"spec.containers.0.livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}, {"spec.containers.0.livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": -1}},
        {"spec.containers.0.readinessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}}, {"spec.containers.0.livenessProbe": {"httpGet": {"port": 80, "scheme": "ftp"}}}, {"spec.containers.0.livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}},
        {"spec.containers.0.lifecycle": {"preStop": {}}}, {"spec.containers.0.lifecycle": {"postStart": {"exec": {"command": []}}}}, {"spec.containers.0.terminationMessagePolicy": "x"},
        {"spec.containers.0.securityContext": {"runAsUser": -1}}, {"spec.containers.0.securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}, {"spec.containers.0.securityContext": {"procMount": "x"}},
        {"spec.containers.0.securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}, "allowPrivilegeEscalation": False}}, {"spec.containers.0.stdin": "x"}, {"spec.containers.0.command": "ls"}, {"spec.containers.0.args": [1]},
        {"spec.securityContext": {"fsGroup": -1}}, {"spec.securityContext": {"sysctls": [{"name": "Bad Sysctl", "value": ""}]}}, {"spec.securityContext": {"sysctls": [{"name": "a", "value": ""}, {"name": "a", "value": ""}]}},
        {"spec.securityContext": {"supplementalGroups": [-1]}}, {"spec.securityContext": {"seccompProfile": {"type": "x"}}}, {"spec.securityContext": {"seccompProfile": {"type": "Localhost"}}}, {"spec.securityContext": {"fsGroupChangePolicy": "x"}},
        {"spec.initContainers": [{"name": "c", "image": "x"}]}, {"spec.initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}]}, {"spec.initContainers": [{"name": "i", "image": "x", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}]},
    ])
    _try(c, c.core("pods"), pod(), [
        {"spec.volumes": [{"name": ""}]}, {"spec.volumes": [{"name": "Bad_"}]}, {"spec.volumes": [{"name": "v"}, {"name": "v"}]}, {"spec.volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
        {"spec.volumes": [{"name": "v", "hostPath": {"path": ""}}]}, {"spec.volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}, {"spec.volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "x"}}]},
        {"spec.volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]}, {"spec.volumes": [{"name": "v", "emptyDir": {"medium": "x"}}]}, {"spec.volumes": [{"name": "v", "secret": {}}]}, {"spec.volumes": [{"name": "v", "configMap": {}}]},
        {"spec.volumes": [{"name": "v", "secret": {"secretName": "x", "defaultMode": 1000}}]}, {"spec.volumes": [{"name": "v", "secret": {"secretName": "x", "items": [{"key": "", "path": ""}]}}]},
        {"spec.volumes": [{"name": "v", "configMap": {"name": "x", "items": [{"key": "a", "path": "../x"}]}}]}, {"spec.volumes": [{"name": "v", "configMap": {"name": "x", "items": [{"key": "a", "path": "/x"}]}}]},
        {"spec.volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]}, {"spec.volumes": [{"name": "v", "nfs": {"server": "", "path": "x"}}]}, {"spec.volumes": [{"name": "v", "projected": {"sources": [{}]}}]},
        {"spec.volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "", "expirationSeconds": 1}}]}}]}, {"spec.volumes": [{"name": "v", "projected": {}}]},
        {"spec.volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}}, {"secret": {"name": "b", "items": [{"key": "k", "path": "p"}]}}]}}]},
        {"spec.volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]}, {"spec.volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}]}}]},
        {"spec.volumes": [{"name": "v", "gitRepo": {"repository": ""}}]}, {"spec.volumes": [{"name": "v", "csi": {"driver": ""}}]}, {"spec.volumes": [{"name": "v", "iscsi": {}}]},
        {"spec.tolerations": [{"key": "a", "operator": "x"}]}, {"spec.tolerations": [{"operator": "Equal"}]}, {"spec.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, {"spec.tolerations": [{"key": "a", "effect": "x"}]},
        {"spec.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]}, {"spec.tolerations": [{"key": "a b"}]},
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}, {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "x"}]}]}}}},
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}}},
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}]}}}},
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{"key": "a", "operator": "In", "values": ["1"]}]}]}}}},
        {"spec.affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]}}},
        {"spec.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}}, {"spec.affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {"topologyKey": "a"}}]}}},
        {"spec.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}]}}},
        {"spec.topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": ""}]}, {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "x"}]},
        {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}] * 2},
        {"metadata.annotations": {"kubernetes.io/config.mirror": "x"}}, {"metadata.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}, {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/none": "x"}},
    ])


def workload_errors(c):
    _try(c, c.apps("deployments"), deployment(), [
        {"spec": ...}, {"spec": {}}, {"spec.selector": ...}, {"spec.selector": {}}, {"spec.selector": {"matchLabels": {"app": "other"}}}, {"spec.replicas": -1}, {"spec.replicas": "2"}, {"spec.replicas": 1.5}, {"spec.replicas": 3000000000}, {"spec.template": ...},
        {"spec.template.metadata.labels": ...}, {"spec.template.spec.containers": []}, {"spec.template.spec.restartPolicy": "Never"}, {"spec.template.spec.activeDeadlineSeconds": 5}, {"spec.strategy": {"type": "x"}},
        {"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}}, {"spec.strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}, {"spec.strategy": {"rollingUpdate": {"maxUnavailable": "150%"}}}, {"spec.strategy": {"rollingUpdate": {"maxSurge": "x"}}},
        {"spec.strategy": {"rollingUpdate": {"maxSurge": -1}}}, {"spec.strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}}, {"spec.minReadySeconds": -1}, {"spec.revisionHistoryLimit": -1}, {"spec.progressDeadlineSeconds": 0}, {"spec.progressDeadlineSeconds": 5, "spec.minReadySeconds": 5},
        {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "x"}]}}, {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}, {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]}}, {"spec.selector": {"matchLabels": {"a b": "c"}}},
        {"spec.selector": {"matchLabels": {"app": "web c"}}}, {"spec.template.spec.containers.0.image": ...}, {"spec.template.metadata.labels": {"app": "web", "a b": "c"}}, {"spec.template.metadata.annotations": {"a b": "c"}}, {"apiVersion": "extensions/v1beta1"}, {"apiVersion": "apps/v1beta1"},
    ])
    rs = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}}
    _try(c, c.apps("replicasets"), rs, [{"spec.replicas": -1}, {"spec.selector": ...}, {"spec.selector": {"matchLabels": {"a": "b"}}}, {"spec.template": ...}, {"spec.template.spec.restartPolicy": "Never"}, {"spec.minReadySeconds": -1}])
    ss = {**rs, "kind": "StatefulSet", "spec": {**rs["spec"], "serviceName": "x"}}
    _try(c, c.apps("statefulsets"), ss, [{"spec.replicas": -1}, {"spec.selector": ...}, {"spec.selector": {"matchLabels": {"a": "b"}}}, {"spec.podManagementPolicy": "x"}, {"spec.updateStrategy": {"type": "x"}}, {"spec.updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
                                         {"spec.updateStrategy": {"rollingUpdate": {"partition": -1}}}, {"spec.template.spec.restartPolicy": "Never"}, {"spec.serviceName": ...}, {"metadata.name": "x" * 60}])
    ds = {**rs, "kind": "DaemonSet"}
    _try(c, c.apps("daemonsets"), ds, [{"spec.selector": ...}, {"spec.selector": {}}, {"spec.selector": {"matchLabels": {"a": "b"}}}, {"spec.updateStrategy": {"type": "x"}}, {"spec.updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}, {"spec.updateStrategy": {"rollingUpdate": {"maxUnavailable": "x"}}},
                                       {"spec.template.spec.restartPolicy": "Never"}, {"spec.minReadySeconds": -1}, {"spec.revisionHistoryLimit": -1}, {"spec.template.spec.activeDeadlineSeconds": 1}])
    rc = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": {"template": template()}}
    _try(c, c.core("replicationcontrollers"), rc, [{"spec.replicas": -1}, {"spec.selector": {"a": "b"}}, {"spec.template": ...}, {"spec.template.metadata.labels": ...}, {"spec.template.spec.restartPolicy": "Never"}])
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}
    _try(c, c.group("batch/v1", "jobs"), job, [
        {"spec.template.spec.restartPolicy": ...}, {"spec.template.spec.restartPolicy": "Always"}, {"spec.template.spec.restartPolicy": "x"}, {"spec.parallelism": -1}, {"spec.completions": -1}, {"spec.activeDeadlineSeconds": -1}, {"spec.backoffLimit": -1},
        {"spec.ttlSecondsAfterFinished": -1}, {"spec.manualSelector": True}, {"spec.selector": {"matchLabels": {"a": "b"}}}, {"spec.template.spec.containers": []}, {"spec": {}}, {"metadata.name": "x" * 64}, {"spec.template.metadata": {"labels": {"job-name": "other"}}}])
    cj = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cj"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job["spec"]}}}
    _try(c, c.group("batch/v1", "cronjobs"), cj, [
        {"spec.schedule": ""}, {"spec.schedule": "x"}, {"spec.schedule": "60 * * * *"}, {"spec.schedule": "* * * *"}, {"spec.schedule": "*/0 * * * *"}, {"spec.schedule": "@every 5m"}, {"spec.concurrencyPolicy": "x"}, {"spec.startingDeadlineSeconds": -1}, {"spec.successfulJobsHistoryLimit": -1},
        {"spec.failedJobsHistoryLimit": -1}, {"metadata.name": "x" * 53}, {"spec.jobTemplate.spec.template.spec.restartPolicy": "Always"}, {"spec.jobTemplate.spec.manualSelector": True}])
    hpa = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "x"}}}
    _try(c, c.group("autoscaling/v1", "horizontalpodautoscalers"), hpa, [
        {"spec.maxReplicas": 0}, {"spec.minReplicas": 5}, {"spec.minReplicas": 0}, {"spec.minReplicas": -1}, {"spec.scaleTargetRef.kind": ""}, {"spec.scaleTargetRef.name": ""}, {"spec.scaleTargetRef.kind": "a/b"}, {"spec.targetCPUUtilizationPercentage": 0}, {"spec": ...}])
    hpa2 = {**hpa, "apiVersion": "autoscaling/v2"}
    _try(c, c.group("autoscaling/v2", "horizontalpodautoscalers"), hpa2, [
        {"spec.metrics": [{"type": "x"}]}, {"spec.metrics": [{"type": "Resource"}]}, {"spec.metrics": [{"type": "Resource", "resource": {"name": "", "target": {"type": "Utilization"}}}]},
        {"spec.metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Value", "value": "1"}}}]}, {"spec.behavior": {"scaleDown": {"stabilizationWindowSeconds": -1}}},
        {"spec.behavior": {"scaleUp": {"policies": [{"type": "x", "value": 0, "periodSeconds": 0}]}}}])
    pdb = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    _try(c, c.group("policy/v1", "poddisruptionbudgets"), pdb, [
        {"spec.maxUnavailable": 1}, {"spec.minAvailable": -1}, {"spec.minAvailable": "x"}, {"spec.minAvailable": "150%"}, {"spec.selector": {"matchExpressions": [{"key": "a", "operator": "x"}]}}, {"spec.minAvailable": ...}])


def service_errors(c):
    _try(c, c.core("services"), service(), [
        {"spec": ...}, {"spec.ports": []}, {"spec.ports": None}, {"spec.ports.0.port": 0}, {"spec.ports.0.port": 70000}, {"spec.ports.0.port": "80"}, {"spec.ports.0.protocol": "x"}, {"spec.ports.0.name": "Bad_"}, {"spec.ports.0.targetPort": "Bad_"}, {"spec.ports.0.targetPort": 70000}, {"spec.ports.0.targetPort": "waytoolongportname"},
        {"spec.ports": [{"port": 80}, {"port": 81}]}, {"spec.ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, {"spec.ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, {"spec.type": "x"}, {"spec.sessionAffinity": "x"}, {"spec.clusterIP": "x"}, {"spec.clusterIP": "None", "spec.type": "NodePort"},
        {"spec.clusterIP": "None", "spec.type": "LoadBalancer"}, {"spec.ports.0.nodePort": 30000}, {"spec.type": "NodePort", "spec.ports.0.nodePort": 70000}, {"spec.type": "NodePort", "spec.ports.0.nodePort": 1},
        {"spec.type": "NodePort", "spec.ports": [{"name": "a", "port": 1, "nodePort": 30100}, {"name": "b", "port": 2, "nodePort": 30100}]}, {"spec.type": "ExternalName"}, {"spec.type": "ExternalName", "spec.externalName": "Bad_"}, {"spec.type": "ExternalName", "spec.externalName": "a", "spec.clusterIP": "10.96.1.1"},
        {"spec.externalIPs": ["x"]}, {"spec.externalIPs": ["127.0.0.1"]}, {"spec.externalIPs": ["0.0.0.0"]}, {"spec.externalIPs": ["169.254.1.1"]}, {"spec.externalTrafficPolicy": "Local"}, {"spec.type": "NodePort", "spec.externalTrafficPolicy": "x"}, {"spec.healthCheckNodePort": 30000}, {"spec.loadBalancerSourceRanges": ["1.1.1.1/8"]},
        {"spec.type": "LoadBalancer", "spec.loadBalancerSourceRanges": ["x"]}, {"spec.selector": {"a b": "c"}}, {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}, {"spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}, {"spec.ports.0.appProtocol": "a b"},
        {"spec.ports": "x"}, {"spec.ports.0": "x"}, {"spec.selector": "app=web"}, {"spec.unknown": 1},
    ])
    ep = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "ep"}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]}
    _try(c, c.core("endpoints"), ep, [{"subsets.0.addresses": []}, {"subsets.0.addresses": [{"ip": "x"}]}, {"subsets.0.addresses": [{"ip": "127.0.0.1"}]}, {"subsets.0.addresses": [{"ip": ""}]}, {"subsets.0.addresses.0.hostname": "Bad_"}, {"subsets.0.ports": [{"port": 0}]}, {"subsets.0.ports": [{"port": 1}, {"port": 2}]},
                                      {"subsets.0.ports": [{"port": 1, "protocol": "x"}]}, {"subsets.0.ports": [{"port": 1, "name": "Bad_"}]}, {"subsets.0.addresses.0.nodeName": "Bad_"}])
    es = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "es"}, "addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": [{"port": 80, "name": "", "protocol": "TCP"}]}
    _try(c, c.group("discovery.k8s.io/v1", "endpointslices"), es, [{"addressType": "x"}, {"addressType": ...}, {"endpoints.0.addresses": []}, {"endpoints.0.addresses": ["x"]}, {"endpoints.0.addresses": ["::1"]}, {"endpoints.0.hostname": "Bad_"}, {"ports.0.protocol": "x"}, {"ports.0.name": "Bad_"}, {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}])
    ing = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}}
    _try(c, c.group("networking.k8s.io/v1", "ingresses"), ing, [
        {"spec": ...}, {"spec": {}}, {"spec.rules.0.host": "Bad_"}, {"spec.rules.0.host": "1.2.3.4"}, {"spec.rules.0.host": "*"}, {"spec.rules.0.host": "*.a.b"}, {"spec.rules.0.http.paths": []}, {"spec.rules.0.http.paths.0.path": "x"}, {"spec.rules.0.http.paths.0.path": "/a//b"}, {"spec.rules.0.http.paths.0.pathType": "x"}, {"spec.rules.0.http.paths.0.pathType": ...},
        {"spec.rules.0.http.paths.0.backend": {}}, {"spec.rules.0.http.paths.0.backend.service.name": ""}, {"spec.rules.0.http.paths.0.backend.service.name": "Bad_"}, {"spec.rules.0.http.paths.0.backend.service.port": {}}, {"spec.rules.0.http.paths.0.backend.service.port": {"number": 80, "name": "a"}}, {"spec.rules.0.http.paths.0.backend.service.port": {"number": 70000}},
        {"spec.rules.0.http.paths.0.backend.service.port": {"name": "Bad_"}}, {"spec.tls": [{"hosts": ["Bad_"]}]}, {"spec.defaultBackend": {"service": {"name": "x", "port": {"number": 80}}, "resource": {"kind": "x", "name": "y"}}}, {"spec.ingressClassName": "Bad_"}, {"metadata.annotations": {"kubernetes.io/ingress.class": "x"}, "spec.ingressClassName": "y"}])
    np = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": {"podSelector": {}}}
    _try(c, c.group("networking.k8s.io/v1", "networkpolicies"), np, [
        {"spec.podSelector": {"matchLabels": {"a b": "c"}}}, {"spec.policyTypes": ["x"]}, {"spec.policyTypes": ["Ingress", "Egress", "Ingress"]}, {"spec.ingress": [{"ports": [{"port": 0}]}]}, {"spec.ingress": [{"ports": [{"port": "Bad_"}]}]}, {"spec.ingress": [{"ports": [{"protocol": "x"}]}]}, {"spec.ingress": [{"from": [{}]}]},
        {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]}, {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}, {"spec.ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, {"spec.egress": [{"to": [{"ipBlock": {"cidr": ""}}]}]}])


def other_errors(c):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    _try(c, c.core("secrets"), secret, [{"data": {"a b": "YQ=="}}, {"data": {"a": "!"}}, {"data": {"a": 1}}, {"stringData": {"a": 1}}, {"data": {"..": ""}}, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}, {"type": "kubernetes.io/service-account-token", "metadata.annotations": {"kubernetes.io/service-account.name": "none"}}])
    lr = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container"}]}}
    _try(c, c.core("limitranges"), lr, [
        {"spec.limits.0.type": ""}, {"spec.limits.0.type": "x"}, {"spec.limits.0": {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}}, {"spec.limits.0": {"type": "Pod", "default": {"cpu": "1"}}}, {"spec.limits.0": {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}},
        {"spec.limits.0": {"type": "Container", "maxLimitRequestRatio": {"cpu": "0.5"}}}, {"spec.limits": [{"type": "Pod"}, {"type": "Pod"}]}, {"spec.limits.0": {"type": "PersistentVolumeClaim"}}, {"spec.limits.0": {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}}}])
    rq = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    _try(c, c.core("resourcequotas"), rq, [{"spec.hard": {"pods": "-1"}}, {"spec.hard": {"pods": "1.5"}}, {"spec.hard": {"foo": "1"}}, {"spec.hard": {"a b": "1"}}, {"spec.scopes": ["x"]}, {"spec.scopes": ["BestEffort", "NotBestEffort"]}, {"spec.scopes": ["BestEffort"], "spec.hard": {"cpu": "1"}}, {"spec.hard": {"count/deployments.apps": "1"}},
                                           {"spec.scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}, {"spec.scopeSelector": {"matchExpressions": [{"scopeName": "x", "operator": "y"}]}}])
    pvc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    _try(c, c.core("persistentvolumeclaims"), pvc, [{"spec.accessModes": []}, {"spec.accessModes": ["x"]}, {"spec.resources": {}}, {"spec.resources.requests.storage": "-1"}, {"spec.resources.requests.storage": "0"}, {"spec.storageClassName": "Bad_"}, {"spec.volumeMode": "x"}, {"spec.selector": {"matchLabels": {"a b": "c"}}}, {"spec.dataSource": {"kind": "x", "name": "y"}}])
    pv = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "p"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}
    _try(c, "/api/v1/persistentvolumes", pv, [
        {"spec": {}}, {"spec.accessModes": []}, {"spec.accessModes": ["x"]}, {"spec.capacity": {}}, {"spec.capacity": {"storage": "-1"}}, {"spec.capacity": {"storage": "1Gi", "cpu": "1"}}, {"spec.hostPath": ...}, {"spec.nfs": {"server": "a", "path": "/"}}, {"spec.persistentVolumeReclaimPolicy": "x"},
        {"spec.hostPath.path": "/", "spec.persistentVolumeReclaimPolicy": "Recycle"}, {"spec.volumeMode": "x"}, {"spec.storageClassName": "Bad_"}, {"spec.hostPath": ..., "spec.local": {"path": "/x"}}, {"spec.hostPath.path": "/a/../b"}, {"spec.mountOptions": ["x"]}])
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    _try(c, "/api/v1/nodes", node, [{"metadata.name": "Bad_"}, {"spec.taints": [{"key": ""}]}, {"spec.taints": [{"key": "a", "effect": "x"}]}, {"spec.taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}]}, {"spec.taints": [{"key": "a b", "effect": "NoSchedule"}]},
                                    {"spec.podCIDR": "x"}, {"spec.podCIDRs": ["1.1.1.0/24", "1.1.2.0/24"]}, {"status.capacity": {"cpu": "-1"}}, {"spec.configSource": {}}])
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    _try(c, f"{rbac}/namespaces/{c.ns}/roles", role, [{"rules.0.verbs": []}, {"rules.0.resources": []}, {"rules.0.apiGroups": []}, {"rules.0": {"nonResourceURLs": ["/x"], "verbs": ["get"]}}, {"rules.0.nonResourceURLs": ["/x"]}, {"metadata.name": "a:B_c"}, {"metadata.name": "a/b"}, {"metadata.name": "a%b"}])
    _try(c, f"{rbac}/clusterroles", {**role, "kind": "ClusterRole"}, [{"rules.0": {"nonResourceURLs": ["/x"]}}, {"rules.0": {}}, {"rules": [], "aggregationRule": {"clusterRoleSelectors": []}}, {"rules": [], "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a b": "c"}}]}}])
    rb = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "rb"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]}
    _try(c, f"{rbac}/namespaces/{c.ns}/rolebindings", rb, [{"roleRef.name": ""}, {"roleRef.kind": "x"}, {"roleRef.apiGroup": "x"}, {"roleRef": ...}, {"subjects.0.kind": "x"}, {"subjects.0.name": ""}, {"subjects.0.apiGroup": "x"}, {"subjects.0": {"kind": "ServiceAccount", "name": "x"}}, {"subjects.0": {"kind": "ServiceAccount", "name": "Bad_", "namespace": "n"}}, {"subjects.0": {"kind": "User", "name": "x", "namespace": "n"}}, {"subjects": []}])
    sc = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s"}, "provisioner": "x"}
    _try(c, "/apis/storage.k8s.io/v1/storageclasses", sc, [{"provisioner": ""}, {"provisioner": "a b"}, {"reclaimPolicy": "x"}, {"volumeBindingMode": "x"}, {"parameters": {"": "x"}}, {"mountOptions": [1]}])
    pc = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "p"}, "value": 1}
    _try(c, "/apis/scheduling.k8s.io/v1/priorityclasses", pc, [{"metadata.name": "system-x"}, {"value": 2000000000}, {"preemptionPolicy": "x"}, {"value": "1"}, {"metadata.name": "system-node-critical", "value": 1}])
    rc = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "x"}
    _try(c, "/apis/node.k8s.io/v1/runtimeclasses", rc, [{"handler": ""}, {"handler": "Bad_"}, {"overhead": {"podFixed": {"cpu": "-1"}}}, {"scheduling": {"nodeSelector": {"a b": "c"}}}])
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    _try(c, c.group("coordination.k8s.io/v1", "leases"), lease, [{"spec.leaseDurationSeconds": 0}, {"spec.leaseTransitions": -1}, {"spec.leaseDurationSeconds": "x"}])
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": c.ns, "name": "p"}}
    _try(c, c.core("events"), event, [{"involvedObject.namespace": "other"}, {"involvedObject": {}}, {"involvedObject": {"kind": "Node", "name": "n"}}, {"eventTime": "2020-01-01T00:00:00.000000Z"}, {"type": "x"}, {"count": "x"}])
    event1 = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": c.ns, "name": "p"}, "reason": "R", "type": "Normal", "action": "A",
              "eventTime": "2020-01-01T00:00:00.000000Z", "reportingController": "x", "reportingInstance": "y"}
    _try(c, c.group("events.k8s.io/v1", "events"), event1, [{"eventTime": ...}, {"reportingController": ""}, {"reportingInstance": ""}, {"action": ""}, {"reason": ""}, {"type": "x"}, {"note": "x" * 1025}, {"series": {"count": 1}}, {"deprecatedCount": 1}, {"reportingController": "a b"}])
    hook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "v"}, "webhooks": [{"name": "a.b.c", "clientConfig": {"url": "https://x"}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}]}
    _try(c, "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", hook, [
        {"webhooks.0.name": "x"}, {"webhooks.0.sideEffects": ...}, {"webhooks.0.sideEffects": "Some"}, {"webhooks.0.admissionReviewVersions": []}, {"webhooks.0.clientConfig": {}}, {"webhooks.0.clientConfig.url": "http://x"}, {"webhooks.0.clientConfig.url": "x"}, {"webhooks.0.failurePolicy": "x"}, {"webhooks.0.matchPolicy": "x"}, {"webhooks.0.timeoutSeconds": 31},
        {"webhooks.0.rules": [{"operations": [], "apiGroups": [], "apiVersions": [], "resources": []}]}, {"webhooks.0.rules": [{"operations": ["*", "CREATE"], "apiGroups": ["*", "x"], "apiVersions": ["v1"], "resources": ["pods", "*/*"]}]}, {"webhooks.0.clientConfig": {"url": "https://x", "service": {"name": "x", "namespace": "y"}}}])
    csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "c"}, "spec": {"request": "eA==", "signerName": "a.b/c", "usages": ["client auth"]}}
    _try(c, "/apis/certificates.k8s.io/v1/certificatesigningrequests", csr, [{}, {"spec.signerName": ""}, {"spec.signerName": "x"}, {"spec.usages": []}, {"spec.usages": ["x"]}, {"spec.request": ""}, {"spec.signerName": "kubernetes.io/legacy-unknown"}])
    sa = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    _try(c, c.core("serviceaccounts"), sa, [{"metadata.name": "Bad_"}, {"secrets": [{"name": "x"}]}, {"automountServiceAccountToken": "x"}])
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "foos.a.b"}, "spec": {"group": "a.b", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
           "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    _try(c, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd, [{"metadata.name": "x"}, {"spec.scope": "x"}, {"spec.versions": []}, {"spec.names.kind": ""}, {"spec.versions.0.storage": False}, {"spec.versions.0.schema": ...}])


def update_errors(c):
    """What may not change."""
    def change(path, body, *changes, kind=STRATEGIC):
        c.make(path, body)
        for patch in changes:
            c.patch(f"{path}/{body['metadata']['name']}" + DRY, patch, kind)

    change(c.core("configmaps"), {**config_map("im"), "immutable": True}, {"data": {"a": "2"}}, {"immutable": False}, {"immutable": None}, {"metadata": {"labels": {"a": "b"}}}, {"binaryData": {"x": "eA=="}})
    change(c.core("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "im"}, "immutable": True, "data": {"a": "YQ=="}}, {"data": {"a": "YQ="}}, {"data": {"a": "Yg=="}}, {"immutable": False}, {"type": "other"})
    change(c.core("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, {"type": "other"}, {"immutable": True})
    change(c.core("pods"), pod("p", nodeSelector={"no": "where"}), {"spec": {"nodeSelector": {"a": "b"}}}, {"spec": {"restartPolicy": "Never"}}, {"spec": {"containers": [{"name": "c", "env": [{"name": "a", "value": "b"}]}]}}, {"spec": {"containers": [{"name": "c", "image": ""}]}}, {"spec": {"serviceAccountName": "x"}},
           {"metadata": {"labels": {"a": "b"}}}, {"spec": {"tolerations": None}}, {"spec": {"volumes": [{"name": "x", "emptyDir": {}}]}}, {"spec": {"priority": 3}}, {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}})
    change(c.apps("deployments"), deployment(replicas=0), {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, {"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}, {"metadata": {"name": "x"}})
    ss = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "ss"}, "spec": {"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"app": "web"}}, "template": template()}}
    change(c.apps("statefulsets"), ss, {"spec": {"serviceName": "y"}}, {"spec": {"podManagementPolicy": "Parallel"}}, {"spec": {"replicas": 0, "template": {"spec": {"hostNetwork": True}}}}, {"spec": {"revisionHistoryLimit": 3}})
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"parallelism": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}
    change(c.group("batch/v1", "jobs"), job, {"spec": {"completions": 3}}, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}}, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, {"spec": {"backoffLimit": 2}})
    pvc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}
    change(c.core("persistentvolumeclaims"), pvc, {"spec": {"accessModes": ["ReadWriteMany"]}}, {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}, {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}, {"spec": {"storageClassName": "x"}}, {"spec": {"volumeName": "x"}})
    sc = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": c.ns}, "provisioner": "x"}
    change("/apis/storage.k8s.io/v1/storageclasses", sc, {"provisioner": "y"}, {"parameters": {"a": "b"}}, {"reclaimPolicy": "Retain"}, {"allowVolumeExpansion": True})
    pc = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": c.ns}, "value": 1}
    change("/apis/scheduling.k8s.io/v1/priorityclasses", pc, {"value": 2}, {"globalDefault": True}, {"preemptionPolicy": "Never"}, {"description": "x"})
    rb = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "rb"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}}
    change(c.group("rbac.authorization.k8s.io/v1", "rolebindings"), rb, {"roleRef": {"name": "other"}}, {"subjects": [{"kind": "User", "name": "u"}]})
    rc = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": c.ns}, "handler": "x"}
    change("/apis/node.k8s.io/v1/runtimeclasses", rc, {"handler": "y"})
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": c.ns}, "spec": {"podCIDR": "10.77.0.0/24", "podCIDRs": ["10.77.0.0/24"], "providerID": "a"}}
    change("/api/v1/nodes", node, {"spec": {"podCIDR": "10.77.1.0/24", "podCIDRs": ["10.77.1.0/24"]}}, {"spec": {"providerID": "b"}}, {"spec": {"taints": [{"key": "a", "effect": "NoSchedule", "value": "v"}]}}, {"spec": {"unschedulable": True}}, {"status": {"capacity": {"cpu": "5"}}})
    rs = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template()}}
    change(c.apps("replicasets"), rs, {"spec": {"selector": {"matchLabels": {"x": "y"}}}}, {"spec": {"replicas": -1}})
    ds = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(nodeSelector={"no": "where"})}}
    change(c.apps("daemonsets"), ds, {"spec": {"selector": {"matchLabels": {"x": "y"}}}})
    cr = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "cr"}, "revision": 1, "data": {"a": 1}}
    change(c.apps("controllerrevisions"), cr, {"data": {"a": 2}}, {"revision": -1}, {"revision": 2}, kind=MERGE)
    pdb = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "pdb"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    change(c.group("policy/v1", "poddisruptionbudgets"), pdb, {"spec": {"minAvailable": 2}}, {"spec": {"minAvailable": None, "maxUnavailable": 1}})
