#if canImport(Glibc)
  import Glibc
#endif

import Wire

/// How this node reaches others: the interface of its default route, its address and its MTU.
package struct NodeUplink: Sendable, Equatable {
  package var interface: String
  package var address: IPAddress?
  package var mtu: Int?

  /// - Returns: nil where there is no default route, which is no fault: a node alone needs none.
  static func detect(_ family: IPAddress.Family, _ command: Command) async -> NodeUplink? {
    let far = family == .v4 ? "192.0.2.255" : "2001:db8::ffff"
    guard let text = try? await command.run("ip", "-j", family == .v4 ? "-4" : "-6", "route", "get", far),
      let route = (try? Value(json: text))?[0], let interface = route["dev"].string, interface != "lo"
    else { return nil }
    let link = (try? await command.run("ip", "-j", "link", "show", "dev", interface)).flatMap { try? Value(json: $0) }
    return NodeUplink(
      interface: interface, address: route["prefsrc"].string.flatMap { IPAddress($0) }, mtu: link?[0]["mtu"].int.map { Int($0) })
  }
}
