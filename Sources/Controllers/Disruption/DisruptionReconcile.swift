import Client
import Wire

/// What the disruption controller reads of a PodDisruptionBudget.
package struct DisruptionBudgetView: Sendable {
  package var meta: Meta
  /// nil selects nothing; an empty one every pod of the namespace.
  package var selector: LabelSelector?
  package var minAvailable: DeploymentView.Amount?
  package var maxUnavailable: DeploymentView.Amount?
  package var status: DisruptionStatus

  package init(_ object: EncodedObject) {
    self = object.withView { view in
      DisruptionBudgetView(
        meta: Meta(object, view), selector: LabelSelector(view["spec"]["selector"]),
        minAvailable: DeploymentView.Amount(view["spec"]["minAvailable"]),
        maxUnavailable: DeploymentView.Amount(view["spec"]["maxUnavailable"]), status: DisruptionStatus(view["status"]))
    }
  }

  private init(
    meta: Meta, selector: LabelSelector?, minAvailable: DeploymentView.Amount?, maxUnavailable: DeploymentView.Amount?,
    status: DisruptionStatus
  ) {
    self.meta = meta
    self.selector = selector
    self.minAvailable = minAvailable
    self.maxUnavailable = maxUnavailable
    self.status = status
  }
}

package struct DisruptionStatus: Sendable, Equatable {
  package var currentHealthy: Int64 = 0
  package var desiredHealthy: Int64 = 0
  package var expectedPods: Int64 = 0
  package var disruptionsAllowed: Int64 = 0
  package var observedGeneration: Int64 = 0
  /// Pods whose eviction was granted and that are still there; seconds since 1970.
  package var disruptedPods: [String: Int64] = [:]
  /// Whether the condition DisruptionAllowed is there, and says what the numbers say.
  package var isTold: Bool?

  package init() {}

  package init(_ view: JSONView) {
    currentHealthy = view["currentHealthy"].natural ?? 0
    desiredHealthy = view["desiredHealthy"].natural ?? 0
    expectedPods = view["expectedPods"].natural ?? 0
    disruptionsAllowed = view["disruptionsAllowed"].natural ?? 0
    observedGeneration = view["observedGeneration"].int ?? 0
    for (name, instant) in view["disruptedPods"].stringMap { disruptedPods[name] = Timestamp(instant)?.seconds ?? 0 }
    view["conditions"].forEach { condition in
      if condition["type"].equals("DisruptionAllowed") { isTold = condition["status"].equals("True") }
    }
  }
}

/// How many pods of a budget may be disrupted now. Pure.
///
/// Source: Kubernetes "Specifying a Disruption Budget for your Application".
package enum DisruptionReconcile {
  /// Seconds after which a granted eviction that has not happened no longer counts.
  static let patience: Int64 = 120

  /// - Parameters:
  ///   - pods: what the budget selects.
  ///   - scales: size that each controller of these pods should have, by its uid; one that is not known counts the pods it has.
  package static func status(
    of budget: DisruptionBudgetView, pods: [PodView], scales: [String: Int64], now: Int64
  ) -> (status: DisruptionStatus, lookAgain: Int64?) {
    var status = DisruptionStatus()
    status.observedGeneration = budget.meta.generation
    var controllers: [String: Int64] = [:]
    for pod in pods {
      guard let owner = pod.meta.controller?.uid else { continue }
      controllers[owner, default: 0] += 1
    }
    let expected = controllers.reduce(Int64(0)) { min($0 + (scales[$1.key] ?? $1.value), Int64(Int32.max)) }
    if let unavailable = budget.maxUnavailable {
      status.expectedPods = expected
      status.desiredHealthy = max(0, expected - unavailable.resolved(of: expected, roundingUp: true))
    } else if case .count(let count)? = budget.minAvailable {
      status.expectedPods = Int64(pods.count)
      status.desiredHealthy = count
    } else if let available = budget.minAvailable {
      status.expectedPods = expected
      status.desiredHealthy = available.resolved(of: expected, roundingUp: true)
    }
    var lookAgain: Int64?
    for (name, granted) in budget.status.disruptedPods {
      guard pods.contains(where: { $0.meta.key.name == name && !$0.meta.isDeleting }), granted + patience > now else { continue }
      status.disruptedPods[name] = granted
      lookAgain = min(lookAgain ?? .max, granted + patience - now)
    }
    status.currentHealthy = Int64(
      pods.count { $0.isReady && !$0.meta.isDeleting && status.disruptedPods[$0.meta.key.name] == nil })
    status.disruptionsAllowed = status.expectedPods > 0 ? max(0, status.currentHealthy - status.desiredHealthy) : 0
    status.isTold = status.disruptionsAllowed > 0
    return (status, lookAgain)
  }

  /// The write that brings a budget's status there.
  package static func patch(_ budget: DisruptionBudgetView, _ status: DisruptionStatus, now: Int64) -> Value {
    var disrupted = Value.emptyObject
    for name in budget.status.disruptedPods.keys where status.disruptedPods[name] == nil { disrupted[name] = .null }
    var body: Value = [
      "currentHealthy": .int(status.currentHealthy), "desiredHealthy": .int(status.desiredHealthy),
      "expectedPods": .int(status.expectedPods), "disruptionsAllowed": .int(status.disruptionsAllowed),
      "observedGeneration": .int(status.observedGeneration),
    ]
    if disrupted != .emptyObject { body["disruptedPods"] = disrupted }
    if status.isTold != budget.status.isTold {
      let isAllowed = status.isTold == true
      body["conditions"] = [
        [
          "type": "DisruptionAllowed", "status": isAllowed ? "True" : "False",
          "reason": isAllowed ? "SufficientPods" : "InsufficientPods", "message": "",
          "observedGeneration": .int(status.observedGeneration),
          "lastTransitionTime": .string(Timestamp(seconds: now).description),
        ]
      ]
    }
    // What was counted on an older state must not undo an eviction that was granted meanwhile.
    return [
      "metadata": ["uid": .string(budget.meta.uid), "resourceVersion": .string(String(budget.meta.revision))], "status": body,
    ]
  }
}
