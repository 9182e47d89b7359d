import Client
import Logging
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Containers: from an image to a process, and from its end to what the machine is told.
extension PodWorker {
  struct StartFailure: Error {
    var reason: String
    var message: String
  }

  func startContainer(_ name: String, _ attempt: Int) async {
    let plan = machine.plan
    guard let container = plan.containers.first(where: { $0.name == name }),
      case .ready(let sandboxID, let addresses) = machine.sandbox
    else {
      return handle(.startFailed(container: name, reason: "CreateContainerError", message: "the pod has no sandbox"))
    }
    do throws(StartFailure) {
      let sandboxConfig = RuntimeConfiguration.sandbox(plan, attempt: 0, node.configuration, hostResolver: node.hostResolver)
      let image: Value
      do throws(ImagePuller.Failure) {
        image = try await node.images.ensure(
          container, plan: plan, sandbox: sandboxConfig, sources: node.sources
        ) { [self] warning, reason, message in
          await self.tell(warning, reason, message, name)
        }
      } catch {
        throw StartFailure(reason: error.reason, message: error.message)
      }
      let config: Value
      do throws(AgentFailure) {
        let paths: [String: String]
        if let volumePaths { paths = volumePaths } else { paths = try await volumes.prepare(addresses: addresses) }
        volumePaths = paths
        config = try await ContainerConfiguration(
          node: node, volumes: volumes, volumePaths: paths, container: container, attempt: attempt, addresses: addresses
        ).make(image)
      } catch {
        throw StartFailure(reason: "CreateContainerConfigError", message: error.description)
      }
      let id: String
      do throws(GRPCError) {
        let answer = try await node.cri.call(
          "CreateContainer", ["pod_sandbox_id": .string(sandboxID), "config": config, "sandbox_config": sandboxConfig])
        id = answer["container_id"].string ?? ""
      } catch {
        throw StartFailure(reason: "CreateContainerError", message: error.message)
      }
      tell(false, "Created", "Created container: \(name)", name)
      containerIDs[id] = name
      do throws(GRPCError) {
        _ = try await node.cri.call("StartContainer", ["container_id": .string(id)])
      } catch {
        _ = try? await node.cri.call("RemoveContainer", ["container_id": .string(id)])
        throw StartFailure(reason: "RunContainerError", message: error.message)
      }
      tell(false, "Started", "Started container \(name)", name)
      linkLog(plan, name, id, attempt)
      let tags = (image["repo_digests"].array ?? []).first?.string
      handle(.started(container: name, id: id, image: container.image, imageID: tags ?? image["id"].string ?? ""))
      removeOldContainers(name, keep: id)
      if earlyExits.remove(id) != nil { await reportExit(name, id) }
    } catch {
      handle(.startFailed(container: name, reason: error.reason, message: error.message))
    }
  }

  func linkLog(_ plan: PodPlan, _ name: String, _ id: String, _ attempt: Int) {
    let directory = node.configuration.containerLogDirectory
    do throws(AgentFailure) { try Files.makeDirectory(directory, mode: 0o755) } catch { return }
    let link = "\(directory)/\(key.name)_\(key.namespace)_\(name)-\(id).log"
    unlink(link)
    symlink("\(RuntimeConfiguration.logDirectory(plan, node.configuration))/\(name)/\(attempt).log", link)
  }

  /// The last dead container stays for its log and its state; older ones go.
  func removeOldContainers(_ name: String, keep: String) {
    let last = machine.containers.first { $0.plan.name == name }?.last?.id
    let old = containerIDs.filter { $0.value == name && $0.key != keep && $0.key != last }.map(\.key)
    for id in old {
      containerIDs[id] = nil
      earlyExits.remove(id)
    }
    let attempt = machine.containers.first { $0.plan.name == name }?.restarts ?? 0
    let directory = "\(RuntimeConfiguration.logDirectory(machine.plan, node.configuration))/\(name)"
    let pattern = "\(key.name)_\(key.namespace)_\(name)-"
    Task { [node] in
      for id in old {
        _ = try? await node.cri.call("RemoveContainer", ["container_id": .string(id)])
        unlink("\(node.configuration.containerLogDirectory)/\(pattern)\(id).log")
      }
      for file in Files.entries(directory) {
        if let number = Int(file.prefix { $0.isNumber }), number < attempt - 1 { unlink("\(directory)/\(file)") }
      }
    }
  }

