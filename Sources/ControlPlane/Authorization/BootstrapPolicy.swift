import Wire

/// The roles and bindings that every cluster has. Facts from upstream's bootstrap policy; each line is a rule.
enum BootstrapPolicy {
  private static let read = ["get", "list", "watch"]
  private static let write = ["create", "delete", "deletecollection", "patch", "update"]

  private static func rule(_ verbs: [String], _ group: String..., on resources: [String], names: [String] = []) -> Value {
    var value: Value = ["verbs": list(verbs), "apiGroups": list(group), "resources": list(resources)]
    if !names.isEmpty { value["resourceNames"] = list(names) }
    return value
  }

  private static func paths(_ verbs: [String], _ paths: [String]) -> Value {
    ["verbs": list(verbs), "nonResourceURLs": list(paths)]
  }
  private static func list(_ strings: [String]) -> Value { .array(strings.map { .string($0) }) }

  private static let events = [rule(["create", "patch", "update"], "", "events.k8s.io", on: ["events"])]

  private static let viewed: [(String, [String])] = [
    (
      "",
      [
        "bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "namespaces/status", "persistentvolumeclaims",
        "persistentvolumeclaims/status", "pods", "pods/log", "pods/status", "replicationcontrollers",
        "replicationcontrollers/scale",
        "replicationcontrollers/status", "resourcequotas", "resourcequotas/status", "serviceaccounts", "services",
        "services/status",
      ]
    ), ("discovery.k8s.io", ["endpointslices"]),
    (
      "apps",
      [
        "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status",
        "replicasets",
        "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale", "statefulsets/status",
      ]
    ), ("autoscaling", ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    ("networking.k8s.io", ["ingresses", "ingresses/status", "networkpolicies"]),
    ("events.k8s.io", ["events"]), ("resource.k8s.io", ["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"]),
  ]

  private static let edited: [(String, [String])] = [
    (
      "",
      [
        "configmaps", "events", "persistentvolumeclaims", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy",
        "replicationcontrollers", "replicationcontrollers/scale", "secrets", "serviceaccounts", "services", "services/proxy",
      ]
    ),
    (
      "apps",
      [
        "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
        "statefulsets", "statefulsets/scale",
      ]
    ), ("autoscaling", ["horizontalpodautoscalers"]), ("batch", ["cronjobs", "jobs"]), ("policy", ["poddisruptionbudgets"]),
    ("networking.k8s.io", ["ingresses", "networkpolicies"]), ("resource.k8s.io", ["resourceclaims", "resourceclaimtemplates"]),
    ("coordination.k8s.io", ["leases"]),
  ]

  /// Rules of each controller's own account in kube-system.
  private static let controllers: [(String, [Value])] = [
    (
      "certificate-controller",
      [
        rule(read + ["delete"], "certificates.k8s.io", on: ["certificatesigningrequests"]),
        rule(
          ["update"], "certificates.k8s.io",
          on: ["certificatesigningrequests/approval", "certificatesigningrequests/status"]),
        rule(["sign"], "certificates.k8s.io", on: ["signers"], names: ["kubernetes.io/kube-apiserver-client"]),
      ] + events
    ),
    (
      "deployment-controller",
      [
        rule(read + ["update", "patch"], "apps", on: ["deployments"]),
        rule(["update", "patch"], "apps", on: ["deployments/status", "deployments/finalizers"]),
        rule(read + ["create", "update", "patch", "delete"], "apps", on: ["replicasets"]),
        rule(read + ["update", "patch"], "", on: ["pods"]),
      ] + events
    ),
    (
      "replicaset-controller",
      [
        rule(read + ["update", "patch"], "apps", on: ["replicasets"]),
        rule(["update", "patch"], "apps", on: ["replicasets/status", "replicasets/finalizers"]),
        rule(read + ["create", "delete", "patch", "update"], "", on: ["pods"]),
      ] + events
    ),
    (
      "endpointslice-controller",
      [
        rule(read, "", on: ["nodes", "pods", "services"]), rule(["update"], "", on: ["services/finalizers"]),
        rule(read + ["create", "delete", "update", "patch"], "discovery.k8s.io", on: ["endpointslices"]),
      ] + events
    ),
    (
      "endpoint-controller",
      [
        rule(read, "", on: ["pods", "services"]), rule(read + ["create", "delete", "update", "patch"], "", on: ["endpoints"]),
        rule(["create"], "", on: ["endpoints/restricted"]),
      ] + events
    ),
    (
      "namespace-controller",
      [
        rule(read + ["create", "delete", "patch", "update"], "", on: ["namespaces"]),
        rule(["update", "patch"], "", on: ["namespaces/finalize", "namespaces/status"]),
        rule(["delete", "deletecollection", "get", "list", "patch", "update", "watch"], "*", on: ["*"]),
      ]
    ), ("generic-garbage-collector", [rule(["delete", "get", "list", "patch", "update", "watch"], "*", on: ["*"])] + events),
    (
      "pod-garbage-collector",
      [
        rule(read + ["delete"], "", on: ["pods"]), rule(["update", "patch"], "", on: ["pods/status"]),
        rule(read, "", on: ["nodes"]),
      ]
    ),
    (
      "node-controller",
      [
        rule(read + ["delete", "patch", "update"], "", on: ["nodes"]), rule(["patch", "update"], "", on: ["nodes/status"]),
        rule(read + ["delete", "patch"], "", on: ["pods"]), rule(["patch", "update"], "", on: ["pods/status"]),
        rule(["create"], "", on: ["pods/eviction"]),
        rule(read, "coordination.k8s.io", on: ["leases"]),
      ] + events
    ),
    (
      "service-account-controller",
      [rule(read, "", on: ["namespaces"]), rule(read + ["create", "patch", "update"], "", on: ["serviceaccounts"])] + events
    ),
    (
      "root-ca-cert-publisher",
      [rule(read, "", on: ["namespaces"]), rule(read + ["create", "update", "patch"], "", on: ["configmaps"])] + events
    ),
    (
      "taint-eviction-controller",
      [
        rule(read + ["delete"], "", on: ["pods"]), rule(["patch", "update"], "", on: ["pods/status"]),
        rule(read, "", on: ["nodes"]),
      ] + events
    ),
    ("node-ipam-controller", [rule(read + ["patch", "update"], "", on: ["nodes"])] + events),
    (
      "endpointslicemirroring-controller",
      [
        rule(read, "", on: ["endpoints", "services"]),
        rule(read + ["create", "delete", "patch", "update"], "discovery.k8s.io", on: ["endpointslices"]),
        rule(["create"], "discovery.k8s.io", on: ["endpointslices/restricted"]),
      ] + events
    ),
    (
      "disruption-controller",
      [
        rule(read, "", on: ["pods"]), rule(read, "apps", on: ["deployments", "replicasets"]),
        rule(read, "policy", on: ["poddisruptionbudgets"]),
        rule(["update", "patch"], "policy", on: ["poddisruptionbudgets/status"]),
      ] + events
    ),
    (
      "clusterrole-aggregation-controller",
      [rule(["escalate"] + read + ["patch", "update"], "rbac.authorization.k8s.io", on: ["clusterroles"])]
    ),
    (
      "resourcequota-controller",
      [rule(read, "*", on: ["*"]), rule(["patch", "update"], "", on: ["resourcequotas/status"])] + events
    ),
    (
      "kubernetes-service-controller",
      [
        rule(["create", "list", "watch"], "", on: ["endpoints", "services"]),
        rule(["create", "list", "watch"], "discovery.k8s.io", on: ["endpointslices"]),
        rule(["update"], "", on: ["endpoints", "services"], names: ["kubernetes"]),
        rule(["update"], "discovery.k8s.io", on: ["endpointslices"], names: ["kubernetes"]),
      ]
    ),
    (
      "authentication-publisher",
      [
        rule(["create"], "", on: ["configmaps"]),
        rule(["update"], "", on: ["configmaps"], names: ["extension-apiserver-authentication"]),
      ]
    ),
    (
      "tokens-controller",
      [
        rule(read + ["delete", "update"], "", on: ["secrets"]), rule(read, "", on: ["serviceaccounts"]),
      ] + events
    ),
    ("leader-election", [rule(read + ["create", "update", "patch"], "coordination.k8s.io", on: ["leases"])]),
  ]

  private static func role(_ name: String, _ rules: [Value], labels: [String: String] = [:], aggregates: String? = nil) -> Value {
    var object: Value = [
      "metadata": ["name": .string(name), "labels": ["kubernetes.io/bootstrapping": "rbac-defaults"]], "rules": .array(rules),
    ]
    object["metadata"]["annotations"] = ["rbac.authorization.kubernetes.io/autoupdate": "true"]
    for (key, value) in labels { object["metadata"]["labels"][key] = .string(value) }
    if let aggregates {
      object["aggregationRule"] = ["clusterRoleSelectors": [["matchLabels": [aggregates: "true"]]]]
      object.remove("rules")
    }
    return object
  }

  private static func aggregate(_ to: String) -> String { "rbac.authorization.k8s.io/aggregate-to-\(to)" }

  static var clusterRoles: [Value] {
    var roles = [
      role("cluster-admin", [rule(["*"], "*", on: ["*"]), paths(["*"], ["*"])]),
      role(
        "system:discovery",
        [
          paths(
            ["get"],
            [
              "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
              "/version/",
            ])
        ]),
      role(
        "system:basic-user",
        [
          rule(["create"], "authorization.k8s.io", on: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
          rule(["create"], "authentication.k8s.io", on: ["selfsubjectreviews"]),
        ]), role("system:public-info-viewer", [paths(["get"], ["/healthz", "/livez", "/readyz", "/version", "/version/"])]),
      role(
        "system:service-account-issuer-discovery",
        [
          paths(
            ["get"],
            ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"])
        ]),
      role(
        "system:monitoring",
        [paths(["get"], ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/*", "/readyz", "/readyz/*"])]),
      role(
        "system:auth-delegator",
        [
          rule(["create"], "authentication.k8s.io", on: ["tokenreviews"]),
          rule(["create"], "authorization.k8s.io", on: ["subjectaccessreviews"]),
        ]),
      role("admin", [], aggregates: aggregate("admin")),
      role("edit", [], labels: [aggregate("admin"): "true"], aggregates: aggregate("edit")),
      role("view", [], labels: [aggregate("edit"): "true"], aggregates: aggregate("view")),
      role(
        "system:aggregate-to-admin",
        [
          rule(["create"], "authorization.k8s.io", on: ["localsubjectaccessreviews"]),
          rule(read + write, "rbac.authorization.k8s.io", on: ["rolebindings", "roles"]),
        ], labels: [aggregate("admin"): "true"]),
      role(
        "system:aggregate-to-edit",
        edited.map { rule(write, $0.0, on: $0.1) } + [
          rule(read, "", on: ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
          rule(["impersonate"], "", on: ["serviceaccounts"]), rule(["create"], "", on: ["pods/eviction", "serviceaccounts/token"]),
          rule(read, "coordination.k8s.io", on: ["leases"]),
        ], labels: [aggregate("edit"): "true"]),
      role("system:aggregate-to-view", viewed.map { rule(read, $0.0, on: $0.1) }, labels: [aggregate("view"): "true"]),
      role(
        "system:kube-scheduler",
        [
          rule(["get", "create", "update", "patch", "list", "watch"], "coordination.k8s.io", on: ["leases"]),
          rule(read, "", on: ["nodes", "namespaces"]),
          rule(read + ["delete"], "", on: ["pods"]), rule(["create"], "", on: ["bindings", "pods/binding"]),
          rule(["patch", "update"], "", on: ["pods/status"]),
          rule(read, "", on: ["replicationcontrollers", "services", "persistentvolumeclaims", "persistentvolumes"]),
          rule(read, "apps", on: ["replicasets", "statefulsets"]), rule(read, "policy", on: ["poddisruptionbudgets"]),
          rule(read, "storage.k8s.io", on: ["csinodes", "storageclasses", "csidrivers", "csistoragecapacities"]),
          rule(read, "scheduling.k8s.io", on: ["priorityclasses"]),
        ] + events),
      role(
        "system:kube-controller-manager",
        [
          rule(["list", "watch"], "*", on: ["*"]),
          rule(["get", "create", "update", "patch"], "coordination.k8s.io", on: ["leases"]),
        ] + events),
      role("system:node", []),
      role(
        "system:node-proxier",
        [rule(read, "", on: ["services", "endpoints", "nodes"]), rule(read, "discovery.k8s.io", on: ["endpointslices"])] + events),
      role("gantry:image-puller", [paths(["get", "head"], ["/v2", "/v2/*"])]),
      role("gantry:image-pusher", [paths(["get", "head", "put", "post", "patch", "delete"], ["/v2", "/v2/*"])]),
    ]
    roles += controllers.map { role("system:controller:\($0.0)", $0.1) }
    return roles
  }

  private static func binding(_ name: String, to role: String, _ subjects: [Value]) -> Value {
    [
      "metadata": [
        "name": .string(name), "labels": ["kubernetes.io/bootstrapping": "rbac-defaults"],
        "annotations": ["rbac.authorization.kubernetes.io/autoupdate": "true"],
      ], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(role)],
      "subjects": .array(subjects),
    ]
  }

  /// In kube-system.
  static var roles: [Value] {
    var reader = role(
      "extension-apiserver-authentication-reader",
      [rule(read, "", on: ["configmaps"], names: ["extension-apiserver-authentication"])])
    reader["metadata"]["namespace"] = "kube-system"
    return [reader]
  }

  /// In kube-system.
  static var roleBindings: [Value] {
    var reader = binding(
      "system::extension-apiserver-authentication-reader", to: "extension-apiserver-authentication-reader",
      [user("system:kube-controller-manager"), user("system:kube-scheduler")])
    reader["metadata"]["namespace"] = "kube-system"
    reader["roleRef"]["kind"] = "Role"
    return [reader]
  }

  private static func group(_ name: String) -> Value {
    ["kind": "Group", "name": .string(name), "apiGroup": "rbac.authorization.k8s.io"]
  }
  private static func user(_ name: String) -> Value {
    ["kind": "User", "name": .string(name), "apiGroup": "rbac.authorization.k8s.io"]
  }

  static var clusterRoleBindings: [Value] {
    [
      binding("cluster-admin", to: "cluster-admin", [group("system:masters")]),
      binding("system:discovery", to: "system:discovery", [group("system:authenticated")]),
      binding("system:basic-user", to: "system:basic-user", [group("system:authenticated")]),
      binding(
        "system:public-info-viewer", to: "system:public-info-viewer",
        [group("system:authenticated"), group("system:unauthenticated")]),
      binding(
        "system:service-account-issuer-discovery", to: "system:service-account-issuer-discovery", [group("system:serviceaccounts")]),
      binding("system:monitoring", to: "system:monitoring", [group("system:monitoring")]),
      binding("gantry:image-puller", to: "gantry:image-puller", [group("system:nodes")]),
      binding("system:kube-controller-manager", to: "system:kube-controller-manager", [user("system:kube-controller-manager")]),
      binding("system:kube-scheduler", to: "system:kube-scheduler", [user("system:kube-scheduler")]),
    ]
      + controllers.map { name, _ in
        binding(
          "system:controller:\(name)", to: "system:controller:\(name)",
          [["kind": "ServiceAccount", "name": .string(name), "namespace": "kube-system"]])
      }
  }
}
