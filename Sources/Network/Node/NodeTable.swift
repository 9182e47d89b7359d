import Logging
import Wire

/// Leads the addresses that a node answers itself (the `kubernetes` service's, DNS's) to the ports it listens on, with a table of its own.
///
/// The listeners take free ports: 443 and 53 of the machine stay anybody's, since a program that binds them on all addresses would otherwise
/// collide with them. The table does not wait for services to be known and is there with `--service-proxy=off` too; its chains come
/// before those of services.
package struct NodeTable: Sendable {
  package struct Entry: Sendable {
    package var address: IPAddress
    package var transport: Transport
    /// What clients connect to.
    package var port: UInt16
    /// Where it is answered.
    package var listener: UInt16

    package init(address: IPAddress, transport: Transport, port: UInt16, listener: UInt16) {
      self.address = address
      self.transport = transport
      self.port = port
      self.listener = listener
    }
  }

  package let name: String
  private let entries: [Entry]
  private let command: Command
  private let log: Logger

  /// - Parameter instance: names the table; see ``Network/Configuration/instance``.
  package init(
    instance: String, _ entries: [Entry], command: Command = Command(), log: Logger = Logger(label: "gantry.network")
  ) {
    self.entries = entries
    self.log = log
    name = "\(instance)-node"
    self.command = command
  }

  /// Replaces what an earlier run left, in one transaction.
  /// - Throws: where nftables refuses.
  package func create() async throws {
    let script = [IPAddress.Family.v4, .v6].map { family in
      let own = entries.filter { $0.address.family == family }
      return own.isEmpty ? removal(family) : removal(family) + creation(family, own)
    }
    try await command.run("nft", "-f", "-", input: script.joined())
    // Whoever asks from the same port again and again would be led to the earlier run's listener for ever.
    let own = entries.filter { $0.transport == .udp }.map {
      ProxyState.StaleFlow(front: .address($0.address, $0.transport, $0.port), backend: nil)
    }
    await UDPFlows(command: command, log: log).forget(Set(own))
  }

  /// Makes it again where somebody took it away.
  package func restore() async {
    guard let family = entries.first?.address.family, await command.lacksTable(name, family) else { return }
    log.warning("the table was taken away and is made anew", metadata: ["table": "\(name)"])
    do { try await create() } catch {
      log.error("nftables refused the table", metadata: ["table": "\(name)", "error": "\(error)"])
    }
  }

  package func remove() async {
    _ = try? await command.run("nft", "-f", "-", input: removal(.v4) + removal(.v6))
  }

  private func removal(_ family: IPAddress.Family) -> String {
    let ip = family == .v4 ? "ip" : "ip6"
    return "table \(ip) \(name) { }\ndelete table \(ip) \(name)\n"
  }

  private func creation(_ family: IPAddress.Family, _ entries: [Entry]) -> String {
    let ip = family == .v4 ? "ip" : "ip6"
    let rules = entries.map { entry in
      let target = family == .v4 ? "\(entry.address):\(entry.listener)" : "[\(entry.address)]:\(entry.listener)"
      return "    \(ip) daddr \(entry.address) \(entry.transport.rawValue) dport \(entry.port) dnat to \(target)"
    }
    return """
      table \(ip) \(name) {
        chain own {
      \(rules.joined(separator: "\n"))
        }
        chain prerouting { type nat hook prerouting priority -101; jump own; }
        chain output { type nat hook output priority -101; jump own; }
      }

      """
  }
}

extension Command {
  /// Whether there is no such nftables table; false where nftables does not say.
  func lacksTable(_ name: String, _ family: IPAddress.Family) async -> Bool {
    guard let tables = try? await run("nft", "list", "tables") else { return false }
    return !tables.split(separator: "\n").contains("table \(family == .v4 ? "ip" : "ip6") \(name)")
  }
}
