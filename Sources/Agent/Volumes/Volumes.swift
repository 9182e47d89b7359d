import CLinux
import Client
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// A pod's volumes on this node: made before its sandbox, brought up to date while it runs, taken away after it.
struct Volumes: Sendable {
  let plan: PodPlan
  let configuration: AgentConfiguration
  let sources: PodSources
  let hostAddress: String
  let allocatable: [String: Int64]

  var podDirectory: String { "\(configuration.podDirectory)/\(plan.uid)" }
  var group: gid_t? { plan.object["spec"]["securityContext"]["fsGroup"].int.flatMap { gid_t(exactly: $0) } }

  func directory(_ kind: String, _ name: String) -> String { "\(podDirectory)/volumes/kubernetes.io~\(kind)/\(name)" }

  /// - Returns: host path of each volume.
  /// - Throws: what upstream shows with `FailedMount`.
  func prepare(addresses: [String]) async throws(AgentFailure) -> [String: String] {
    var paths: [String: String] = [:]
    try Files.makeDirectory(podDirectory, mode: 0o750)
    for volume in plan.object["spec"]["volumes"].array ?? [] {
      guard let name = volume["name"].string else { continue }
      do throws(AgentFailure) {
        paths[name] = try await prepare(volume, name, addresses: addresses)
      } catch {
        throw AgentFailure("MountVolume.SetUp failed for volume \"\(name)\" : \(error.description)")
      }
    }
    return paths
  }

  private func prepare(_ volume: Value, _ name: String, addresses: [String]) async throws(AgentFailure) -> String {
    if !volume["emptyDir"].isNull { return try prepareEmptyDirectory(volume["emptyDir"], name) }
    if !volume["hostPath"].isNull { return try HostPathVolume.check(volume["hostPath"]) }
    for kind in Self.contentKinds where !volume[kind.key].isNull {
      let path = directory(kind.directory, name)
      try prepareMemory(path)
      try AtomicWriter.write(try await content(volume, addresses: addresses), to: path, group: group)
      return path
    }
    if let claim = volume["persistentVolumeClaim"]["claimName"].string { return try await prepareClaim(claim) }
    // A volume without a source is an emptyDir upstream.
    let source = volume.object?.keys.first { $0 != "name" }
    guard let source else { return try prepareEmptyDirectory(.emptyObject, name) }
    throw AgentFailure("this node cannot mount volumes of type \(source)")
  }

  static let contentKinds = [
    (key: "configMap", directory: "configmap"), (key: "secret", directory: "secret"), (key: "projected", directory: "projected"),
    (key: "downwardAPI", directory: "downward-api"),
  ]

  /// True where something in it may change while the pod runs.
  var hasContent: Bool {
    (plan.object["spec"]["volumes"].array ?? []).contains { volume in Self.contentKinds.contains { !volume[$0.key].isNull } }
  }

  /// Brings config maps, secrets, tokens and the downward API up to date in the volumes of a running pod.
  func refresh(addresses: [String]) async {
    for volume in plan.object["spec"]["volumes"].array ?? [] {
      guard let name = volume["name"].string, let kind = Self.contentKinds.first(where: { !volume[$0.key].isNull }) else {
        continue
      }
      let path = directory(kind.directory, name)
      guard Files.isDirectory(path), let files = try? await content(volume, addresses: addresses) else { continue }
      _ = try? AtomicWriter.write(files, to: path, group: group)
    }
  }

  /// Secrets are never written to a disk.
  private func prepareMemory(_ path: String) throws(AgentFailure) {
    try Files.makeDirectory(path, mode: 0o755)
    if Files.mounts(beneath: path).contains(path) { return }
    guard gantry_mount("tmpfs", path, "tmpfs", UInt(GANTRY_MS_NOSUID | GANTRY_MS_NODEV), "mode=0755") == 0 else {
      throw Files.failure("cannot mount tmpfs on", path)
    }
    if let group {
      chown(path, uid_t.max, group)
      chmod(path, 0o2775)
    }
  }

  /// A claim whose volume lies on this node: `hostPath` or `local`.
  private func prepareClaim(_ claim: String) async throws(AgentFailure) -> String {
    do throws(APIError) {
      let object = try await sources.client.get(.persistentVolumeClaims, ObjectKey(namespace: plan.key.namespace, name: claim))
        .value
      guard object["status"]["phase"].string == "Bound", let name = object["spec"]["volumeName"].string else {
        throw APIError(.invalid, "persistentvolumeclaim \"\(claim)\" is not bound")
      }
      let volume = try await sources.client.get(.persistentVolumes, ObjectKey(name: name)).value["spec"]
      if !volume["hostPath"].isNull {
        do throws(AgentFailure) { return try HostPathVolume.check(volume["hostPath"]) } catch {
          throw APIError(.invalid, error.description)
        }
      }
      if let path = volume["local"]["path"].string {
        guard Files.isDirectory(path) else { throw APIError(.invalid, "path \"\(path)\" does not exist") }
        return path
      }
      throw APIError(.invalid, "this node cannot mount persistentvolume \"\(name)\"")
    } catch {
      throw AgentFailure(error.message)
    }
  }

  /// Takes all mounts and files of a pod away.
  static func tearDown(_ podDirectory: String) async {
    await Files.offThread {
      Files.unmountAll(beneath: podDirectory)
      guard Files.mounts(beneath: podDirectory).isEmpty else { return }
      Files.remove(podDirectory)
    }
  }
}
