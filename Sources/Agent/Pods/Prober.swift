import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import RPC
import Wire

/// One check of a container: a command inside it, a request or a connection to it.
package struct Prober: Sendable {
  let cri: CRIClient
  let container: Value
  let containerID: String
  let address: String
  /// The release that answers to probed servers: `1.36`.
  let release: String

  package init(cri: CRIClient, container: Value, containerID: String, address: String, release: String) {
    self.cri = cri
    self.container = container
    self.containerID = containerID
    self.address = address
    self.release = release
  }

  /// - Returns: the message of a success is a warning; mostly it is empty.
  package func run(_ probe: ProbePlan) async -> (succeeded: Bool, message: String) {
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
      if (answer["exit_code"].int ?? 0) == 0 { return (true, "") }
      return (false, String(((answer["stdout"].string ?? "") + (answer["stderr"].string ?? "")).prefix(10_240)))
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
      case 104: return "read: connection reset by peer"
      case 111: return "connect: connection refused"
      case 113: return "connect: no route to host"
      default: return system.description
      }
    }
    if let error = error as? ChannelError, case .connectTimeout = error { return "i/o timeout" }
    if error is HTTPParserError { return "net/http: HTTP/1.x transport connection broken: malformed HTTP response" }
    if error is NIOSSLError || error is BoringSSLError {
      // Their own words name places in the source that this was built from.
      let text = "\(error)"
      if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
        return "http: server gave HTTP response to HTTPS client"
      }
      return text.contains("uncleanShutdown") ? "EOF" : "remote error: tls: handshake failure"
    }
    return "\(error)"
  }

  /// Redirects on the same host are followed; one to another host is an answer, and worth a warning.
  private func http(_ probe: ProbePlan) async -> (Bool, String) {
    let action = probe.action["httpGet"]
    guard let port = port(action["port"]) else { return (false, "the probe's port is not known") }
    var url = ProbeURL(
      isTLS: action["scheme"].string == "HTTPS", host: action["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? address,
      port: port, path: action["path"].string ?? "/")
    let host = url.host
    var headers = HTTPHeaders()
    for header in action["httpHeaders"].array ?? [] {
      if let name = header["name"].string { headers.add(name: name, value: header["value"].string ?? "") }
    }
    if !headers.contains(name: "Host") { headers.add(name: "Host", value: url.authority) }
    if !headers.contains(name: "User-Agent") { headers.add(name: "User-Agent", value: "kube-probe/\(release)") }
    if !headers.contains(name: "Accept") { headers.add(name: "Accept", value: "*/*") }
    headers.replaceOrAdd(name: "Connection", value: "close")
    let end = NIODeadline.now() + .milliseconds(Int64(probe.timeout * 1000))
    do {
      for _ in 0..<10 {
        let answer = try await HTTPProbe.get(url, headers: headers, timeout: max(.milliseconds(1), end - .now()))
        guard (300..<400).contains(answer.status) else {
          let isGood = (200..<300).contains(answer.status)
          return (isGood, isGood ? "" : "HTTP probe failed with statuscode: \(answer.status)")
        }
        let ended = (true, "Probe terminated redirects, Response body: \(answer.body)")
        guard [301, 302, 303, 307, 308].contains(answer.status), let location = answer.location, !location.isEmpty else {
          return ended
        }
        guard let next = url.redirected(to: location) else {
          throw AgentFailure("failed to parse Location header \"\(location)\"")
        }
        if next.host != host { return ended }
        if next.authority != url.authority { headers.replaceOrAdd(name: "Host", value: next.authority) }
        url = next
      }
      throw AgentFailure("stopped after 10 redirects")
    } catch is HTTPProbe.TimedOut {
      return (false, "Get \"\(url.text)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    } catch {
      var isConnecting = error is NIOConnectionError
      if case .connectTimeout? = error as? ChannelError { isConnecting = true }
      return (false, "Get \"\(url.text)\": \(isConnecting ? "dial tcp \(url.authority): " : "")\(Self.words(error))")
    }
  }
}
