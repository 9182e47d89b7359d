import Schema
import Testing
import Wire

let table = SchemaTable.builtin

func kind(_ resource: String, group: String = "", version: String = "v1") throws -> ResourceKind {
  try #require(table.resource(GroupVersionResource(group: group, version: version, resource: resource)))
}

func decode(_ json: String, _ kind: ResourceKind) throws -> Decoded {
  try table.decode(Array(json.utf8), encoding: .json, type: kind.type)
}

/// Decoded, defaulted, emitted.
func canonical(_ json: String, _ kind: ResourceKind) throws -> String {
  var decoded = try decode(json, kind)
  table.applyDefaults(&decoded.value, kind: kind)
  return text(table.encode(decoded.value, type: kind.type))
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// A generator whose seed replays a failure.
struct Random {
  var state: UInt64
  init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 | 1 }

  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % max(1, bound)
  }
}

/// Objects as people write them, by resource.
enum Manifests {
  static let pod = #"""
    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-7d4b9c","namespace":"shop","uid":"6c84fb90-12c4-11e1-840d-7b25c5ee775a","creationTimestamp":"2026-11-25T08:13:23+01:00","labels":{"app":"web","pod-template-hash":"7d4b9c","tier":"front"},"annotations":{"note":"a \"quoted\" line\nand another","zeta":"1","alpha":"2"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"1","controller":true,"blockOwnerDeletion":true}],"managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"v1","time":"2026-11-25T07:13:23Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}}]},
    "spec":{"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data"}},{"name":"config","configMap":{"name":"web","items":[{"key":"a","path":"b","mode":256}]}},{"name":"scratch"},{"name":"token","projected":{"sources":[{"serviceAccountToken":{"path":"token"}},{"downwardAPI":{"items":[{"path":"labels","fieldRef":{"fieldPath":"metadata.labels"}},{"path":"cpu","resourceFieldRef":{"containerName":"web","resource":"limits.cpu"}}]}}]}},{"name":"host","hostPath":{"path":"/var"}},{"name":"secret","secret":{"secretName":"s","defaultMode":0}}],
    "initContainers":[{"name":"init","image":"registry.example:5000/busybox","command":["sh","-c","true"]},{"name":"sidecar","image":"proxy@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","restartPolicy":"Always"}],
    "containers":[{"name":"web","image":"nginx:1.27","args":["-g","daemon off;"],"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"},{"containerPort":9090}],"envFrom":[{"configMapRef":{"name":"web"}}],"env":[{"name":"A","value":"1"},{"name":"EMPTY","value":""},{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"S","valueFrom":{"secretKeyRef":{"name":"s","key":"k","optional":false}}}],"resources":{"limits":{"cpu":"1500m","memory":"1024Mi"},"requests":{"cpu":0.5}},"volumeMounts":[{"name":"data","mountPath":"/data"},{"name":"config","mountPath":"/etc/web","readOnly":true}],
    "livenessProbe":{"httpGet":{"path":"/healthz","port":"http","httpHeaders":[{"name":"X","value":"y"}]},"initialDelaySeconds":3},"readinessProbe":{"tcpSocket":{"port":8080},"periodSeconds":5},"startupProbe":{"exec":{"command":["true"]},"failureThreshold":30},"lifecycle":{"preStop":{"exec":{"command":["sleep","5"]}}},"securityContext":{"runAsUser":0,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}},{"name":"log","image":"busybox:latest","stdin":true,"tty":true}],
    "nodeSelector":{"disk":"ssd"},"serviceAccountName":"web","affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"labelSelector":{"matchExpressions":[{"key":"app","operator":"In","values":["web"]}]},"topologyKey":"kubernetes.io/hostname"}}]},"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"Exists"}]}]}}},"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}],"securityContext":{"fsGroup":2000,"sysctls":[{"name":"net.core.somaxconn","value":"1024"}]},"hostAliases":[{"ip":"10.0.0.1","hostnames":["a","b"]}],"priority":0,"hostNetwork":false,"terminationGracePeriodSeconds":0},
    "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-25T07:14:00Z"}],"hostIP":"10.0.0.2","podIP":"10.1.0.3","podIPs":[{"ip":"10.1.0.3"}],"startTime":"2026-11-25T07:13:23Z","containerStatuses":[{"name":"web","state":{"running":{"startedAt":"2026-11-25T07:13:59Z"}},"lastState":{},"ready":true,"restartCount":0,"image":"nginx:1.27","imageID":"sha256:1","containerID":"containerd://1","started":true}],"qosClass":"Burstable"}}
    """#

  static let deployment =
    #"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":0,"selector":{"matchLabels":{"app":"web"}},"minReadySeconds":0,"strategy":{"rollingUpdate":{"maxSurge":"50%"}},"template":{"metadata":{"labels":{"app":"web"},"creationTimestamp":null},"spec":{"containers":[{"name":"web","image":"nginx","ports":[{"containerPort":80}]}]}}}}"#

  static let service =
    #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"LoadBalancer","ports":[{"name":"http","port":80,"targetPort":"http"},{"name":"metrics","port":9090}],"selector":{"app":"web"},"sessionAffinity":"ClientIP"}}"#

  static let secret =
    #"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"z":"AA==","a":"aGVsbG8=\n"},"stringData":{"b":"c"}}"#

  static let definition =
    #"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"crons.stable.example.com"},"spec":{"group":"stable.example.com","names":{"plural":"crons","kind":"Cron"},"scope":"Namespaced","versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"array","items":{"type":"string","default":"x","enum":["x",1,null]}},"n":{"type":"number","minimum":0.5,"exclusiveMinimum":true}}},"free":{"type":"object","additionalProperties":{"type":"string"},"x-kubernetes-preserve-unknown-fields":true}}}}}]}}"#

  static let webhook =
    #"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"p"},"spec":{"matchConstraints":{"resourceRules":[{"resourceNames":["n"],"apiGroups":["apps"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["deployments"]}]},"validations":[{"expression":"true"}]}}"#

  static let statefulSet =
    #"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"},"spec":{"serviceName":"db","selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"db","image":"db:1"}]}},"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1024Mi"}}}}]}}"#

  static let review =
    #"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{},"spec":{"user":"u","groups":["g"],"extra":{"k":["a","b"],"empty":[]},"resourceAttributes":{"verb":"get","resource":"pods"}}}"#

  static let all: [(group: String, resource: String, json: String)] = [
    ("", "pods", pod), ("apps", "deployments", deployment), ("", "services", service), ("", "secrets", secret),
    ("apiextensions.k8s.io", "customresourcedefinitions", definition),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", webhook), ("apps", "statefulsets", statefulSet),
    ("authorization.k8s.io", "subjectaccessreviews", review),
  ]
}
