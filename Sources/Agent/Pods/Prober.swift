import NIOCore
import NIOHTTP1
import NIOPosix
import RPC
import Wire

/// One check of a container: a command inside it, a request or a connection to it.
struct Prober: Sendable {
  let cri: CRIClient
  let container: Value
  let containerID: String
  let address: String
  /// The release that answers to probed servers: `1.36`.
  let release: String

  func run(_ probe: ProbePlan) async -> (succeeded: Bool, message: String) {
    if !probe.action["exec"].isNull { return await exec(probe) }
    if !probe.action["httpGet"].isNull { return await http(probe) }
    if !probe.action["tcpSocket"].isNull {
      let action = probe.action["tcpSocket"]
      guard let port = port(action["port"]) else { return (false, "the probe's port is not known") }
      return await tcp(host: action["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? address, port: port, probe.timeout)
    }
    return (true, "")
  }

  private func port(_ value: Value) -> Int? {
    if let number = value.int { return Int(exactly: number) }
    guard let name = value.string else { return nil }
    if let number = Int(name) { return number }
    return (container["ports"].array ?? []).first { $0["name"].string == name }?["containerPort"].int.flatMap { Int(exactly: $0) }
  }

  private func exec(_ probe: ProbePlan) async -> (Bool, String) {
    do throws(GRPCError) {
      let answer = try await cri.call(
        "ExecSync",
        ["container_id": .string(containerID), "cmd": probe.action["exec"]["command"], "timeout": .int(Int64(probe.timeout))],
        deadline: .seconds(probe.timeout + 10))
      let output = (answer["stdout"].string ?? "") + (answer["stderr"].string ?? "")
      return ((answer["exit_code"].int ?? 0) == 0, String(output.prefix(10_240)))
    } catch {
      if error.status == .deadlineExceeded { return (false, "command timed out after \(Int(probe.timeout))s") }
      return (false, error.message)
    }
  }

  private func tcp(host: String, port: Int, _ timeout: Double) async -> (Bool, String) {
    do {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(.milliseconds(Int64(timeout * 1000))).connect(host: host, port: port).get()
      channel.close(promise: nil)
      return (true, "")
    } catch {
      return (false, "dial tcp \(host):\(port): \(Self.words(error))")
    }
  }

  static func words(_ error: any Error) -> String {
    if let connection = error as? NIOConnectionError, let first = connection.connectionErrors.first { return words(first.error) }
    if let system = error as? IOError {
      switch system.errnoCode {
      case 111: return "connect: connection refused"
      case 113: return "connect: no route to host"
      default: return system.description
      }
    }
    if let error = error as? ChannelError, case .connectTimeout = error { return "i/o timeout" }
    return "\(error)"
  }

  private func http(_ probe: ProbePlan) async -> (Bool, String) {
    let action = probe.action["httpGet"]
    guard let port = port(action["port"]) else { return (false, "the probe's port is not known") }
    let host = action["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? address
    var path = action["path"].string ?? "/"
    if !path.hasPrefix("/") { path = "/\(path)" }
    let url = "\(action["scheme"].string == "HTTPS" ? "https" : "http")://\(host):\(port)\(path)"
    var headers = HTTPHeaders()
    for header in action["httpHeaders"].array ?? [] {
      if let name = header["name"].string { headers.add(name: name, value: header["value"].string ?? "") }
    }
    if !headers.contains(name: "Host") { headers.add(name: "Host", value: "\(host):\(port)") }
    if !headers.contains(name: "User-Agent") { headers.add(name: "User-Agent", value: "kube-probe/\(release)") }
    if !headers.contains(name: "Accept") { headers.add(name: "Accept", value: "*/*") }
    headers.replaceOrAdd(name: "Connection", value: "close")
    do {
      let status = try await HTTPProbe.get(
        host: host, port: port, isTLS: action["scheme"].string == "HTTPS", path: path, headers: headers, timeout: probe.timeout)
      if (200..<400).contains(status) { return (true, "") }
      return (false, "HTTP probe failed with statuscode: \(status)")
    } catch is HTTPProbe.TimedOut {
      return (false, "Get \"\(url)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    } catch {
      return (false, "Get \"\(url)\": dial tcp \(host):\(port): \(Self.words(error))")
    }
  }
}
