import Logging
import Wire

/// Makes the kernel forget UDP flows whose endpoint is gone, or which began before their service had one: conntrack would lead them into a
/// black hole for as long as they go on.
///
/// - Source: kube-proxy keeps UDP clients from a black hole the same way.
package struct UDPFlows: Sendable {
  /// One line of `conntrack -L`: where a client sent from and to, and who answers.
  package struct Flow: Hashable, Sendable {
    package var source: IPAddress
    package var destination: IPAddress
    package var sourcePort: UInt16
    package var destinationPort: UInt16
    package var answering: IPAddress

    /// `udp 17 29 src=10.42.0.5 dst=10.96.7.7 sport=7005 dport=53 [UNREPLIED] src=10.42.0.11 dst=10.42.0.5 sport=5353 dport=7005 …`
    package init?(line: some StringProtocol) {
      var values: [Substring: [Substring]] = [:]
      for word in Substring(line).split(separator: " ") {
        guard let sign = word.firstIndex(of: "=") else { continue }
        values[word[..<sign], default: []].append(word[word.index(after: sign)...])
      }
      guard let sources = values["src"], sources.count == 2, let source = IPAddress(String(sources[0])),
        let answering = IPAddress(String(sources[1])), let destination = values["dst"]?.first.flatMap({ IPAddress(String($0)) }),
        let sourcePort = values["sport"]?.first.flatMap({ UInt16($0) }),
        let destinationPort = values["dport"]?.first.flatMap({ UInt16($0) })
      else { return nil }
      self.source = source
      self.destination = destination
      self.sourcePort = sourcePort
      self.destinationPort = destinationPort
      self.answering = answering
    }

    package func matches(_ stale: ProxyState.StaleFlow) -> Bool {
      guard stale.backend == nil || stale.backend == answering else { return false }
      return switch stale.front {
      case .address(let address, _, let port): address == destination && port == destinationPort
      case .nodePort(let family, _, let port): family == destination.family && port == destinationPort
      }
    }
  }

  let command: Command
  let log: Logger

  /// A handful of programs, however many flows, services or endpoints.
  func forget(_ stale: Set<ProxyState.StaleFlow>) async {
    guard !stale.isEmpty, Command.find("conntrack") != nil else { return }
    var filters = Set(stale.map(Self.filter))
    // Many at once: the whole list is read instead.
    if filters.count > 8 { filters = Set(stale.map { Self.family($0.front.family) }) }
    var found: Set<Flow> = []
    for filter in filters {
      do {
        let listing = try await command.run(["conntrack", "-L", "-p", "udp"] + filter)
        for flow in listing.split(separator: "\n").lazy.compactMap({ Flow(line: $0) }) where stale.contains(where: flow.matches) {
          found.insert(flow)
        }
      } catch {
        log.warning("UDP flows are not listed", metadata: ["error": "\(error)"])
      }
    }
    guard !found.isEmpty else { return }
    let script = found.map { flow in
      let family = Self.family(flow.source.family).joined(separator: " ")
      return
        "-D -p udp \(family) -s \(flow.source) -d \(flow.destination) --sport \(flow.sourcePort) --dport \(flow.destinationPort)\n"
    }
    do { try await command.run("conntrack", "-R", "-", input: script.joined()) } catch {
      log.warning("UDP flows are not forgotten", metadata: ["error": "\(error)"])
    }
  }

  private static func family(_ family: IPAddress.Family) -> [String] { ["-f", family == .v4 ? "ipv4" : "ipv6"] }

  private static func filter(_ stale: ProxyState.StaleFlow) -> [String] {
    let family = family(stale.front.family)
    if let backend = stale.backend { return family + ["--reply-src", "\(backend)"] }
    switch stale.front {
    case .address(let address, _, let port): return family + ["--orig-dst", "\(address)", "--orig-port-dst", "\(port)"]
    case .nodePort(_, _, let port): return family + ["--orig-port-dst", "\(port)"]
    }
  }
}