  /// Tells a container to end until it has: a runtime that dies meanwhile is told again, with what is left of the grace.
  func stopContainer(_ name: String, _ id: String, _ grace: Int64) async {
    for address in machine.addresses where machine.isTerminating { await node.drain(address) }
    let began = ContinuousClock.now
    var delay = 0.5
    while machine.containers.contains(where: { $0.runningID == id }), !Task.isCancelled {
      let left = max(0, grace - began.duration(to: .now).components.seconds)
      do throws(GRPCError) {
        _ = try await node.cri.call(
          "StopContainer", ["container_id": .string(id), "timeout": .int(left)], deadline: .seconds(left + 120))
        return await reportExit(name, id)
      } catch {
        if error.status == .notFound { return await reportExit(name, id) }
        node.log.warning("container not stopped", metadata: ["pod": "\(key)", "container": "\(name)", "error": "\(error)"])
      }
      try? await Task.sleep(for: .seconds(delay))
      delay = min(30, delay * 2)
    }
  }

  /// Asks the runtime how a container that has ended did, and tells the machine.
  ///
  /// The runtime's own books follow seconds later where the machine is busy, and nobody tells when: they are asked less and less often.
  func reportExit(_ name: String, _ id: String) async {
    guard reporting.insert(id).inserted else { return }
    defer { reporting.remove(id) }
    var delay = 0.01
    var isTold = false
    while machine.containers.contains(where: { $0.runningID == id }), !Task.isCancelled, await !reportIfEnded(name, id) {
      if delay > 2, !isTold {
        isTold = true
        node.log.warning("container has ended, its runtime does not say so", metadata: ["pod": "\(key)", "id": "\(id)"])
      }
      try? await Task.sleep(for: .seconds(delay))
      delay = min(10, delay * 1.5)
    }
  }

  /// - Returns: whether the runtime says that it has ended.
  @discardableResult
  func reportIfEnded(_ name: String, _ id: String) async -> Bool {
    do throws(GRPCError) {
      let status = try await node.cri.call("ContainerStatus", ["container_id": .string(id)])["status"]
      guard ["CONTAINER_EXITED", "CONTAINER_UNKNOWN"].contains(status["state"].string) else { return false }
      let exit = await exit(name, status)
      handle(.exited(container: name, exit))
    } catch {
      guard error.status == .notFound else { return false }
      let now = Moment.now()
      handle(
        .exited(
          container: name,
          .init(
            id: id, code: 137, reason: "ContainerStatusUnknown",
            message: "The container could not be located when the pod was terminated", startedAt: now, finishedAt: now)))
    }
    return true
  }

  func exit(_ name: String, _ status: Value) async -> PodMachine.Exit {
    let code = status["exit_code"].int ?? 0
    var reason = status["reason"].string ?? ""
    if reason.isEmpty { reason = code == 0 ? "Completed" : "Error" }
    let attempt = status["metadata"]["attempt"].int ?? 0
    let plan = machine.plan
    let spec = plan.containers.first { $0.name == name }?.spec ?? .null
    var message = status["message"].string ?? ""
    let file = "\(volumes.podDirectory)/containers/\(name)/\(attempt)"
    if let bytes = Files.read(file, limit: 1 << 20), !bytes.isEmpty {
      message = String(decoding: bytes.suffix(4096), as: UTF8.self)
    } else if spec["terminationMessagePolicy"].string == "FallbackToLogsOnError", code != 0 {
      let log = "\(RuntimeConfiguration.logDirectory(plan, node.configuration))/\(name)/\(attempt).log"
      message = LogFile.tail(log, lines: 80, bytes: 2048)
    }
    return PodMachine.Exit(
      id: status["id"].string ?? "", code: code, reason: reason, message: message,
      startedAt: Moment(nanoseconds: status["started_at"].int ?? 0), finishedAt: Moment(nanoseconds: status["finished_at"].int ?? 0)
    )
  }
}
