import Wire

/// The interface that carries the addresses a node answers itself: the `kubernetes` service's and cluster DNS's. It also holds the
/// route of the service range, so that the host reaches services without a default route, and unknown addresses lead nowhere.
package struct ServiceInterface: Sendable {
  /// At most 15 characters.
  package var name: String
  package var addresses: [IPAddress]
  package var serviceCIDRs: [CIDR]
  /// The source of the host's own connections to services: an address of the node that pods anywhere can answer.
  package var source: IPAddress?
  let command: Command

  package init(name: String, addresses: [IPAddress], serviceCIDRs: [CIDR], source: IPAddress?, command: Command = Command()) {
    self.name = name
    self.addresses = addresses
    self.serviceCIDRs = serviceCIDRs
    self.source = source
    self.command = command
  }

  package struct Failure: Error, CustomStringConvertible {
    package var description: String
  }

  /// Makes the interface, or makes an existing one right.
  /// - Throws: ``Failure`` where another interface has one of the addresses.
  package func create() async throws {
    for address in addresses {
      let found = (try? await command.run("ip", "-j", "address", "show", "to", "\(address)")).flatMap { try? Value(json: $0) }
      // Old programs print an empty object for every interface that was left out.
      for other in (found?.array ?? []).compactMap({ $0["ifname"].string }) where other != name {
        throw Failure(
          description:
            "\(address) is on the interface \(other) already; another Gantry of this machine, or another network, has the same "
            + "addresses as this one's services: choose another range with --service-cidr")
      }
    }
    if (try? await command.run("ip", "link", "show", "dev", name)) == nil { try await add() }
    try await command.run("ip", "link", "set", "dev", name, "up")
    for address in addresses {
      let length = address.family == .v4 ? 32 : 128
      try await command.run("ip", "address", "replace", "\(address)/\(length)", "dev", name)
    }
    for block in serviceCIDRs {
      var words = ["ip", "route", "replace", "\(block)", "dev", name]
      if let source, source.family == block.family { words += ["src", "\(source)"] }
      try await command.run(words)
    }
  }

  /// A kernel without dummy interfaces has bridges as a rule: one without ports does the same.
  private func add() async throws {
    do { try await command.run("ip", "link", "add", name, "type", "dummy") } catch {
      do { try await command.run("ip", "link", "add", name, "type", "bridge") } catch _ { throw error }
    }
  }

  package func remove() async { _ = try? await command.run("ip", "link", "delete", name) }
}
