import Schema
import Testing

/// Quotas, ranges, storage, services, requests, nodes, policies.
@Suite struct ConfigurationRuleTests {
  static let range = """
    apiVersion: v1
    kind: LimitRange
    metadata: {name: l}
    spec: {limits: [{type: Container, min: {cpu: 100m}, max: {cpu: 1}, default: {cpu: 500m}, defaultRequest: {cpu: 200m}, maxLimitRequestRatio: {cpu: 4}}]}
    """
  static let quota = """
    apiVersion: v1
    kind: ResourceQuota
    metadata: {name: q}
    spec: {hard: {pods: 10}, scopes: [BestEffort]}
    """
  static let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/basic-auth\ndata: {username: YQ==}"
  static let service = """
    apiVersion: v1
    kind: Service
    metadata: {name: s, annotations: {note: x}}
    spec: {type: LoadBalancer, ports: [{port: 80}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster}
    """
  static let slice = """
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: s}
    addressType: IPv4
    endpoints: [{addresses: [10.0.0.1]}]
    """
  static let policy = """
    apiVersion: admissionregistration.k8s.io/v1
    kind: ValidatingWebhookConfiguration
    metadata: {name: w}
    webhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://x/y'}, rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods, pods/status], operations: [CREATE]}]}]
    """
  static let flow = """
    apiVersion: flowcontrol.apiserver.k8s.io/v1
    kind: PriorityLevelConfiguration
    metadata: {name: p}
    spec: {type: Limited, limited: {nominalConcurrencyShares: 5, limitResponse: {type: Queue, queuing: {queues: 64, handSize: 6, queueLengthLimit: 50}}}}
    """
  static let request = """
    apiVersion: certificates.k8s.io/v1
    kind: CertificateSigningRequest
    metadata: {name: c}
    spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K}
    """
  static let disk = """
    apiVersion: v1
    kind: PersistentVolume
    metadata: {name: v}
    spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], azureDisk: {diskName: d, diskURI: 'https://a/b', kind: Dedicated}}
    """

