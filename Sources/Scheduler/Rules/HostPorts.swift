/// Two pods of one node cannot hold the same port of the host.
enum HostPorts {
  static let refusal = "node(s) didn't have free ports for the requested pod ports"

  static func applies(to shape: PodShape) -> Bool { !shape.hostPorts.isEmpty }

  static func admits(_ shape: PodShape, used: [HostPort]) -> Bool {
    !shape.hostPorts.contains { wanted in used.contains { $0.conflicts(with: wanted) } }
  }
}
