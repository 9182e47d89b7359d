import Client
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// What one container of a pod is made from: its environment, mounts, user and limits as CRI wants them.
struct ContainerConfiguration {
  let node: NodeContext
  let volumes: Volumes
  /// Host path of each volume of the pod.
  let volumePaths: [String: String]
  let container: ContainerPlan
  let attempt: Int
  let addresses: [String]

  private var plan: PodPlan { volumes.plan }
  private var spec: Value { container.spec }
  private var messagePath: String { spec["terminationMessagePath"].string ?? "/dev/termination-log" }

  /// The CRI configuration, with what it needs on disk made ready.
  /// - Parameter image: CRI's `Image`.
  func make(_ image: Value) async throws(AgentFailure) -> Value {
    let variables = try await ContainerEnvironment.variables(
      plan, spec, sources: node.sources, addresses: addresses, hostAddress: node.configuration.nodeAddress,
      allocatable: node.allocatable)
    let known = Dictionary(variables, uniquingKeysWith: { $1 })
    let mounts = try ownMounts(beside: try volumeMounts(known))
    let userName = image["username"].string ?? ""
    let security = try RuntimeConfiguration.security(
      plan, container, imageUID: image["uid"]["value"].int ?? (image["uid"].object != nil ? 0 : nil), imageUserName: userName)
    func words(_ name: String) -> Value {
      .array((spec[name].array ?? []).compactMap(\.string).map { .string(ContainerEnvironment.expand($0, known)) })
    }
    var labels = RuntimeConfiguration.labels(plan)
    labels["io.kubernetes.container.name"] = .string(container.name)
    return [
      "metadata": ["name": .string(container.name), "attempt": .int(Int64(attempt))],
      "image": ["image": .string(image["id"].string ?? container.image), "user_specified_image": .string(container.image)],
      "command": words("command"), "args": words("args"),
      "working_dir": .string(ContainerEnvironment.expand(spec["workingDir"].string ?? "", known)),
      "envs": .array(variables.map { ["key": .string($0.0), "value": .string($0.1)] }), "mounts": .array(mounts),
      "labels": labels,
      "annotations": [
        "io.kubernetes.container.restartCount": .string("\(attempt)"),
        "io.kubernetes.container.terminationMessagePath": .string(messagePath),
        "io.kubernetes.container.terminationMessagePolicy": .string(spec["terminationMessagePolicy"].string ?? "File"),
        "io.kubernetes.pod.terminationGracePeriod": .string("\(plan.grace)"),
      ],
      "log_path": .string("\(container.name)/\(attempt).log"), "stdin": .bool(spec["stdin"].bool ?? false),
      "stdin_once": .bool(spec["stdinOnce"].bool ?? false), "tty": .bool(spec["tty"].bool ?? false),
      "linux": [
        "resources": RuntimeConfiguration.resources(plan, spec, memoryCapacity: node.memoryCapacity), "security_context": security,
      ],
    ]
  }
  /// The volumes that the container mounts, where it wants them.
  private func volumeMounts(_ known: [String: String]) throws(AgentFailure) -> [Value] {
    var mounts: [Value] = []
    // What the agent keeps up to date is nobody else's to write.
    let contentVolumes = Set(
      (plan.object["spec"]["volumes"].array ?? []).filter { volume in Volumes.contentKinds.contains { !volume[$0.key].isNull } }
        .compactMap { $0["name"].string })
    for (index, mount) in (spec["volumeMounts"].array ?? []).enumerated() {
      let volume = mount["name"].string ?? ""
      guard var path = volumePaths[volume] else { throw AgentFailure("volume \"\(volume)\" is not mounted") }
      var target = mount["mountPath"].string ?? ""
      if !target.hasPrefix("/") { target = "/\(target)" }
      let subPath = mount["subPathExpr"].string.map { ContainerEnvironment.expand($0, known) } ?? mount["subPath"].string ?? ""
      if !subPath.isEmpty {
        let bound = "\(volumes.podDirectory)/volume-subpaths/\(volume)/\(container.name)/\(index)"
        do { try SubPath.bind(volume: path, path: subPath, target: bound) } catch {
          throw AgentFailure(
            "failed to prepare subPath for volumeMount \"\(volume)\" of container \"\(container.name)\": \(error.description)")
        }
        path = bound
      }
      let propagation =
        switch mount["mountPropagation"].string {
        case "Bidirectional": "PROPAGATION_BIDIRECTIONAL"
        case "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER"
        default: "PROPAGATION_PRIVATE"
        }
      mounts.append([
        "container_path": .string(target), "host_path": .string(path),
        "readonly": .bool(mount["readOnly"].bool == true || contentVolumes.contains(volume)),
        "propagation": .string(propagation),
      ])
    }
    return mounts
  }

  /// The hosts file and the file of the termination message, unless a volume is mounted in their place.
  private func ownMounts(beside volumes: [Value]) throws(AgentFailure) -> [Value] {
    let podDirectory = self.volumes.podDirectory
    var mounts = volumes
    func isMounted(_ target: String) -> Bool { mounts.contains { $0["container_path"].string == target } }
    if !isMounted("/etc/hosts"), !plan.isHostNetwork || !(plan.object["spec"]["hostAliases"].array ?? []).isEmpty {
      let file = "\(podDirectory)/etc-hosts"
      if !Files.exists(file) {
        let text = RuntimeConfiguration.hostsFile(plan, addresses: addresses, domain: node.configuration.clusterDomain)
        try Files.write(Array(text.utf8), to: file, mode: 0o644)
      }
      mounts.append(["container_path": "/etc/hosts", "host_path": .string(file)])
    }
    let messageFile = "\(podDirectory)/containers/\(container.name)/\(attempt)"
    try Files.makeDirectory("\(podDirectory)/containers/\(container.name)", mode: 0o755)
    try Files.write([], to: messageFile, mode: 0o666)
    if !messagePath.isEmpty, !isMounted(messagePath) {
      mounts.append(["container_path": .string(messagePath), "host_path": .string(messageFile)])
    }
    return mounts
  }
}
