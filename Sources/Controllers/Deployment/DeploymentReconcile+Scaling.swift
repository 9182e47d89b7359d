import Client
import Wire

/// Scaling of a deployment that is paused, or whose replicas changed: every set gets its share.
extension DeploymentReconcile {
  var isScaled: Bool {
    sets.contains { set in
      guard set.replicas > 0, let desired = set.annotations[DeploymentAnnotation.desiredReplicas].flatMap({ Int64($0) }) else {
        return false
      }
      return desired != deployment.replicas
    }
  }

  mutating func scaleAll() {
    let active = sets.indices.filter { sets[$0].replicas > 0 }
    if active.count <= 1, let only = active.first ?? newSet ?? sets.indices.last {
      scale(only, to: deployment.replicas)
      return
    }
    if let newSet, sets[newSet].replicas == deployment.replicas, sets[newSet].status.available == deployment.replicas,
      sets[newSet].annotations[DeploymentAnnotation.desiredReplicas] == "\(deployment.replicas)"
    {
      for i in old where sets[i].replicas > 0 { scale(i, to: 0) }
      return
    }
    guard !deployment.isRecreate else { return }
    scaleProportionally(active)
  }

  /// Every set gets its share of what is to be added or taken; what rounding leaves over goes to the largest.
  mutating func scaleProportionally(_ active: [Int]) {
    let all = active.reduce(0) { $0 + sets[$1].replicas }
    let allowed = deployment.replicas > 0 ? min(deployment.replicas + deployment.limits.surge, Int64(Int32.max)) : 0
    let toAdd = allowed - all
    let ordered = active.sorted { a, b in
      if sets[a].replicas != sets[b].replicas { return sets[a].replicas > sets[b].replicas }
      // Equal sets: newer ones grow first, older ones shrink first. `sets` is in the order of age.
      return toAdd > 0 ? a > b : a < b
    }
    var sizes: [Int64] = []
    var added: Int64 = 0
    for i in ordered {
      let share = toAdd == 0 ? 0 : proportion(i, toAdd, added)
      added += share
      sizes.append(sets[i].replicas + share)
    }
    for (position, i) in ordered.enumerated() {
      var size = sizes[position]
      if position == 0, toAdd != 0 { size = max(0, size + toAdd - added) }
      scale(i, to: size)
    }
  }

  func proportion(_ i: Int, _ toAdd: Int64, _ added: Int64) -> Int64 {
    let set = sets[i]
    guard set.replicas != 0, toAdd != added else { return 0 }
    let fraction: Int64
    if deployment.replicas == 0 {
      fraction = -set.replicas
    } else {
      let maximum = set.annotations[DeploymentAnnotation.maxReplicas].flatMap { Int64($0) } ?? deployment.status.replicas
      guard maximum > 0 else { return 0 }
      let size = Double(set.replicas) * Double(deployment.replicas + deployment.limits.surge) / Double(maximum)
      fraction = Int64(min(size.rounded(), Double(Int32.max))) - set.replicas
    }
    return toAdd > 0 ? min(fraction, toAdd - added) : max(fraction, toAdd - added)
  }

  /// - Returns: false where the set has that size and says so.
  @discardableResult
  mutating func scale(_ i: Int, to size: Int64) -> Bool {
    let set = sets[i]
    let desired = "\(deployment.replicas)"
    let maximum = "\(deployment.replicas + deployment.limits.surge)"
    let isAnnotated =
      set.annotations[DeploymentAnnotation.desiredReplicas] == desired
      && set.annotations[DeploymentAnnotation.maxReplicas] == maximum
    guard set.replicas != size || !isAnnotated else { return false }
    let patch: Value = [
      "metadata": [
        "resourceVersion": .string(String(set.meta.revision)),
        "annotations": [
          DeploymentAnnotation.desiredReplicas: .string(desired), DeploymentAnnotation.maxReplicas: .string(maximum),
        ],
      ], "spec": ["replicas": .int(size)],
    ]
    actions.append(.write(.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.merge, patch))))
    if set.replicas != size { tellScaling(set.meta.key.name, from: set.replicas, to: size) }
    sets[i].replicas = size
    return set.replicas != size
  }
}
