import Wire

/// What the `portmap` plugin leaves behind: it makes chains for all host ports in the table `nat` and never takes them away again.
package enum HostPortChains {
  private static let own = ["CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-DNAT"]
  private static let builtin = ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]

  package static func remove(_ command: Command) async {
    for family in ["ip", "ip6"] {
      guard let listing = try? await command.run("nft", "-j", "list", "table", family, "nat"),
        let value = try? Value(json: Array(listing.utf8))
      else { continue }
      let script = removal(value, family: family)
      if !script.isEmpty { _ = try? await command.run("nft", "-f", "-", input: script) }
    }
  }

  /// The script that takes them away, with what only they were there for; empty where a pod still has a host port (another
  /// instance's) or there are none.
  /// - Parameter listing: what `nft -j list table FAMILY nat` prints.
  package static func removal(_ listing: Value, family: String) -> String {
    let entries = listing["nftables"].array ?? []
    let chains = entries.compactMap { $0["chain"]["name"].string }
    let present = own.filter { chains.contains($0) }
    let rules = entries.map { $0["rule"] }.filter { !$0.isNull }
    // It asks for IPv6 rules too, which leaves a table without anything.
    if chains.isEmpty, entries.contains(where: { !$0["table"].isNull }) { return "delete table \(family) nat\n" }
    guard !present.isEmpty, !rules.contains(where: { $0["chain"].string == "CNI-HOSTPORT-DNAT" }) else { return "" }
    var script = ""
    var left: [String: Int] = [:]
    for rule in rules {
      guard let chain = rule["chain"].string, let handle = rule["handle"].int, !own.contains(chain) else { continue }
      let leads = (rule["expr"].array ?? []).contains { own.contains($0["jump"]["target"].string ?? "") }
      if leads { script += "delete rule \(family) nat \(chain) handle \(handle)\n" } else { left[chain, default: 0] += 1 }
    }
    for chain in present { script += "flush chain \(family) nat \(chain)\n" }
    for chain in present { script += "delete chain \(family) nat \(chain)\n" }
    // iptables makes its own chains again when it needs them.
    let empty = builtin.filter { chains.contains($0) && left[$0] == nil }
    for chain in empty { script += "delete chain \(family) nat \(chain)\n" }
    if chains.count == present.count + empty.count { script += "delete table \(family) nat\n" }
    return script
  }
}