  static let creates: [RuleCase] = [
    RuleCase(
      range, "maxLimitRequestRatio: {cpu: 4}", "maxLimitRequestRatio: {cpu: 500m}",
      #"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1"#),
    RuleCase(
      range, "maxLimitRequestRatio: {cpu: 4}", "maxLimitRequestRatio: {cpu: 11}",
      #"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "11": ratio 11 is greater than max/min = 10.000000"#),
    RuleCase(
      range, "min: {cpu: 100m}", "min: {cpu: 2}",
      #"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
      #"spec.limits[0].defaultRequest[cpu]: Invalid value: "2": min value 2 is greater than default request value 200m"#,
      #"spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 500m"#,
      #"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 0.500000"#),
    RuleCase(
      range, "default: {cpu: 500m}, defaultRequest: {cpu: 200m}",
      "default: {cpu: 500m, example.com/gpu: 2}, defaultRequest: {cpu: 200m, example.com/gpu: 1}",
      #"spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu"#
    ),
    RuleCase(
      range,
      "{type: Container, min: {cpu: 100m}, max: {cpu: 1}, default: {cpu: 500m}, defaultRequest: {cpu: 200m}, maxLimitRequestRatio: {cpu: 4}}",
      "{type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 10Gi}}"),
    RuleCase(
      range, "min: {cpu: 100m}", "min: {storage: 1Gi}",
      #"spec.limits[0].min[storage]: Invalid value: "storage": must be a standard resource for containers"#,
      #"spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard resource for containers"#),
    RuleCase(
      quota, "{pods: 10}, scopes: [BestEffort]", "{foo: 10}",
      #"spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified"#,
      #"spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota"#),
    RuleCase(quota, "scopes: [BestEffort]", "scopes: [NotBestEffort]"),
    RuleCase(
      secret, "kubernetes.io/basic-auth\ndata: {username: YQ==}", "kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: eA==}",
      #"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character 'x' looking for beginning of value"#
    ),
    RuleCase(
      secret, "kubernetes.io/basic-auth\ndata: {username: YQ==}", "kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: e30=}"),
    RuleCase(
      quota, "{pods: 10}", "{cpu: 1}", #"spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource"#),
    RuleCase(quota, "{pods: 10}, scopes: [BestEffort]", "{cpu: 1, count/jobs.batch: 3}, scopes: [NotTerminating]"),
    RuleCase(
      quota, "scopes: [BestEffort]", "scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}"
    ),
    RuleCase(
      quota, "{pods: 10}, scopes: [BestEffort]",
      "{configmaps: 10}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}",
      #"spec.scopeSelector.matchExpressions: Invalid value: [{"scopeName":"PriorityClass","operator":"In","values":["high"]}]: unsupported scope applied to resource"#
    ),
    RuleCase(
      secret, "data: {username: YQ==}", "data: {other: YQ==}", "data[username]: Required value", "data[password]: Required value"),
    RuleCase(secret, "username", "password"),
    RuleCase(
      secret, "kubernetes.io/basic-auth\ndata: {username: YQ==}", "kubernetes.io/tls", "data[tls.crt]: Required value",
      "data[tls.key]: Required value"),
    RuleCase(secret, "kubernetes.io/basic-auth\ndata: {username: YQ==}", "kubernetes.io/tls\ndata: {tls.crt: '', tls.key: ''}"),
    RuleCase(service, "{note: x}", "{service.beta.kubernetes.io/load-balancer-source-ranges: '10.0.0.0/8, 192.168.0.0/16'}"),
    RuleCase(
      service, "{note: x}", "{service.beta.kubernetes.io/load-balancer-source-ranges: '10.0.0.0'}",
      #"metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: "10.0.0.0": must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24 "#
    ),
    RuleCase(
      service, "{note: x}", "{service.kubernetes.io/topology-mode: Auto, service.kubernetes.io/topology-aware-hints: Disabled}",
      #"metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified"#
    ),
    RuleCase(
      slice, "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]", "addressType: IPv6\nendpoints: [{addresses: ['fd00::1']}]"),
    RuleCase(
      slice, "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]",
      "addressType: FQDN\nendpoints: [{addresses: [a.example.com]}]"),
    RuleCase(
      slice, "[10.0.0.1]", "['fd00::1']", #"endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address"#),
    RuleCase(slice, "[10.0.0.1]", "[]", "endpoints[0].addresses: Required value: must contain at least 1 address"),
    RuleCase(policy, "[pods, pods/status]", "['*', '*/scale']"),
    RuleCase(
      policy, "[pods, pods/status]", "['pods/*', pods/log]",
      #"webhooks[0].rules[0].resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log"#),
    RuleCase(
      policy, "[pods, pods/status]", "['*', pods]",
      #"webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#
    ),
    RuleCase(
      flow, "queues: 64, handSize: 6", "queues: 512, handSize: 8",
      "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60"
    ),
    RuleCase(
      flow, "metadata: {name: p}", "metadata: {name: exempt}",
      #"spec.type: Invalid value: "Limited": type must be 'Exempt' if and only if name is 'exempt'"#),
    RuleCase(request, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"),
    RuleCase(
      request,
      "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K", "LS0t",
      #"spec.request: Invalid value: "LS0t": PEM block type must be CERTIFICATE REQUEST"#),
    RuleCase(
      disk, "diskURI: 'https://a/b'", "diskURI: a",
      #"spec.azureDisk.diskURI: Unsupported value: "a": supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd""#
    ),
    RuleCase(
      disk, "diskURI: 'https://a/b', kind: Dedicated", "diskURI: a, kind: Managed",
      #"spec.azureDisk.diskURI: Unsupported value: "a": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}""#
    ),
    RuleCase(
      disk, "azureDisk: {diskName: d, diskURI: 'https://a/b', kind: Dedicated}",
      "iscsi: {targetPortal: 10.0.0.1, iqn: 'iqn.2000-01.com.example:a', lun: 0, initiatorName: 'iqn.2000-01.com.example:b'}"),
    RuleCase(
      disk, "azureDisk: {diskName: d, diskURI: 'https://a/b', kind: Dedicated}",
      "iscsi: {targetPortal: 10.0.0.1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, iqn: 'iqn.2000-01.com.example:a', lun: 0, initiatorName: 'iqn.2000-01.com.example:b'}",
      #"spec.iscsi.targetportal: Invalid value: "10.0.0.1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."#
    ),
  ]

  @Test("created", arguments: creates) func create(rule: RuleCase) throws { try rule.check() }

  @Test("reviews have no metadata of their own")
  func small() throws {
    let review =
      "apiVersion: authorization.k8s.io/v1\nkind: SelfSubjectAccessReview\nmetadata: {}\nspec: {resourceAttributes: {verb: get, resource: pods}}"
    #expect(try RuleCase.errors(review) == [])
    let found = try RuleCase.errors(review.replacing("metadata: {}", with: "metadata: {labels: {a: b}}"))
    #expect(found == [#"metadata: Invalid value: {"labels":{"a":"b"}}: must be empty"#])
  }

  @Test("addresses that break today's rules may be written back, and not added")
  func endpoints() throws {
    let old = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: e}\nsubsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: 80}]}]"
    #expect(try !RuleCase.errors(old).isEmpty)
    #expect(try RuleCase.errors(old.replacing("{name: e}", with: "{name: e, labels: {a: b}}"), over: old, .update) == [])
    #expect(try !RuleCase.errors(old.replacing("port: 80", with: "port: 81"), over: old, .update).isEmpty)
  }

  @Test("what was decided about a request for a certificate stays")
  func requests() throws {
    let open = Self.request + "\nstatus: {}"
    let approved = Self.request + "\nstatus: {conditions: [{type: Approved, status: 'True', reason: R}]}"
    let conditions = "status.conditions: Forbidden: updates may not"
    #expect(try RuleCase.errors(approved, over: open, .subresource("approval")) == [])
    #expect(try RuleCase.errors(approved, over: open, .status) == ["\(conditions) add a condition of type \"Approved\""])
    #expect(
      try RuleCase.errors(open, over: approved, .subresource("approval")) == [
        "\(conditions) remove a condition of type \"Approved\""
      ])
    let changed = try RuleCase.errors(approved.replacing("reason: R", with: "reason: S"), over: approved, .status)
    #expect(changed.count == 1 && changed[0].hasPrefix("\(conditions) modify a condition of type \"Approved\""))
    let odd = approved.replacing("status: 'True'", with: "status: 'False'")
    #expect(
      try RuleCase.errors(odd, over: odd, .subresource("approval"))
        == [#"status.conditions[0].status: Unsupported value: "False": supported values: "True""#])
    let certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
    let issued = approved.replacing("status: {", with: "status: {certificate: \(certificate), ")
    #expect(try RuleCase.errors(issued, over: approved, .status) == [])
    #expect(
      try RuleCase.errors(issued, over: approved, .subresource("approval"))
        == ["status.certificate: Forbidden: updates may not set certificate content"])
    let text = approved.replacing("status: {", with: "status: {certificate: LS0t, ")
    #expect(
      try RuleCase.errors(text, over: approved, .status)
        == [#"status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block"#])
    let again = issued.replacing("Ck1BQT0K", with: "Ck1BRUEK")
    #expect(
      try RuleCase.errors(again, over: issued, .status).contains(
        "status.certificate: Forbidden: updates may not modify existing certificate content"))
  }

  @Test("metadata: finalizers and owners are told of without an index")
  func metadata() throws {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, finalizers: [a/b]}"
    #expect(try RuleCase.errors(map) == [])
    let found = try RuleCase.errors(map.replacing("a/b", with: "a b"))
    #expect(
      found.count == 2 && found[0].hasPrefix("metadata.finalizers: Invalid value: \"a b\": name part must consist"), "\(found)")
    #expect(
      found.last
        == #"metadata.finalizers[0]: Invalid value: "a b": name is neither a standard finalizer name nor is it fully qualified"#)
    let owned = map.replacing("finalizers: [a/b]", with: "ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: ''}]")
    #expect(try RuleCase.errors(owned) == [#"metadata.ownerReferences.uid: Invalid value: "": must not be empty"#])
  }

  @Test("events of the newer group: strict where they are created")
  func events() throws {
    let event =
      "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: p.1}\nregarding: {kind: Pod, name: p, namespace: default}\nreason: R\ntype: Normal\naction: A\neventTime: '2026-01-01T00:00:00.000000Z'\nreportingController: example.com/c\nreportingInstance: i"
    #expect(try RuleCase.errors(event) == [])
    let series = try RuleCase.errors(event + "\nseries: {count: 1}")
    #expect(
      series == [#"series.count: Invalid value: "": should be at least 2"#, "series.lastObservedTime: Required value"], "\(series)")
    #expect(try RuleCase.errors(event + "\ndeprecatedCount: 1") == [#"count: Invalid value: "": needs to be unset"#])
    #expect(
      try RuleCase.errors(event.replacing("\ntype: Normal", with: "\ntype: x")) == [
        #"type: Invalid value: "": has invalid value: x"#
      ])
  }

  @Test("taints of nodes are shown where they once stood; overhead as that of pods")
  func oldPlaces() throws {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {taints: [{key: a, effect: NoSchedule}]}"
    #expect(try RuleCase.errors(node) == [])
    #expect(
      try RuleCase.errors(node.replacing("NoSchedule", with: "x"))
        == [#"metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#])
    let runtime =
      "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: r}\nhandler: h\noverhead: {podFixed: {cpu: 10m}}"
    #expect(try RuleCase.errors(runtime) == [])
    #expect(
      try RuleCase.errors(runtime.replacing("10m", with: "-1"))
        == [#"overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#])
  }

  @Test("what does not change: data of revisions, sizes of claims that are not bound")
  func immutable() throws {
    let revision = "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: r}\nrevision: 1\ndata: {a: 1}"
    #expect(
      try RuleCase.errors(revision.replacing("a: 1", with: "a: 2"), over: revision, .update)
        == [#"data: Invalid value: {"a":2}: field is immutable"#])
    #expect(try RuleCase.errors(revision.replacing("revision: 1", with: "revision: 2"), over: revision, .update) == [])
    let claim =
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}\nstatus: {phase: Pending}"
    let bigger = try RuleCase.errors(claim.replacing("2Gi", with: "3Gi"), over: claim, .update)
    #expect(bigger.count == 1 && bigger[0].hasPrefix("spec: Forbidden: spec is immutable after creation except"), "\(bigger)")
    let port =
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\nspec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}"
    #expect(try RuleCase.errors(port) == [])
    #expect(
      try RuleCase.errors(port.replacing("port: 80", with: "port: 0"))
        == ["spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"])
  }

  @Test("what a claim asks for, once it has it")
  func claims() throws {
    let claim =
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], volumeAttributesClassName: gold, volumeName: v, resources: {requests: {storage: 1Gi}}}\nstatus: {phase: Bound, currentVolumeAttributesClassName: gold, capacity: {storage: 1Gi}}"
    #expect(try RuleCase.errors(claim, over: claim, .update) == [])
    #expect(
      try RuleCase.errors(
        claim.replacing("AttributesClassName: gold, volumeName", with: "AttributesClassName: silver, volumeName"), over: claim,
        .update) == [])
    #expect(
      try RuleCase.errors(claim.replacing("volumeAttributesClassName: gold, ", with: ""), over: claim, .update) == [
        "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"
      ])
    #expect(try RuleCase.errors(claim.replacing("{storage: 1Gi}}}", with: "{storage: 2Gi}}}"), over: claim, .update) == [])
  }
}
