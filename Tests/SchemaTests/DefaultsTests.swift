import Schema
import Testing
import Wire

@Suite struct DefaultsTests {
  func defaulted(_ json: String, _ kind: ResourceKind, now: Timestamp? = nil) throws -> Value {
    var value = try decode(json, kind).value
    table.applyDefaults(&value, kind: kind, now: now)
    return value
  }

  @Test("a pod gets upstream's defaults, emitted in upstream's order")
  func pod() throws {
    let json =
      #"{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"image":"nginx","name":"a","resources":{"limits":{"cpu":"0.5"}}}]},"metadata":{"name":"p"}}"#
    #expect(
      try canonical(json, kind("pods"))
        == #"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"nginx","resources":{"limits":{"cpu":"500m"},"requests":{"cpu":"500m"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler","enableServiceLinks":true},"status":{}}"#
    )
  }

  @Test("defaulting twice changes nothing", arguments: Manifests.all.indices)
  func idempotent(i: Int) throws {
    let (group, resource, json) = Manifests.all[i]
    let kind = try kind(resource, group: group)
    let once = try defaulted(json, kind)
    var twice = once
    table.applyDefaults(&twice, kind: kind)
    #expect(once == twice)
  }

  @Test("the parts of a pod: volumes, probes, ports, projected sources")
  func parts() throws {
    let pod = try defaulted(Manifests.pod, kind("pods"))
    let spec = pod["spec"]
    #expect(spec["volumes"][1]["configMap"]["defaultMode"] == 420)
    #expect(spec["volumes"][2] == ["name": "scratch", "emptyDir": [:]])
    #expect(spec["volumes"][3]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600)
    #expect(spec["volumes"][3]["projected"]["sources"][1]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1")
    #expect(spec["volumes"][4]["hostPath"]["type"] == "")
    #expect(spec["volumes"][5]["secret"]["defaultMode"] == 0)
    #expect(spec["initContainers"][0]["imagePullPolicy"] == "Always")
    #expect(spec["initContainers"][1]["imagePullPolicy"] == "IfNotPresent")
    let web = spec["containers"][0]
    #expect(web["resources"]["requests"] == ["cpu": "500m", "memory": "1Gi"])
    #expect(web["ports"][1]["protocol"] == "TCP")
    #expect(web["env"][2]["valueFrom"]["fieldRef"]["apiVersion"] == "v1")
    #expect(web["livenessProbe"]["httpGet"]["scheme"] == "HTTP" && web["livenessProbe"]["periodSeconds"] == 10)
    #expect(web["readinessProbe"]["periodSeconds"] == 5 && web["readinessProbe"]["failureThreshold"] == 3)
  }

  @Test("a pod on the host's network has its ports there; limits of the pod as a whole become requests")
  func podLevel() throws {
    let pod = try defaulted(
      #"{"spec":{"hostNetwork":true,"resources":{"limits":{"cpu":"2","memory":"1Gi"}},"initContainers":[{"name":"i","resources":{"requests":{"cpu":"900m"}}}],"containers":[{"name":"a","ports":[{"containerPort":80},{"containerPort":81,"hostPort":8081}],"resources":{"requests":{"cpu":"250m"}}},{"name":"b","resources":{"requests":{"cpu":"250m"}}}]}}"#,
      kind("pods"))
    #expect(pod["spec"]["containers"][0]["ports"][0]["hostPort"] == 80)
    #expect(pod["spec"]["containers"][0]["ports"][1]["hostPort"] == 8081)
    #expect(pod["spec"]["resources"]["requests"] == ["cpu": "900m", "memory": "1Gi"])
  }

  @Test("workloads: replicas, strategies, history, labels of jobs and replication controllers")
  func workloads() throws {
    let deployment = try defaulted(Manifests.deployment, kind("deployments", group: "apps"))["spec"]
    #expect(deployment["replicas"] == 0 && deployment["revisionHistoryLimit"] == 10 && deployment["progressDeadlineSeconds"] == 600)
    #expect(deployment["strategy"] == ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": "50%", "maxUnavailable": "25%"]])
    let recreate = try defaulted(#"{"spec":{"strategy":{"type":"Recreate"}}}"#, kind("deployments", group: "apps"))
    #expect(recreate["spec"]["strategy"] == ["type": "Recreate"])
    let set = try defaulted(Manifests.statefulSet, kind("statefulsets", group: "apps"))["spec"]
    #expect(set["updateStrategy"] == ["type": "RollingUpdate", "rollingUpdate": ["partition": 0]])
    #expect(set["persistentVolumeClaimRetentionPolicy"] == ["whenDeleted": "Retain", "whenScaled": "Retain"])
    #expect(set["volumeClaimTemplates"][0]["kind"] == "PersistentVolumeClaim")
    #expect(set["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem")
    #expect(set["volumeClaimTemplates"][0]["status"]["phase"] == "Pending")
    let daemon = try defaulted(#"{"spec":{}}"#, kind("daemonsets", group: "apps"))["spec"]
    #expect(daemon["updateStrategy"] == ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": 1, "maxSurge": 0]])
    let job = try defaulted(
      #"{"spec":{"template":{"metadata":{"labels":{"a":"b"}}},"backoffLimitPerIndex":1}}"#, kind("jobs", group: "batch"))
    #expect(job["spec"]["completions"] == 1 && job["spec"]["parallelism"] == 1 && job["spec"]["backoffLimit"] == 2_147_483_647)
    #expect(job["metadata"]["labels"] == ["a": "b"] && job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed")
    let controller = try defaulted(#"{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}"#, kind("replicationcontrollers"))
    #expect(
      controller["spec"]["selector"] == ["a": "b"] && controller["metadata"]["labels"] == ["a": "b"]
        && controller["spec"]["replicas"] == 1)
  }

  @Test("services by type")
  func services() throws {
    let balanced = try defaulted(Manifests.service, kind("services"))["spec"]
    #expect(balanced["ports"][0]["targetPort"] == "http" && balanced["ports"][1]["targetPort"] == 9090)
    #expect(balanced["sessionAffinityConfig"] == ["clientIP": ["timeoutSeconds": 10800]])
    #expect(balanced["externalTrafficPolicy"] == "Cluster" && balanced["allocateLoadBalancerNodePorts"] == true)
    let plain = try defaulted(
      #"{"spec":{"sessionAffinity":"None","sessionAffinityConfig":{},"ports":[{"port":80}]}}"#, kind("services"))["spec"]
    #expect(plain["type"] == "ClusterIP" && plain["internalTrafficPolicy"] == "Cluster" && plain["externalTrafficPolicy"].isNull)
    #expect(plain["sessionAffinityConfig"].isNull)
    let external = try defaulted(#"{"spec":{"type":"ExternalName","externalName":"x"}}"#, kind("services"))["spec"]
    #expect(external["internalTrafficPolicy"].isNull)
  }

  @Test("the other rules: namespaces, nodes, limits, policies, roles, autoscalers, definitions, taints")
  func rules() throws {
    let namespace = try defaulted(#"{"metadata":{"name":"n"}}"#, kind("namespaces"))
    #expect(namespace["metadata"]["labels"] == ["kubernetes.io/metadata.name": "n"] && namespace["status"]["phase"] == "Active")
    let node = try defaulted(#"{"status":{"capacity":{"cpu":"4"}}}"#, kind("nodes"))
    #expect(node["status"]["allocatable"] == ["cpu": "4"])
    let limits = try defaulted(
      #"{"spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"}}]}}"#, kind("limitranges"))
    #expect(limits["spec"]["limits"][0]["default"] == ["cpu": "2"])
    #expect(limits["spec"]["limits"][0]["defaultRequest"] == ["cpu": "2", "memory": "1Mi"])
    let policy = try defaulted(
      #"{"spec":{"egress":[{"ports":[{"port":53}]}]}}"#, kind("networkpolicies", group: "networking.k8s.io"))
    #expect(policy["spec"]["policyTypes"] == ["Ingress", "Egress"] && policy["spec"]["egress"][0]["ports"][0]["protocol"] == "TCP")
    let binding = try defaulted(
      #"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"},{"kind":"ServiceAccount","name":"s"}]}"#,
      kind("rolebindings", group: "rbac.authorization.k8s.io"))
    #expect(binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io" && binding["subjects"][1]["apiGroup"].isNull)
    #expect(binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io")
    let autoscaler = try defaulted(
      #"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":10}}}}"#,
      kind("horizontalpodautoscalers", group: "autoscaling", version: "v2"))["spec"]
    #expect(autoscaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 80)
    #expect(
      autoscaler["behavior"]["scaleUp"]["policies"].array?.count == 2
        && autoscaler["behavior"]["scaleDown"]["selectPolicy"] == "Max")
    let definition = try defaulted(Manifests.definition, kind("customresourcedefinitions", group: "apiextensions.k8s.io"))
    #expect(definition["spec"]["names"]["listKind"] == "CronList" && definition["spec"]["names"]["singular"] == "cron")
    #expect(definition["spec"]["conversion"] == ["strategy": "None"] && definition["status"]["storedVersions"] == ["v1"])
    let slice = try defaulted(
      #"{"spec":{"devices":[{"name":"d","taints":[{"key":"k","effect":"NoSchedule"}]}]}}"#,
      kind("resourceslices", group: "resource.k8s.io"),
      now: Timestamp(seconds: 0))
    #expect(slice["spec"]["devices"][0]["taints"][0]["timeAdded"] == "1970-01-01T00:00:00Z")
    let policyRule = try defaulted(Manifests.webhook, kind("validatingadmissionpolicies", group: "admissionregistration.k8s.io"))[
      "spec"]
    #expect(policyRule["matchConstraints"]["resourceRules"][0]["scope"] == "*" && policyRule["failurePolicy"] == "Fail")
  }

  @Test("structs that Go always has are made, as ownership sees them")
  func made() throws {
    let deployment = try defaulted(Manifests.deployment, kind("deployments", group: "apps"))
    #expect(deployment["spec"]["template"]["spec"]["containers"][0]["resources"].object?.isEmpty == true)
    #expect(deployment["status"].isNull)
  }
}
