import Schema
import Testing

/// Deployments, jobs and their kin; what autoscales and limits them.
@Suite struct WorkloadRuleTests {
  static let deployment = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}, annotations: {note: x}}
        spec: {containers: [{name: c, image: nginx}]}
    """
  static let job = """
    apiVersion: batch/v1
    kind: Job
    metadata: {name: j}
    spec:
      completions: 5
      completionMode: Indexed
      backoffLimitPerIndex: 1
      suspend: true
      manualSelector: true
      selector: {matchLabels: {a: b}}
      template:
        metadata: {labels: {a: b}}
        spec: {restartPolicy: Never, containers: [{name: c, image: i}]}
    """
  static let hpa = """
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: h}
    spec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}
    """

  static let creates: [RuleCase] = [
    RuleCase(
      deployment, "  selector:", "  strategy: {rollingUpdate: {maxSurge: '9223372036854775807%'}}\n  selector:",
      #"spec.strategy.rollingUpdate.maxSurge: Invalid value: "9223372036854775807%": must be less than 2147483647%"#),
    RuleCase(
      deployment, "  selector:", "  strategy: {rollingUpdate: {maxUnavailable: '99999999999999999999%'}}\n  selector:",
      #"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "99999999999999999999%": must not be greater than 100%"#),
    RuleCase(deployment, "  selector:", "  strategy: {rollingUpdate: {maxSurge: '250%'}}\n  selector:"),
    // One cause where the policy is missing or Always, another where it is none at all.
    RuleCase(
      job, "restartPolicy: Never, ", "",
      #"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#),
    RuleCase(
      job, "restartPolicy: Never", "restartPolicy: Always",
      #"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#),
    RuleCase(job, "restartPolicy: Never", "restartPolicy: OnFailure"),
    RuleCase(job, "backoffLimitPerIndex: 1", "successPolicy: {rules: [{succeededIndexes: '0,2-3', succeededCount: 2}]}"),
    RuleCase(
      job, "backoffLimitPerIndex: 1", "successPolicy: {rules: [{succeededIndexes: '0,2-5'}]}",
      #"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,2-5": error parsing succeededIndexes: too large index: "5""#
    ),
    RuleCase(
      job, "backoffLimitPerIndex: 1", "successPolicy: {rules: [{succeededIndexes: '2,1'}]}",
      #"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2,1": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1"#
    ),
    RuleCase(
      job, "backoffLimitPerIndex: 1", "successPolicy: {rules: [{succeededIndexes: '1-2-3'}]}",
      #"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'"#
    ),
    RuleCase(
      job, "backoffLimitPerIndex: 1", "successPolicy: {rules: [{succeededIndexes: '0-2', succeededCount: 4}]}",
      "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)"
    ),
    RuleCase(
      job, "backoffLimitPerIndex: 1",
      "podReplacementPolicy: TerminatingOrFailed\n  podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [1]}}]}",
      #"spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed""#),
    // Annotations and fields of templates.
    RuleCase(
      deployment,
      [
        ("{note: x}", "{container.apparmor.security.beta.kubernetes.io/c: unconfined}"),
        ("image: nginx", "image: nginx, securityContext: {appArmorProfile: {type: RuntimeDefault}}"),
      ],
      "spec.template.spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"
    ),
    RuleCase(
      deployment,
      [
        ("{note: x}", "{container.apparmor.security.beta.kubernetes.io/c: localhost/a}"),
        ("image: nginx", "image: nginx, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: a}}"),
      ]),
    // Ports of the host in a template: only where they are written.
    RuleCase(
      deployment, "containers: [{name: c, image: nginx}]",
      "hostNetwork: true, containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]"),
    // Selectors: none selects nothing, an empty one is refused.
    RuleCase(
      deployment, "  selector: {matchLabels: {app: web}}\n", "",
      "spec.selector: Required value",
      #"spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#),
    RuleCase(
      deployment, "selector: {matchLabels: {app: web}}", "selector: {}",
      "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    RuleCase(
      deployment, "labels: {app: web}, ", "",
      #"spec.template.metadata.labels: Invalid value: "null": `selector` does not match template `labels`"#),
    RuleCase(
      deployment, "  selector:", "  progressDeadlineSeconds: 0\n  selector:",
      "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
    RuleCase(
      deployment, [("kind: Deployment", "kind: DaemonSet"), ("selector: {matchLabels: {app: web}}", "selector: {}")],
      "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"),
    RuleCase(
      deployment,
      [
        ("kind: Deployment", "kind: StatefulSet"),
        ("  selector:", "  updateStrategy: {type: OnDelete, rollingUpdate: {partition: 0}}\n  selector:"),
      ],
      #"spec.updateStrategy.rollingUpdate: Invalid value: {"partition":0}: only allowed for updateStrategy 'RollingUpdate'"#),
    RuleCase(deployment, "  selector:", "  strategy: {type: Recreate}\n  selector:"),
    RuleCase(
      deployment, "  selector:", "  strategy: {type: Recreate, rollingUpdate: {}}\n  selector:",
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
    RuleCase(
      hpa, "maxReplicas: 5", "maxReplicas: 0", "spec.maxReplicas: Invalid value: 0: must be greater than 0",
      "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"),
    RuleCase(
      hpa, "maxReplicas: 5",
      "maxReplicas: 5, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 0}}}]",
      "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"),
    // Autoscaling.
    RuleCase(hpa, "apiVersion: apps/v1, ", ""),
    RuleCase(hpa, "{apiVersion: apps/v1, kind: Deployment", "{apiVersion: v1, kind: ReplicationController"),
    RuleCase(
      hpa, "{apiVersion: apps/v1, kind", "{apiVersion: v1, kind",
      #"spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group"#),
  ]

  @Test("created", arguments: creates) func create(rule: RuleCase) throws { try rule.check() }

  static let updates: [RuleCase] = [
    RuleCase(
      deployment, "app: web", "app: other",
      #"spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable"#, on: .update),
    RuleCase(deployment, "image: nginx", "image: nginx:2", on: .update),
    // A suspended job that never started may still be directed.
    RuleCase(
      job, "restartPolicy: Never", "restartPolicy: Never, nodeSelector: {a: b}, tolerations: [{operator: Exists}]", on: .update),
    RuleCase(job, "labels: {a: b}", "labels: {a: b, c: d}", on: .update),
    RuleCase(job, "suspend: true", "suspend: false", on: .update),
    RuleCase(
      job, "image: i", "image: k",
      #"spec.template: Invalid value: {"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"k","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always","resources":{}}],"terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}: field is immutable"#,
      on: .update),
    RuleCase(job, "completionMode: Indexed", "completionMode: Indexed\n  parallelism: 5", on: .update),
    RuleCase(job, "completions: 5", "completions: 6\n  parallelism: 6", on: .update),
    RuleCase(job, "completions: 5", "completions: 6", "spec.completions: Invalid value: 6: field is immutable", on: .update),
  ]

  @Test("updated", arguments: updates) func update(rule: RuleCase) throws {
    let found = try RuleCase.errors(rule.edited, over: rule.yaml, .update)
    if rule.errors.first?.hasPrefix("spec.template: ") == true {
      // What the value shows is the whole template.
      #expect(
        found.count == 1 && found[0].hasPrefix("spec.template: Invalid value: {") && found[0].hasSuffix(": field is immutable"))
    } else {
      #expect(found == rule.errors)
    }
    #expect(try RuleCase.errors(rule.yaml, over: rule.yaml, .update) == [])
  }

  @Test("labels that the server makes are not the client's to choose")
  func jobLabels() throws {
    let own = Self.job.replacing("manualSelector: true\n", with: "manualSelector: false\n")
      .replacing("metadata: {labels: {a: b}}", with: "metadata: {labels: {a: b, job-name: other}}")
    #expect(
      try RuleCase.errors(own)
        == [#"spec.template.metadata.labels[job-name]: Invalid value: {"a":"b","job-name":"other"}: must be 'j'"#])
    #expect(try RuleCase.errors(own.replacing("job-name: other", with: "job-name: j")) == [])
  }

  @Test("a job that started keeps its template")
  func startedJob() throws {
    let started = Self.job + "\nstatus: {startTime: '2026-01-01T00:00:00Z'}"
    let directed = started.replacing("restartPolicy: Never", with: "restartPolicy: Never, nodeSelector: {a: b}")
    let found = try RuleCase.errors(directed, over: started, .update)
    #expect(found.count == 1 && found[0].hasPrefix("spec.template: Invalid value: ") && found[0].hasSuffix(": field is immutable"))
  }

  static let statuses: [(status: String, errors: [String])] = [
    ("{completedIndexes: '0-2', failedIndexes: '3', startTime: '2026-01-01T00:00:00Z'}", []),
    ("{uncountedTerminatedPods: {succeeded: [a], failed: [b]}, startTime: '2026-01-01T00:00:00Z'}", []),
    (
      "{uncountedTerminatedPods: {succeeded: [a, ''], failed: [a]}, startTime: '2026-01-01T00:00:00Z'}",
      [
        #"status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty"#,
        #"status.uncountedTerminatedPods.failed[0]: Duplicate value: "a""#,
      ]
    ),
    (
      "{completedIndexes: '0,9', startTime: '2026-01-01T00:00:00Z'}",
      [#"status.completedIndexes: Invalid value: "0,9": error parsing completedIndexes: too large index: "9""#]
    ),
    (
      "{completedIndexes: '0-2', failedIndexes: '2-3', startTime: '2026-01-01T00:00:00Z'}",
      [#"status.failedIndexes: Invalid value: "2-3": failedIndexes and completedIndexes overlap"#]
    ),
    ("{}", []),
  ]

  @Test("statuses of jobs", arguments: statuses)
  func jobStatus(status: String, errors: [String]) throws {
    let stored = Self.job + "\nstatus: {}"
    #expect(try RuleCase.errors(Self.job + "\nstatus: \(status)", over: stored, .status) == errors)
  }

  @Test("a running job keeps its start; indexes are for indexed jobs")
  func jobStart() throws {
    let running = Self.job.replacing("suspend: true", with: "suspend: false") + "\nstatus: {startTime: '2026-01-01T00:00:00Z'}"
    let moved = running.replacing("2026-01-01", with: "2026-01-02")
    let gone = running.replacing("{startTime: '2026-01-01T00:00:00Z'}", with: "{}")
    #expect(
      try RuleCase.errors(moved, over: running, .status)
        == ["status.startTime: Required value: startTime cannot be modified for unsuspended job"])
    #expect(
      try RuleCase.errors(gone, over: running, .status)
        == ["status.startTime: Required value: startTime cannot be removed for unsuspended job"])
    #expect(try RuleCase.errors(running, over: running, .status) == [])
    let plain = running.replacing("  completionMode: Indexed\n  backoffLimitPerIndex: 1\n", with: "")
    let indexed = plain.replacing("{startTime", with: "{failedIndexes: '1', completedIndexes: '0', startTime")
    #expect(
      try RuleCase.errors(indexed, over: plain, .status) == [
        #"status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode"#,
        #"status.failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex is null"#,
      ])
    let complete = running.replacing(
      "status: {",
      with:
        "status: {completionTime: '2026-01-02T00:00:00Z', conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}], "
    )
    #expect(try RuleCase.errors(complete, over: running, .status) == [])
    let late = complete.replacing("{type: SuccessCriteriaMet, status: 'True'}, ", with: "")
    #expect(
      try RuleCase.errors(complete, over: late, .status)
        == ["status.conditions: Invalid value: cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"])
  }
}
