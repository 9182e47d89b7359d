import Wire

extension CustomRules {
  private static func isZeroOrPercent(_ value: Value) -> Bool {
    value.isNull || value.int == 0 || value.string.flatMap { $0.hasSuffix("%") ? Int($0.dropLast()) : nil } == 0
  }

  private static func isEmptySelector(_ value: Value) -> Bool {
    !value.isNull && value["matchLabels"].isZero && value["matchExpressions"].isZero
  }

  private static func status(_ job: Value, _ type: String) -> Bool {
    (job["status"]["conditions"].array ?? []).contains { $0["type"].string == type && $0["status"].string == "True" }
  }

  private static func both(_ a: String, _ b: String) -> CustomRule {
    refuse { _, scope in status(scope.root, a) && status(scope.root, b) }
  }

  private static func without(_ a: String, _ b: String) -> CustomRule {
    refuse { _, scope in status(scope.root, a) && !status(scope.root, b) }
  }

  private static func isFinished(_ job: Value) -> Bool { status(job, "Complete") || status(job, "Failed") }

  /// Deployments, sets, jobs.
  static let workloads: [String: CustomRule] = [
    "apps/v1.DaemonSetSpec|selector|not empty": refuse { value, _ in isEmptySelector(value) },
    "apps/v1.DeploymentSpec|selector|not empty": refuse { value, _ in isEmptySelector(value) },
    "apps/v1.ReplicaSetSpec|selector|not empty": refuse { value, _ in isEmptySelector(value) },
    "apps/v1.StatefulSetSpec|selector|not empty": refuse { value, _ in isEmptySelector(value) },
    "apps/v1.RollingUpdateDaemonSet|maxSurge|not both maxSurge and maxUnavailable": refuse { value, scope in
      !isZeroOrPercent(value) && !isZeroOrPercent(scope.base["maxUnavailable"])
    },
    "apps/v1.RollingUpdateDaemonSet|maxUnavailable|not both zero": refuse { value, scope in
      isZeroOrPercent(value) && isZeroOrPercent(scope.base["maxSurge"])
    },
    "apps/v1.RollingUpdateDeployment|maxUnavailable|not 0 (or 0%) together with maxSurge": refuse { value, scope in
      // Both absent: the strategy is another, and has said so.
      if value.isNull, scope.base["maxSurge"].isNull { return false }
      return isZeroOrPercent(value) && isZeroOrPercent(scope.base["maxSurge"])
    },
    "apps/v1.RollingUpdateStatefulSetStrategy|maxUnavailable|not 0 or 0%": refuse { value, _ in
      !value.isNull && isZeroOrPercent(value)
    },
    "batch/v1.CronJobSpec|schedule|no TZ= or CRON_TZ= (allowed where the stored schedule has it and timeZone is absent)":
      refuse { value, scope in
        guard value.string?.contains("TZ") == true else { return false }
        return !(scope.old.string?.contains("TZ") == true && scope.base["timeZone"].isNull)
      },
    "batch/v1.CronJobSpec|jobTemplate.spec.manualSelector|not true": refuse { value, _ in value.bool == true },
    "batch/v1.Job|spec.selector|unless manualSelector: template labels controller-uid, job-name, batch.kubernetes.io/controller-uid, batch.kubernetes.io/job-name carry uid and name, and the selector matches them":
      { value, scope in
        // The strategy generates both; what is left is a selector that the client made itself.
        let labels = scope.root["spec"]["template"]["metadata"]["labels"]
        let (uid, name) = (scope.root["metadata"]["uid"].string, scope.root["metadata"]["name"].string)
        let place: [FieldStep] = [.field("spec"), .field("template"), .field("metadata"), .field("labels")]
        let wanted = [
          ("controller-uid", uid), ("batch.kubernetes.io/controller-uid", uid), ("job-name", name),
          ("batch.kubernetes.io/job-name", name),
        ]
        let wrong = wanted.compactMap { key, wanted -> CustomFinding? in
          guard let found = labels[key].string, let wanted, found != wanted else { return nil }
          return CustomFinding(message: "must be '\(wanted)'", value: labels, at: place + [.key(key)])
        }
        guard wrong.isEmpty, labels["controller-uid"].string != nil else { return wrong }
        return LabelMatch.matches(value, labels: labels) ? fine : [CustomFinding(message: "`selector` not auto-generated")]
      },
    "batch/v1.Job|metadata.name|Indexed: \"<name>-<completions-1>\" is a DNS label": { value, scope in
      guard let name = value.string, let completions = scope.root["spec"]["completions"].int, completions > 0 else { return fine }
      let pod = "\(name)-\(completions - 1)"
      return DNSNames.label(pod).isEmpty
        ? fine : [CustomFinding(message: "will not able to create pod with invalid DNS label: \(pod)")]
    },
    "batch/v1.Job|spec.completions|unchanged; Indexed jobs may change it together with parallelism": refuse { value, scope in
      guard let old = scope.oldRoot, !Validator.isSame(value, scope.old) else { return false }
      return scope.root["spec"]["completionMode"].string != "Indexed" || value.isNull || old["spec"]["completions"].isNull
        || value.int != scope.root["spec"]["parallelism"].int
    },
    "batch/v1.Job|status.conditions|not Complete and Failed": both("Complete", "Failed"),
    "batch/v1.Job|status.conditions|not Complete and FailureTarget": both("Complete", "FailureTarget"),
    "batch/v1.Job|status.conditions|Failed only with FailureTarget": without("Failed", "FailureTarget"),
    "batch/v1.Job|status.conditions|Complete only with SuccessCriteriaMet": without("Complete", "SuccessCriteriaMet"),
    "batch/v1.Job|status.conditions|not SuccessCriteriaMet and Failed": both("SuccessCriteriaMet", "Failed"),
    "batch/v1.Job|status.conditions|not SuccessCriteriaMet and FailureTarget": both("SuccessCriteriaMet", "FailureTarget"),
    "batch/v1.Job|status.conditions|Failed, Complete, FailureTarget stay True": { _, scope in
      guard let old = scope.oldRoot else { return fine }
      return ["Failed", "Complete", "FailureTarget"].filter { status(old, $0) && !status(scope.root, $0) }.map {
        CustomFinding(message: "cannot disable the terminal \($0)=True condition")
      }
    },
    "batch/v1.Job|status.conditions|SuccessCriteriaMet stays True": refuse { _, scope in
      scope.oldRoot.map { status($0, "SuccessCriteriaMet") && !status(scope.root, "SuccessCriteriaMet") } ?? false
    },
    "batch/v1.Job|status.completionTime|only with Complete=True": refuse { value, scope in
      !value.isNull && !status(scope.root, "Complete")
    },
    "batch/v1.Job|status.completionTime|set with Complete=True": refuse { value, scope in
      value.isNull && status(scope.root, "Complete")
    },
    "batch/v1.Job|status.completionTime|unchanged once set": refuse { value, scope in
      !scope.old.isNull && !value.isNull && value != scope.old
    },
    "batch/v1.Job|status.completionTime|not before startTime": refuse { value, scope in
      guard let end = value.string, let start = scope.root["status"]["startTime"].string else { return false }
      return end < start
    },
    "batch/v1.Job|status.startTime|set when finished": refuse { value, scope in value.isNull && isFinished(scope.root) },
    "batch/v1.Job|status.active|0 when finished": refuse { value, scope in (value.int ?? 0) > 0 && isFinished(scope.root) },
    "batch/v1.Job|status.terminating|0 when finished": refuse { value, scope in
      (value.int ?? 0) > 0 && isFinished(scope.root)
    },
    "batch/v1.Job|status.uncountedTerminatedPods|empty when finished": refuse { value, scope in
      isFinished(scope.root) && !(value["succeeded"].isZero && value["failed"].isZero)
    },
    "batch/v1.JobSpec|template.spec.restartPolicy|empty and Always": { value, _ in
      if value.isZero || value.string == "Always" { return [CustomFinding(message: "valid values: \"OnFailure\", \"Never\"")] }
      return value.string == "OnFailure" || value.string == "Never"
        ? fine : [CustomFinding(message: "supported values: \"OnFailure\", \"Never\"", kind: .notSupported)]
    },
    "batch/v1.JobSpec|template.spec.restartPolicy|Never where podFailurePolicy is set": refuse { value, _ in value.string != "Never"
    },
    "batch/v1.JobSpec|podFailurePolicy.rules[*].action|FailIndex needs backoffLimitPerIndex": refuse { value, scope in
      value.string == "FailIndex" && scope.base["backoffLimitPerIndex"].isNull
    },
    "batch/v1.JobSpec|successPolicy.rules[*].succeededCount|no more than completions": { value, scope in
      guard let count = value.int, let completions = scope.base["completions"].int, count > completions else { return fine }
      return [CustomFinding(message: "must be less than or equal to \(completions) (the number of specified completions)")]
    },
    "batch/v1.PodFailurePolicyOnExitCodesRequirement|values|no 0 with In": { value, _ in
      (value.array ?? []).enumerated().compactMap { $0.element.int == 0 ? CustomFinding(value: 0, more: [.index($0.offset)]) : nil }
    },
    "batch/v1.PodFailurePolicyOnExitCodesRequirement|values|ascending": refuse { value, _ in
      let codes = (value.array ?? []).compactMap(\.int)
      return codes != codes.sorted()
    },
  ]
}
