import Logging
import RPC
import Wire

extension CRIClient {
  /// Asks until the runtime answers: one that does not is no runtime without pods.
  /// - Returns: nil where what was asked about is not there, or the task was cancelled first.
  package func answer(_ method: String, _ request: Value = .emptyObject, log: Logger) async -> Value? {
    var delay = 0.1
    while !Task.isCancelled {
      do throws(GRPCError) { return try await call(method, request) } catch {
        if error.status == .notFound { return nil }
        log.warning("the runtime did not do it, asked again", metadata: ["method": "\(method)", "error": "\(error)"])
      }
      try? await Task.sleep(for: .seconds(delay))
      delay = min(10, delay * 2)
    }
    return nil
  }

  /// Stops and removes sandboxes with all that runs in them, until it is done or the task is cancelled.
  func removeSandboxes(of pod: String, except kept: String = "", log: Logger) async {
    let list = await answer("ListPodSandbox", Self.ofPod(pod), log: log)
    for sandbox in list?["items"].array ?? [] where sandbox["id"].string != kept {
      let id: Value = ["pod_sandbox_id": sandbox["id"]]
      _ = await answer("StopPodSandbox", id, log: log)
      _ = await answer("RemovePodSandbox", id, log: log)
    }
  }

  /// A list's filter.
  static func ofPod(_ uid: String) -> Value { ["filter": ["label_selector": ["io.kubernetes.pod.uid": .string(uid)]]] }
}
