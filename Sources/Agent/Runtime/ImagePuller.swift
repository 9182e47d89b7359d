import RPC
import Wire

/// Images for containers, by policy. Pulls of one image at one time are one pull.
actor ImagePuller {
  struct Failure: Error {
    var reason: String
    var message: String
  }

  private let cri: CRIClient
  private var pulls: [String: Task<Result<String, GRPCError>, Never>] = [:]

  init(_ cri: CRIClient) { self.cri = cri }

  /// - Returns: CRI's `Image`.
  func ensure(
    _ container: ContainerPlan, plan: PodPlan, sandbox: Value, sources: PodSources,
    tell: @escaping @Sendable (_ warning: Bool, _ reason: String, _ message: String) async -> Void
  ) async throws(Failure) -> Value {
    let image = container.image
    guard !image.isEmpty else { throw Failure(reason: "InvalidImageName", message: "the image has no name") }
    let tagged = Self.withTag(image)
    let policy = container.spec["imagePullPolicy"].string ?? (tagged.hasSuffix(":latest") ? "Always" : "IfNotPresent")
    let present = await status(tagged)
    if policy != "Always", let present {
      await tell(false, "Pulled", "Container image \"\(image)\" already present on machine")
      return present
    }
    if policy == "Never" {
      await tell(true, "ErrImageNeverPull", "Container image \"\(image)\" is not present with pull policy of Never")
      throw Failure(reason: "ErrImageNeverPull", message: "Container image \"\(image)\" is not present with pull policy of Never")
    }
    await tell(false, "Pulling", "Pulling image \"\(image)\"")
    let secrets = (plan.object["spec"]["imagePullSecrets"].array ?? []).compactMap { $0["name"].string }
    let auth = await sources.credentials(for: image, namespace: plan.key.namespace, secrets: secrets)
    let start = Moment.now()
    let result: Result<String, GRPCError>
    if auth == nil, let running = pulls[tagged] {
      result = await running.value
    } else {
      let cri = cri
      let task = Task { () -> Result<String, GRPCError> in
        do throws(GRPCError) {
          var request: Value = ["image": ["image": .string(tagged)], "sandbox_config": sandbox]
          if let auth { request["auth"] = auth }
          let answer = try await cri.call("PullImage", request, deadline: .seconds(3600))
          return .success(answer["image_ref"].string ?? "")
        } catch {
          return .failure(error)
        }
      }
      if auth == nil { pulls[tagged] = task }
      result = await task.value
      if auth == nil { pulls[tagged] = nil }
    }
    switch result {
    case .failure(let error):
      await tell(true, "Failed", "Failed to pull image \"\(image)\": \(error.message)")
      let isInvalid =
        error.message.contains("failed to parse image reference") || error.message.contains("invalid reference format")
      throw Failure(
        reason: isInvalid ? "InvalidImageName" : "ErrImagePull",
        message: isInvalid
          ? "Failed to apply default image tag \"\(image)\": couldn't parse image name: invalid reference format" : error.message)
    case .success(let reference):
      guard let found = await status(reference.isEmpty ? tagged : reference) else {
        throw Failure(reason: "ErrImagePull", message: "the image \"\(image)\" was pulled and is gone")
      }
      let seconds = Moment.now() - start
      let size = found["size"].int ?? 0
      let took = seconds < 1 ? "\(Int(seconds * 1000))ms" : "\((seconds * 1000).rounded() / 1000)s"
      await tell(
        false, "Pulled", "Successfully pulled image \"\(image)\" in \(took) (\(took) including waiting). Image size: \(size) bytes."
      )
      return found
    }
  }

  private func status(_ image: String) async -> Value? {
    guard let answer = try? await cri.call("ImageStatus", ["image": ["image": .string(image)]]), answer["image"]["id"].string != nil
    else { return nil }
    return answer["image"]
  }

  static func withTag(_ image: String) -> String {
    if image.contains("@") { return image }
    let last = image.split(separator: "/").last ?? ""
    return last.contains(":") ? image : "\(image):latest"
  }
}
