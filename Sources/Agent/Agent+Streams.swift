import Client
import RPC
import Wire

/// Streams into containers: logs, exec, attach.
extension Agent {
  package func connect(
    pod: ObjectKey, uid: String, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream {
    var found: PodWorker?
    for worker in pods.values where worker.key == pod && (uid.isEmpty || worker.uid == uid) { found = worker }
    guard let worker = found else {
      throw APIError(.notFound, "pod \"\(pod.name)\" is not on node \(configuration.nodeName)")
    }
    func option(_ name: String) -> String? { query.last { $0.name == name }?.value }
    func flag(_ name: String) -> Bool { ["true", "1"].contains(option(name) ?? "") }
    let plan = await worker.plan
    let main = plan.containers.filter { !$0.isInit }
    let annotated = plan.object["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].string
    let name = option("container").flatMap { $0.isEmpty ? nil : $0 } ?? annotated ?? main.first?.name ?? ""
    guard plan.containers.contains(where: { $0.name == name }) else {
      throw APIError.badRequest("container \(name) is not valid for pod \(pod.name)")
    }
    switch subresource {
    case "log": return try await logs(worker, plan, name, query)
    case "exec":
      guard let state = await worker.state(name), case .running(let running) = state.state else {
        throw APIError(.internalError, "container not found (\"\(name)\")")
      }
      let session = ExecSession(
        containerd: runtime.containerd, cri: runtime.cri, containerID: running.id,
        options: .init(
          command: query.filter { $0.name == "command" }.map(\.value), hasInput: flag("stdin"), hasOutput: flag("stdout"),
          hasError: flag("stderr"), isTerminal: flag("tty")), directory: "\(configuration.dataDirectory)/exec",
        turns: worker.execTurns)
      let pipe = FramePipe()
      Task { await session.run(pipe) }
      return pipe
    case "attach":
      guard let state = await worker.state(name), case .running(let running) = state.state else {
        throw APIError(.internalError, "container not found (\"\(name)\")")
      }
      return try await AttachSession.open(
        cri: runtime.cri, containerID: running.id,
        .init(input: flag("stdin"), output: flag("stdout"), error: flag("stderr"), isTerminal: flag("tty")))
    default: throw APIError(.notFound, "a node has no \(subresource) for pods")
    }
  }

  private func logs(
    _ worker: PodWorker, _ plan: PodPlan, _ name: String, _ query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream {
    func option(_ name: String) -> String? { query.last { $0.name == name }?.value }
    func flag(_ name: String) -> Bool { ["true", "1"].contains(option(name) ?? "") }
    guard let container = await worker.state(name) else {
      throw APIError.badRequest("container \(name) is not valid for pod \(plan.key.name)")
    }
    let attempt = container.restarts
    var number = attempt
    let isPrevious = flag("previous")
    if isPrevious {
      guard container.last != nil else {
        throw APIError.badRequest(
          "previous terminated container \"\(name)\" in pod \"\(plan.key.name)\" not found")
      }
      if case .waiting = container.state { number = attempt } else { number = attempt - 1 }
    } else {
      switch container.state {
      case .waiting(let reason, _), .starting(let reason, _):
        if container.last == nil {
          let why =
            switch reason {
            case "ErrImagePull": "image can't be pulled"
            case "ImagePullBackOff": "trying and failing to pull image"
            default: reason
            }
          throw APIError.badRequest("container \"\(name)\" in pod \"\(plan.key.name)\" is waiting to start: \(why)")
        }
        if case .starting = container.state { number = attempt - 1 }
      default: break
      }
    }
    var options = LogFile.Options()
    options.follow = flag("follow") && !isPrevious
    options.tailLines = option("tailLines").flatMap { Int($0) }
    options.limitBytes = option("limitBytes").flatMap { Int($0) }
    options.timestamps = flag("timestamps")
    options.stream = option("stream").flatMap { $0 == "All" ? nil : $0 }
    if let seconds = option("sinceSeconds").flatMap({ Int64($0) }) {
      options.sinceNanoseconds = (Moment.now() + -Double(seconds)).nanoseconds
    } else if let time = option("sinceTime") {
      options.sinceNanoseconds = LogFile.nanoseconds(Array(time.utf8)[...])
    }
    let path = "\(RuntimeConfiguration.logDirectory(plan, configuration))/\(name)/\(max(0, number)).log"
    let pipe = FramePipe()
    let id = container.runningID
    let reader = LogReader(path: path, options: options, pipe: pipe) { [weak worker] in
      guard let id, let worker else { return false }
      return await worker.state(name)?.runningID == id
    }
    if options.follow, let id {
      followers[id, default: []].append(reader)
      pipe.onClose { [weak self] in Task { await self?.unfollow(id, reader) } }
    }
    do throws(AgentFailure) { try reader.start() } catch { throw APIError(.internalError, error.description) }
    return pipe
  }

  private func unfollow(_ id: String, _ reader: LogReader) {
    followers[id]?.removeAll { $0 === reader }
    if followers[id]?.isEmpty == true { followers[id] = nil }
  }
}
