import Schema
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Errors as kube-apiserver words them, and no error where it gives none.
@Suite struct ValidationTests {
  let table = SchemaTable.builtin

  func object(_ yaml: String) throws -> (value: Value, kind: ResourceKind) {
    let document = try YAML.decode(Array(yaml.utf8))
    let apiVersion = document.value["apiVersion"].string ?? ""
    let parts = apiVersion.split(separator: "/").map(String.init)
    let kind = try #require(
      table.kind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: document.value["kind"].string ?? ""))
    var value = try table.decode(Array(yaml.utf8), encoding: .yaml, type: kind.type).value
    if kind.isNamespaced, value["metadata"]["namespace"].isNull { value["metadata"]["namespace"] = "default" }
    table.applyDefaults(&value, kind: kind)
    return (value, kind)
  }

  func errors(_ yaml: String) throws -> [String] {
    let (value, kind) = try object(yaml)
    return table.validate(value, old: nil, kind: kind, operation: .create).map(\.description)
  }

  func errors(from old: String, to new: String, _ operation: ValidationOperation = .update) throws -> [String] {
    var (before, kind) = try object(old)
    var (after, _) = try object(new)
    for key in ["resourceVersion", "uid", "creationTimestamp"] {
      before["metadata"][key] = "1"
      after["metadata"][key] = "1"
    }
    return table.validate(after, old: before, kind: kind, operation: operation).map(\.description)
  }

  static let deployment = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
          - {name: web, image: nginx, ports: [{containerPort: 80, name: http}], resources: {requests: {cpu: 100m}, limits: {cpu: "1", memory: 64Mi}}}
          volumes: [{name: data, emptyDir: {}}]
    """
  static let pod = """
    apiVersion: v1
    kind: Pod
    metadata: {name: p, labels: {a: b}}
    spec:
      containers:
      - name: c
        image: nginx
        env: [{name: A, value: b}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        volumeMounts: [{name: data, mountPath: /data}]
        livenessProbe: {httpGet: {path: /, port: 80}}
      volumes: [{name: data, configMap: {name: x}}]
    """
  static let service = """
    apiVersion: v1
    kind: Service
    metadata: {name: s}
    spec: {selector: {a: b}, ports: [{port: 80, targetPort: http}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}
    """

  @Test("what is fine passes", arguments: [deployment, pod, service] + Fixtures.fine)
  func fine(yaml: String) throws {
    let found = try errors(yaml)
    #expect(found == [], "\(found)")
  }

  @Test(
    "errors in upstream's words",
    arguments: [
      (
        deployment.replacing("replicas: 2", with: "replicas: -1"),
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
      ),
      (
        deployment.replacing("labels: {app: web}", with: "labels: {app: other}"),
        #"spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`"#
      ),
      (
        deployment.replacing("name: web}", with: "name: Web}"),
        #"metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
      ),
      (deployment.replacing("image: nginx, ", with: ""), "spec.template.spec.containers[0].image: Required value"),
      (
        deployment.replacing("cpu: 100m", with: "cpu: 2"),
        #"spec.template.spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#
      ),
      (
        deployment.replacing("containerPort: 80", with: "containerPort: 80000"),
        "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 80000: must be between 1 and 65535, inclusive"
      ),
      (
        pod.replacing("volumes: [{name: data", with: "volumes: [{name: other"),
        #"spec.containers[0].volumeMounts[0].name: Not found: "data""#
      ),
      (pod.replacing("env: [{name: A", with: "env: [{name: ''"), "spec.containers[0].env[0].name: Required value"),
      (
        pod.replacing("spec:", with: "spec:\n  restartPolicy: Sometimes"),
        #"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#
      ),
      (
        service.replacing("port: 80", with: "port: 0"),
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"
      ),
      (
        service.replacing("name: s}", with: "name: 1s}"),
        #"metadata.name: Invalid value: "1s": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#
      ),
      (
        service.replacing("selector: {a: b}", with: "selector: {a: b}, type: Bogus"),
        #"spec.type: Unsupported value: "Bogus": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#
      ),
      (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {'a/b': x}",
        #"data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#
      ),
      (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {a: '-'}}",
        #"metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#
      ),
      ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}", "metadata.name: Required value: name or generateName is required"),
    ])
  func refused(yaml: String, error: String) throws {
    let found = try errors(yaml)
    #expect(found.contains(error), "\(found)")
  }

  @Test("updates: what is immutable stays")
  func updates() throws {
    #expect(try errors(from: Self.deployment, to: Self.deployment) == [])
    #expect(try errors(from: Self.pod, to: Self.pod) == [])
    #expect(try errors(from: Self.service, to: Self.service) == [])
    let selector = try errors(
      from: Self.deployment,
      to: Self.deployment.replacing("{app: web}", with: "{app: w2}"))
    #expect(
      selector.contains { $0.hasPrefix("spec.selector: Invalid value: ") && $0.hasSuffix(": field is immutable") }, "\(selector)")
    let image = try errors(
      from: Self.pod.replacing("image: nginx", with: "image: \"nginx:1\""),
      to: Self.pod.replacing("image: nginx", with: "image: \"nginx:2\""))
    #expect(image == [], "\(image)")
    let pod = try errors(from: Self.pod, to: Self.pod.replacing("mountPath: /data", with: "mountPath: /d2"))
    #expect(pod.contains { $0.hasPrefix("spec: Forbidden: pod updates may not change fields other than") }, "\(pod)")
    let service = try errors(from: Self.service, to: Self.service.replacing("10.0.0.1", with: "10.0.0.2"))
    #expect(service.contains { $0.contains("may not change once set") }, "\(service)")
  }

  @Test("manifests of others pass", .enabled(if: getenv("GANTRY_MANIFESTS") != nil))
  func corpus() throws {
    let directory = String(cString: getenv("GANTRY_MANIFESTS"))
    let handle = try #require(opendir(directory))
    defer { closedir(handle) }
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard name.hasSuffix(".yaml"), let file = fopen("\(directory)/\(name)", "r") else { continue }
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      bytes.removeSubrange(fread(&bytes, 1, bytes.count, file)...)
      fclose(file)
      for document in (try? YAML.documents(bytes)) ?? [] {
        let parts = (document.value["apiVersion"].string ?? "").split(separator: "/").map(String.init)
        guard
          let kind = table.kind(
            group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: document.value["kind"].string ?? "")
        else { continue }
        guard var value = try? table.decode(document.value.jsonBytes, encoding: .json, type: kind.type).value else { continue }
        if kind.isNamespaced, value["metadata"]["namespace"].isNull { value["metadata"]["namespace"] = "default" }
        table.applyDefaults(&value, kind: kind)
        let errors = table.validate(value, old: nil, kind: kind, operation: .create)
        if !errors.isEmpty { print("REFUSED \(name) \(kind.kind): \(errors.map(\.description))") }
        var stored = value
        stored["metadata"]["resourceVersion"] = "1"
        let again = table.validate(stored, old: stored, kind: kind, operation: .update)
        if errors.isEmpty, !again.isEmpty { print("UPDATE \(name) \(kind.kind): \(again.map(\.description))") }
      }
    }
  }

  @Test("no more rules are left out than are known to be")
  func gaps() {
    let gaps = SchemaTable.unenforcedRules
    if getenv("GANTRY_GAPS") != nil { for gap in gaps { print("GAP \(gap)") } }
    #expect(gaps.count <= 7, "\(gaps)")
    #expect(SchemaTable.openFormats == [], "formats of strings that pass everything")
    #expect(SchemaTable.strayRules == [], "code that no row of the table asks for, or that stands twice")
  }
}

enum Fixtures {
  static let fine = [
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\nspec: {finalizers: [kubernetes]}",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b, c.d: e}",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\ntype: Opaque\ndata: {a: YQ==}",
    "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: c}",
    "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {kubernetes.io/hostname: n1}}\nspec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24], taints: [{key: a, value: b, effect: NoSchedule}]}",
    "apiVersion: v1\nkind: Service\nmetadata: {name: h}\nspec: {clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, selector: {a: b}, ports: [{port: 80}]}",
    "apiVersion: v1\nkind: Service\nmetadata: {name: e}\nspec: {type: ExternalName, externalName: example.com}",
    "apiVersion: v1\nkind: Service\nmetadata: {name: np}\nspec: {type: NodePort, clusterIP: 10.0.0.9, clusterIPs: [10.0.0.9], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80, nodePort: 30080}]}",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:x'}\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}, {nonResourceURLs: ['/healthz', '/logs/*'], verbs: [get]}]",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: x}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: x}\nsubjects: [{kind: Group, name: 'system:masters', apiGroup: rbac.authorization.k8s.io}, {kind: ServiceAccount, name: d, namespace: x}]",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: [{apiGroups: [''], resources: [pods], verbs: ['*']}]",
    "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {holderIdentity: a, leaseDurationSeconds: 40, renewTime: '2026-01-01T00:00:00.000000Z'}",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-abc, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nendpoints: [{addresses: [10.1.0.2], conditions: {ready: true, serving: true, terminating: false}, nodeName: n, targetRef: {kind: Pod, name: p, namespace: default, uid: u}}]\nports: [{name: http, port: 80, protocol: TCP}]",
    "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {selector: {matchLabels: {a: b}}, manualSelector: true, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cj}\nspec: {schedule: '*/5 * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: i}]}}}}}",
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: st}\nspec: {serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, volumeMounts: [{name: d, mountPath: /d}]}]}}, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}",
    "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: ds}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: c, image: i, ports: [{containerPort: 9100, hostPort: 9100}], securityContext: {privileged: true}}], volumes: [{name: h, hostPath: {path: /, type: Directory}}]}}}",
    "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: u, controller: true, blockOwnerDeletion: true}]}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {ingressClassName: x, tls: [{hosts: [a.b], secretName: s}], rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {a: b}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, protocol: TCP}]}]}",
    "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
    "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\nspec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}, persistentVolumeReclaimPolicy: Retain}",
    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 5, minReplicas: 1, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}",
    "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {minAvailable: 50%, selector: {matchLabels: {a: b}}}",
    "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: s}\nprovisioner: gantry.dev/local",
    "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: p}\nvalue: 1000",
    "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: 10, requests.cpu: 4, count/deployments.apps: 3}}",
    "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: [{type: Container, default: {cpu: 1}, defaultRequest: {cpu: 100m}}]}",
    "apiVersion: v1\nkind: Event\nmetadata: {name: p.1, namespace: default}\ninvolvedObject: {kind: Pod, name: p, namespace: default}\nreason: Started\ntype: Normal",
    "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: p.1}\nregarding: {kind: Pod, name: p, namespace: default}\nreason: Started\ntype: Normal\naction: Starting\neventTime: '2026-01-01T00:00:00.000000Z'\nreportingController: gantry.dev/agent\nreportingInstance: n1",
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: foos.ex.com}\nspec: {group: ex.com, scope: Namespaced, names: {plural: foos, kind: Foo}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\nstatus: {storedVersions: [v1]}",
    "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: w}\nwebhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://x/y'}, rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]}]",
    "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: c}\nspec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K}",
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: ic}\nspec: {controller: example.com/x}",
    "apiVersion: authorization.k8s.io/v1\nkind: SelfSubjectAccessReview\nmetadata: {}\nspec: {resourceAttributes: {verb: get, resource: pods}}",
    "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc}\nspec: {replicas: 1, selector: {a: b}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
    "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: cr}\nrevision: 1\ndata: {a: 1}",
  ]
}
