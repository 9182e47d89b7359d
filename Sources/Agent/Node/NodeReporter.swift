import Client
import Logging
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// This node as the cluster sees it: registered once, its status when something changes or every five minutes, its lease every ten seconds.
package struct NodeReporter: Sendable {
  let configuration: AgentConfiguration
  let client: any Client
  let cri: CRIClient
  let log: Logger

  static func architecture() -> String {
    #if arch(arm64)
      "arm64"
    #else
      "amd64"
    #endif
  }

  static func memoryTotal() -> Int64 {
    for line in (Files.text("/proc/meminfo") ?? "").split(separator: "\n") where line.hasPrefix("MemTotal:") {
      return (Int64(line.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }

  static func memoryAvailable() -> Int64 {
    for line in (Files.text("/proc/meminfo") ?? "").split(separator: "\n") where line.hasPrefix("MemAvailable:") {
      return (Int64(line.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }

  static var hasAppArmor: Bool { Files.text("/sys/module/apparmor/parameters/enabled")?.hasPrefix("Y") == true }

  static func processors() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  static func disk(_ path: String) -> (total: Int64, available: Int64, inodesFree: Int64) {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return (0, 0, 0) }
    let block = Int64(status.f_frsize)
    return (Int64(status.f_blocks) * block, Int64(status.f_bavail) * block, Int64(clamping: status.f_favail))
  }

  /// Thousandths by resource name: what pods may use.
  func allocatable() -> [String: Int64] {
    let disk = Self.disk(configuration.dataDirectory)
    return [
      "cpu": Int64(Self.processors()) * 1000, "memory": max(0, Self.memoryTotal() - 100 << 20) * 1000,
      "ephemeral-storage": disk.total / 10 * 9 * 1000, "pods": Int64(configuration.maximumPods) * 1000,
    ]
  }

  private func resources(isAllocatable: Bool) -> Value {
    let disk = Self.disk(configuration.dataDirectory)
    let memory = Self.memoryTotal() / 1024
    return [
      "cpu": .string("\(Self.processors())"),
      "ephemeral-storage": .string(isAllocatable ? "\(disk.total / 10 * 9)" : "\(disk.total / 1024)Ki"), "hugepages-1Gi": "0",
      "hugepages-2Mi": "0", "memory": .string("\(isAllocatable ? max(0, memory - 102_400) : memory)Ki"),
      "pods": .string("\(configuration.maximumPods)"),
    ]
  }

  private var labels: [String: String] {
    [
      "kubernetes.io/hostname": configuration.nodeName, "kubernetes.io/arch": Self.architecture(), "kubernetes.io/os": "linux",
      "beta.kubernetes.io/arch": Self.architecture(), "beta.kubernetes.io/os": "linux",
    ].merging(configuration.nodeLabels) { $1 }
  }

  private var key: ObjectKey { ObjectKey(name: configuration.nodeName) }

  /// Makes the Node object, or sees that the one that exists has the labels.
  func register() async throws(APIError) {
    var delay = 0.1
    while true {
      do throws(APIError) {
        let present = try await client.get(.nodes, key)
        let known = present.withView { $0["metadata"]["labels"].stringMap }
        let missing = labels.filter { known[$0.key] != $0.value }
        if !missing.isEmpty {
          var patch: Value = .emptyObject
          for (name, value) in missing.sorted(by: { $0.key < $1.key }) { patch[name] = .string(value) }
          _ = try await client.patch(
            .nodes, key, subresource: nil, Patch(.merge, ["metadata": ["labels": patch]]), WriteOptions(fieldManager: "kubelet"))
        }
        return
      } catch {
        if error.reason == .notFound {
          var labelObject: Value = .emptyObject
          for (name, value) in labels.sorted(by: { $0.key < $1.key }) { labelObject[name] = .string(value) }
          do throws(APIError) {
            _ = try await client.create(
              .nodes, namespace: "",
              body: [
                "apiVersion": "v1", "kind": "Node",
                "metadata": [
                  "name": .string(configuration.nodeName), "labels": labelObject,
                  "annotations": ["volumes.kubernetes.io/controller-managed-attach-detach": "true"],
                ], "spec": .emptyObject,
              ], WriteOptions(fieldManager: "kubelet"))
            return
          } catch {
            // What the server will refuse again is not tried again.
            if [.invalid, .badRequest, .forbidden].contains(error.reason) { throw error }
            if error.reason != .alreadyExists { log.warning("node not registered", metadata: ["error": "\(error.message)"]) }
          }
        } else if error.reason == .forbidden {
          throw error
        }
        if Task.isCancelled { throw error }
        try? await Task.sleep(for: .seconds(delay))
        delay = min(10, delay * 2)
      }
    }
  }

  /// What the node says of itself: a strategic patch, which leaves the conditions and resources of others alone.
  /// - Parameters:
  ///   - previous: as the API shows it.
  ///   - notReady: why the node is not ready, or nil.
  func status(previous: Value, notReady: String?, now: Moment) async -> Value {
    let version = try? await cri.call("Version", ["version": "0.1.0"], deadline: .seconds(30))
    let memoryPressure = Self.memoryAvailable() < 100 << 20
    let disk = Self.disk(configuration.dataDirectory)
    let diskPressure = disk.total > 0 && disk.available * 100 < disk.total * 5
    let ready = version != nil && notReady == nil
    let old = previous["conditions"].array ?? []
    func condition(_ type: String, _ status: Bool, _ reason: String, _ message: String) -> Value {
      let text = status ? "True" : "False"
      let before = old.first { $0["type"].string == type }
      let since = before?["status"].string == text ? before?["lastTransitionTime"].string ?? now.text : now.text
      return [
        "type": .string(type), "status": .string(text), "lastHeartbeatTime": .string(now.text),
        "lastTransitionTime": .string(since),
        "reason": .string(reason), "message": .string(message),
      ]
    }
    let own = [
      condition(
        "MemoryPressure", memoryPressure, memoryPressure ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
        memoryPressure ? "kubelet has insufficient memory available" : "kubelet has sufficient memory available"),
      condition(
        "DiskPressure", diskPressure, diskPressure ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
        diskPressure ? "kubelet has disk pressure" : "kubelet has no disk pressure"),
      condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      condition(
        "Ready", ready, ready ? "KubeletReady" : "KubeletNotReady",
        ready ? "kubelet is posting ready status" : notReady ?? "container runtime is down"),
    ]
    var system = utsname()
    uname(&system)
    let kernel = withUnsafePointer(to: &system.release) {
      $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
    }
    func line(_ path: String) -> String { (Files.text(path) ?? "").split(separator: "\n").first.map(String.init) ?? "" }
    let release = (Files.text("/etc/os-release") ?? "").split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
    let image = release.map { String($0.dropFirst(12)).filter { $0 != "\"" } } ?? "Linux"
    var images: [Value] = []
    if let list = try? await cri.call("ListImages", deadline: .seconds(10)) {
      images = (list["images"].array ?? []).sorted {
        ($0["size"].int ?? 0, $0["id"].string ?? "") > ($1["size"].int ?? 0, $1["id"].string ?? "")
      }.prefix(50).map { image in
        let names = ((image["repo_digests"].array ?? []) + (image["repo_tags"].array ?? [])).prefix(5)
        return ["names": .array(Array(names)), "sizeBytes": .int(image["size"].int ?? 0)]
      }
    }
    var allocatable = resources(isAllocatable: true)
    for (name, amount) in Self.extended(previous["capacity"]) { allocatable[name] = amount }
    return [
      "capacity": resources(isAllocatable: false),
      "allocatable": allocatable,
      "conditions": .array(own),
      "addresses": [
        ["type": "InternalIP", "address": .string(configuration.nodeAddress)],
        ["type": "Hostname", "address": .string(configuration.nodeName)],
      ], "daemonEndpoints": .null,
      "nodeInfo": [
        "machineID": .string(line("/etc/machine-id")), "systemUUID": .string(line("/sys/class/dmi/id/product_uuid")),
        "bootID": .string(line("/proc/sys/kernel/random/boot_id")), "kernelVersion": .string(kernel), "osImage": .string(image),
        "containerRuntimeVersion": .string("containerd://\(version?["runtime_version"].string ?? "unknown")"),
        "kubeletVersion": .string(configuration.version), "kubeProxyVersion": .string(configuration.version),
        "operatingSystem": "linux",
        "architecture": .string(Self.architecture()),
      ], "images": .array(images),
    ]
  }

  /// Resources that somebody else says the node has (`example.com/dongle`): pods may use all of them.
  private static func extended(_ capacity: Value) -> [(key: String, value: Value)] {
    (capacity.object?.members ?? []).filter { $0.key.contains("/") }.map { ($0.key, $0.value) }
  }

  /// Whether a status says of the node's conditions what the node says, and lets pods use what the node has.
  package static func agrees(_ shown: Value, with own: Value) -> Bool {
    (own["conditions"].array ?? []).allSatisfy { condition in
      (shown["conditions"].array ?? []).contains { $0["type"] == condition["type"] && $0["status"] == condition["status"] }
    } && extended(shown["capacity"]).allSatisfy { shown["allocatable"][$0.key] == $0.value }
  }

  /// What is told of a node whose status changes: what became of its conditions, and whether it was booted anew. At a start what is well is
  /// told too, as the kubelet does.
  package static func news(
    from old: Value, to new: Value, node: String, isStart: Bool
  ) -> [(isWarning: Bool, reason: String, message: String)] {
    var told: [(isWarning: Bool, reason: String, message: String)] = []
    if isStart { told.append((false, "Starting", "Starting kubelet.")) }
    func isTrue(_ status: Value, _ type: String) -> Bool? {
      (status["conditions"].array ?? []).first { $0["type"].string == type }?["status"].string.map { $0 == "True" }
    }
    for (type, bad, good) in [
      ("MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
      ("DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
      ("PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"), ("Ready", "NodeReady", "NodeNotReady"),
    ] {
      guard let now = isTrue(new, type), now != isTrue(old, type) || isStart && type != "Ready" else { continue }
      let reason = now ? bad : good
      told.append((false, reason, "Node \(node) status is now: \(reason)"))
    }
    let boot = new["nodeInfo"]["bootID"].string ?? ""
    if let before = old["nodeInfo"]["bootID"].string, !before.isEmpty, before != boot {
      told.append((true, "Rebooted", "Node \(node) has been rebooted, boot id: \(boot)"))
    }
    return told
  }

  /// Everything but the heartbeat's time: equal means that nothing has to be written.
  static func fingerprint(_ status: Value) -> Value {
    var status = status
    status["conditions"] = .array(
      (status["conditions"].array ?? []).map { condition in
        var condition = condition
        condition.remove("lastHeartbeatTime")
        return condition
      })
    return status
  }

  /// Renews the lease for ever. Volatile on SQLite, so it costs no fsync.
  func renewLease() async {
    let key = ObjectKey(namespace: "kube-node-lease", name: configuration.nodeName)
    while !Task.isCancelled {
      let time: Value = .string(WallTime.now().timestamp.microDescription)
      do throws(APIError) {
        _ = try await client.patch(
          .leases, key, subresource: nil,
          Patch(.merge, ["spec": ["holderIdentity": .string(configuration.nodeName), "renewTime": time]]),
          WriteOptions(fieldManager: "kubelet"))
      } catch {
        if error.reason == .notFound {
          let node = try? await client.get(.nodes, ObjectKey(name: configuration.nodeName))
          var metadata: Value = ["name": .string(configuration.nodeName), "namespace": "kube-node-lease"]
          if let node {
            metadata["ownerReferences"] = [
              ["apiVersion": "v1", "kind": "Node", "name": .string(configuration.nodeName), "uid": .string(node.uid)]
            ]
          }
          _ = try? await client.create(
            .leases, namespace: "kube-node-lease",
            body: [
              "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
              "spec": ["holderIdentity": .string(configuration.nodeName), "leaseDurationSeconds": 40, "renewTime": time],
            ], WriteOptions(fieldManager: "kubelet"))
        }
      }
      try? await Task.sleep(for: .seconds(10))
    }
  }
}
