import Client
import Logging
import Wire

/// Waits for the blocks from which a node's pods get their addresses, and says so where there are none to be had.
package struct PodAddresses: Sendable {
  private let node: String
  private let client: any Client
  private let clusterCIDRs: [CIDR]
  private let log: Logger
  private let patience: @Sendable () async throws -> Void

  /// - Parameter patience: returns when the wait has become worth a word.
  package init(
    node: String, client: any Client, clusterCIDRs: [CIDR], log: Logger,
    patience: @escaping @Sendable () async throws -> Void = { try await Task.sleep(for: .seconds(10)) }
  ) {
    self.node = node
    self.client = client
    self.clusterCIDRs = clusterCIDRs
    self.log = log
    self.patience = patience
  }

  /// Returns when `spec.podCIDRs` of the Node is set. Until then, after a while, the Node has the condition `NetworkUnavailable`.
  /// - Throws: `CancellationError` alone.
  package func wait() async throws -> [CIDR] {
    let (found, continuation) = AsyncStream.makeStream(of: (blocks: [CIDR], isReported: Bool).self)
    let feed = Task {
      await ObjectFeed(client: client, resource: .nodes, fieldSelector: "metadata.name=\(node)").run { changes in
        for case .set(let object) in changes {
          let seen = object.withView { view -> (blocks: [CIDR], isReported: Bool) in
            let own = view["status"]["conditions"].map { $0["reason"].string == Self.reason && $0["status"].equals("True") }
            return (view["spec"]["podCIDRs"].compactMap { $0.string.flatMap { CIDR($0) } }, own.contains(true))
          }
          if !seen.blocks.isEmpty { continuation.yield(seen) }
        }
      }
      continuation.finish()
    }
    defer { feed.cancel() }
    let complaint = Task {
      do { try await patience() } catch { return false }
      let blocks = clusterCIDRs.map(\.description).joined(separator: ", ")
      let message =
        "the node has no addresses for pods: \(blocks) has no block left for it, or no controller gives blocks out; "
        + "delete nodes that are gone, or choose a larger --cluster-cidr"
      log.warning("no pod can start", metadata: ["node": "\(node)", "reason": "\(message)"])
      await report(isUnavailable: true, reason: Self.reason, message: message)
      return true
    }
    defer { complaint.cancel() }
    for await (blocks, isReported) in found {
      complaint.cancel()
      // In this order: a complaint that is being written is not to overtake the word that all is well.
      if await complaint.value || isReported {
        await report(isUnavailable: false, reason: "PodCIDRAssigned", message: "the node has addresses for pods")
      }
      return blocks
    }
    throw CancellationError()
  }

  /// What upstream's controller calls it in its event.
  private static let reason = "CIDRNotAvailable"

  private func report(isUnavailable: Bool, reason: String, message: String) async {
    let now: Value = .string(WallTime.now().timestamp.description)
    let condition: Value = [
      "type": "NetworkUnavailable", "status": isUnavailable ? "True" : "False", "reason": .string(reason),
      "message": .string(message), "lastHeartbeatTime": now, "lastTransitionTime": now,
    ]
    do throws(APIError) {
      _ = try await client.patch(
        .nodes, ObjectKey(name: node), subresource: "status", Patch(.strategic, ["status": ["conditions": [condition]]]),
        WriteOptions(fieldManager: "gantry-network"))
    } catch {
      log.warning("condition not written", metadata: ["node": "\(node)", "error": "\(error.message)"])
    }
  }
}
