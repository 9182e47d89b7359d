import Client
import Controllers
import Schema
import Wire

/// Who acts in the simulation: nodes, watches, controllers.
extension World {
  // MARK: Nodes

  static func needsNode(_ pod: Value) -> Bool {
    !pod["metadata"]["deletionTimestamp"].isNull || pod["spec"]["nodeName"].isNull || pod["status"]["phase"] == "Pending"
  }

  mutating func runPod(_ key: ObjectKey) {
    guard let pod = value(.pods, key) else { return }
    if !pod["metadata"]["deletionTimestamp"].isNull {
      delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0))
    } else if pod["spec"]["nodeName"].isNull {
      patch(.pods, key, Patch(.merge, ["spec": ["nodeName": .string("node-\(Int.random(in: 0..<3, using: &random))")]]))
    } else {
      let condition: Value = [
        "type": "Ready", "status": "True", "lastTransitionTime": .string(Timestamp(seconds: now).description),
      ]
      patch(.pods, key, Patch(.merge, ["status": ["phase": "Running", "conditions": [condition]]]))
    }
  }

  // MARK: Watches

  mutating func deliver(_ i: Int) {
    let resource = feeds[i].resource
    let events = log[resource] ?? []
    let count = Int.random(in: 1...max(1, min(4, events.count - feeds[i].position)), using: &random)
    for event in events[feeds[i].position..<feeds[i].position + count] {
      switch resource {
      case .pods: observePod(event)
      case .replicaSets: observeSet(event)
      default: observeDeployment(event)
      }
    }
    feeds[i].position += count
  }

  mutating func observePod(_ event: Event) {
    let (key, new): (ObjectKey, PodView?) =
      switch event {
      case .set(let object): (object.key, PodView(object))
      case .deleted(let key): (key, nil)
      }
    let old = pods[key]
    pods[key] = new
    for pod in [old, new] {
      guard let pod else { continue }
      if let owner = pod.meta.controller {
        setQueue.insert(ObjectKey(namespace: key.namespace, name: owner.name))
      } else {
        for set in sets.values where set.selector?.matches(pod.meta.labels) == true { setQueue.insert(set.meta.key) }
      }
    }
    guard let pod = new ?? old, let owner = pod.meta.controller else { return }
    let setKey = ObjectKey(namespace: key.namespace, name: owner.name)
    expectations[setKey]?.creations.remove(key)
    if new == nil || pod.meta.isDeleting { expectations[setKey]?.deletions.remove(pod.meta.uid) }
    if new == nil || pod.isFinished, let deployment = sets[setKey]?.meta.controller {
      deploymentQueue.insert(ObjectKey(namespace: key.namespace, name: deployment.name))
    }
  }

  mutating func observeSet(_ event: Event) {
    let (key, new): (ObjectKey, ReplicaSetView?) =
      switch event {
      case .set(let object): (object.key, ReplicaSetView(object))
      case .deleted(let key): (key, nil)
      }
    let old = sets[key]
    sets[key] = new
    setQueue.insert(key)
    guard let set = new ?? old else { return }
    if let owner = set.meta.controller {
      deploymentQueue.insert(ObjectKey(namespace: key.namespace, name: owner.name))
    } else {
      for deployment in deployments.values where deployment.selector?.matches(set.meta.labels) == true {
        deploymentQueue.insert(deployment.meta.key)
      }
    }
  }

  mutating func observeDeployment(_ event: Event) {
    switch event {
    case .set(let object):
      deployments[object.key] = DeploymentView(object)
      deploymentQueue.insert(object.key)
    case .deleted(let key):
      deployments[key] = nil
      deploymentQueue.insert(key)
    }
  }

  mutating func deliverToCollector(_ i: Int) {
    let resource = collectorFeeds[i].resource
    guard let event = log[resource]?[collectorFeeds[i].position] else { return }
    collectorFeeds[i].position += 1
    switch event {
    case .set(let object): graph.set(resource, object.withView { Meta(object, $0) })
    case .deleted(let key): graph.remove(resource, key)
    }
  }

  // MARK: Controllers

  /// - Returns: false: comes again.
  mutating func syncSet(_ key: ObjectKey) -> Bool {
    guard let set = sets[key] else {
      expectations[key] = nil
      return true
    }
    let everything = pods.values.sorted { $0.meta.key < $1.meta.key }
    let outcome = ReplicaSetReconcile(
      set: set, owned: everything.filter { $0.meta.controller?.uid == set.meta.uid },
      orphans: everything.filter { $0.meta.controller == nil }, expectations: expectations[key] ?? Expectations(), now: now
    ).decide()
    let reference = controllerReference(apiVersion: "apps/v1", kind: "ReplicaSet", set.meta)
    if !outcome.adopts.isEmpty {
      guard let live = value(.replicaSets, key), live["metadata"]["uid"].string == set.meta.uid,
        live["metadata"]["deletionTimestamp"].isNull
      else { return true }
    }
    for pod in outcome.adopts {
      let body: Value = ["metadata": ["uid": .string(pod.meta.uid), "ownerReferences": [reference]]]
      if submit(.patch(.pods, pod.meta.key, subresource: nil, Patch(.strategic, body))) != nil { return false }
    }
    for pod in outcome.releases {
      let released: Value = ["$patch": "delete", "uid": .string(set.meta.uid)]
      let body: Value = ["metadata": ["uid": .string(pod.meta.uid), "ownerReferences": [released]]]
      if submit(.patch(.pods, pod.meta.key, subresource: nil, Patch(.strategic, body))) != nil { return false }
    }
    var isDone = true
    for _ in 0..<outcome.creates {
      let pod = PodTemplate.pod(
        set.template, owner: reference, prefix: key.name, namespace: key.namespace, suffix: PodTemplate.suffix(using: &random))
      expectations[key, default: Expectations()].creations.insert(pod.key)
      expectations[key]?.since = now
      guard submit(.create(.pods, namespace: key.namespace, body: pod.body)) != nil else { continue }
      expectations[key]?.creations.remove(pod.key)
      isDone = false
    }
    for pod in outcome.deletes {
      expectations[key, default: Expectations()].deletions.insert(pod.meta.uid)
      expectations[key]?.since = now
      guard submit(.delete(.pods, pod.meta.key, DeleteOptions(preconditionUID: pod.meta.uid))) != nil else { continue }
      expectations[key]?.deletions.remove(pod.meta.uid)
      isDone = false
    }
    var known = set.status
    known.terminating = outcome.status.terminating
    if outcome.status != known {
      let body = Patch(.merge, outcome.status.patch(uid: set.meta.uid))
      if submit(.patch(.replicaSets, key, subresource: "status", body)) != nil { return false }
    }
    if let seconds = outcome.checkAgain { timers.append((now + seconds, key, true)) }
    return isDone
  }

  mutating func syncDeployment(_ key: ObjectKey) -> Bool {
    guard let deployment = deployments[key], let selector = deployment.selector else { return true }
    if unseen[key]?.wait(now: now, shown: { sets[$0]?.meta.revision }) != nil { return true }
    unseen[key] = nil
    let everything = sets.values.sorted { $0.meta.key < $1.meta.key }
    var owned = everything.filter { $0.meta.controller?.uid == deployment.meta.uid }
    let orphans = everything.filter { $0.meta.controller == nil && !$0.meta.isDeleting && selector.matches($0.meta.labels) }
    if !deployment.meta.isDeleting, !orphans.isEmpty {
      guard let live = value(.deployments, key), live["metadata"]["uid"].string == deployment.meta.uid,
        live["metadata"]["deletionTimestamp"].isNull
      else { return true }
      let reference = controllerReference(apiVersion: "apps/v1", kind: "Deployment", deployment.meta)
      for set in orphans {
        let body: Value = ["metadata": ["uid": .string(set.meta.uid), "ownerReferences": [reference]]]
        if submit(.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.strategic, body))) != nil { return false }
      }
      owned += orphans
    }
    var unfinished: [String: Int] = [:]
    for pod in pods.values where !pod.isFinished { if let owner = pod.meta.controller { unfinished[owner.uid, default: 0] += 1 } }
    var round = DeploymentReconcile(deployment, sets: owned, unfinishedPods: unfinished, now: now)
    for action in round.decide() {
      switch action {
      case .write(let operation):
        if submit(operation) != nil { return false }
        switch operation {
        case .create: if let created = round.created { noteWrite(created.key, isCreation: true, key) }
        case .patch(.replicaSets, let set, _, _): noteWrite(set, isCreation: false, key)
        default: break
        }
      case .event: break
      case .requeue(let seconds): timers.append((now + seconds, key, false))
      }
    }
    return true
  }

  mutating func noteWrite(_ set: ObjectKey, isCreation: Bool, _ deployment: ObjectKey) {
    guard let revision = value(.replicaSets, set)?["metadata"]["resourceVersion"].string.flatMap({ Int64($0) }) else { return }
    unseen[deployment, default: UnseenWrites()].note(set, revision, isCreation: isCreation, now: now)
  }

  mutating func collect() {
    var failed: [String] = []
    for uid in graph.takeDirty(Int.max).sorted() {
      var verdict = graph.judge(uid, absent: [])
      if case .verify(let owners) = verdict {
        let present = owners.filter { owner in
          Self.resources.contains { all($0).contains { $0["metadata"]["uid"].string == owner.uid } }
        }
        if !present.isEmpty { continue }
        verdict = graph.judge(uid, absent: Set(owners.map(\.uid)))
      }
      guard case .operations(let operations) = verdict else { continue }
      for operation in operations.sorted(by: { "\($0)" < "\($1)" }) {
        if let error = submit(operation, isCollector: true), error.reason != .notFound { failed.append(uid) }
      }
    }
    for uid in failed { graph.lookAgain(uid) }
  }
}
