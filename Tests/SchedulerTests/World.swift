import Scheduler
import Testing
import Wire

/// Builds objects as the store holds them, so that the tests read through the same door as the scheduler.
func pod(
  _ name: String, spec: Value = .emptyObject, owner: String? = nil, status: Value = .emptyObject, deleting: Bool = false
) throws -> PodFacts {
  var metadata: Value = [
    "name": .string(name), "namespace": "default", "uid": .string("uid-\(name)"), "creationTimestamp": "2026-01-01T00:00:00Z",
  ]
  if deleting { metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
  if let owner {
    metadata["ownerReferences"] = [["kind": "ReplicaSet", "name": "rs", "uid": .string(owner), "controller": true]]
  }
  let object: Value = ["metadata": metadata, "spec": spec, "status": status]
  return PodFacts(try EncodedObject(bytes: object.jsonBytes, revision: 1))
}

func node(
  _ name: String, cpu: String = "4", memory: String = "8Gi", pods: String = "110", labels: Value = .emptyObject, taints: Value = [],
  unschedulable: Bool = false, more: [(String, String)] = []
) throws -> NodeFacts {
  var allocatable: Value = ["cpu": .string(cpu), "memory": .string(memory), "pods": .string(pods), "ephemeral-storage": "10Gi"]
  for (key, value) in more { allocatable[key] = .string(value) }
  let object: Value = [
    "metadata": ["name": .string(name), "uid": .string(name), "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels],
    "spec": ["taints": taints, "unschedulable": .bool(unschedulable)], "status": ["allocatable": allocatable],
  ]
  return NodeFacts(try EncodedObject(bytes: object.jsonBytes, revision: 1))
}

func requests(cpu: String? = nil, memory: String? = nil, more: [(String, String)] = []) -> Value {
  var list = Value.emptyObject
  if let cpu { list["cpu"] = .string(cpu) }
  if let memory { list["memory"] = .string(memory) }
  for (key, value) in more { list[key] = .string(value) }
  return ["containers": [["name": "c", "resources": ["requests": list]]]]
}

extension SchedulerState {
  /// Everything that is decided now, as "pod → node" or "pod: words".
  mutating func decisions(now: Duration = .zero) -> [String] {
    schedule(limit: 10_000, now: now).map { effect in
      switch effect {
      case .bind(let key, _, let node, _): "\(key.name) → \(node)"
      case .refuse(let key, _, let explanation): "\(key.name): \(explanation.message)"
      }
    }
  }

  mutating func add(_ pods: PodFacts..., now: Duration = .zero) { for pod in pods { apply(.pod(pod), now: now) } }
  mutating func add(_ nodes: NodeFacts..., now: Duration = .zero) { for node in nodes { apply(.node(node), now: now) } }
}

struct SeededRandom: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed &+ 0x9E37_79B9_7F4A_7C15 }
  mutating func next() -> UInt64 {
    state = state &+ 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
