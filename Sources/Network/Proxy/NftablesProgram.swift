import Wire

/// The text of nftables scripts: the table of one family, and the changes of its elements.
///
/// Chains and maps per slot are shared by all services and grow in powers of two; a service is elements and nothing else.
struct NftablesProgram: Sendable {
  let family: IPAddress.Family
  let table: String
  /// Where pods of the whole cluster live; their traffic among themselves is never masqueraded.
  let clusterCIDRs: [CIDR]
  /// Where this node's pods live.
  let podCIDRs: [CIDR]
  let serviceCIDRs: [CIDR]

  private var ip: String { family == .v4 ? "ip" : "ip6" }
  private var addressType: String { family == .v4 ? "ipv4_addr" : "ipv6_addr" }
  private var loopback: String { family == .v4 ? "127.0.0.0/8" : "::1" }

  /// The whole table: whatever stood there before is replaced in the same transaction.
  /// - Parameter slots: how many slot chains there are to be; see ``slotChains(_:)``.
  func creation(slots: Int) -> String {
    """
    table \(ip) \(table) { }
    delete table \(ip) \(table)
    table \(ip) \(table) {
      map fronts { type \(addressType) . inet_proto . inet_service : verdict; }
      map nodeports { type inet_proto . inet_service : verdict; }
      set hairpin { type \(addressType) . \(addressType); }
      set masquerade-addresses { type \(addressType); }
      set masquerade-tcp { type inet_service; }
      set masquerade-udp { type inet_service; }
      set masquerade-sctp { type inet_service; }
      set cluster-pods { type \(addressType); flags interval; \(elements(clusterCIDRs)) }
      set local-pods { type \(addressType); flags interval; \(elements(podCIDRs)) }
      set service-addresses { type \(addressType); flags interval; \(elements(serviceCIDRs)) }
      chain dispatch {
        \(ip) daddr . meta l4proto . th dport vmap @fronts
        fib daddr type local meta l4proto . th dport vmap @nodeports
      }
      chain prerouting { type nat hook prerouting priority dstnat; jump dispatch; }
      chain output { type nat hook output priority -100; jump dispatch; }
      chain postrouting {
        type nat hook postrouting priority srcnat;
        \(ip) saddr . \(ip) daddr @hairpin masquerade
        ct status dnat jump masquerade-services
        \(ip) saddr @local-pods \(ip) daddr != @cluster-pods oifname != "lo" masquerade
      }
      chain masquerade-services {
        \(ip) saddr \(loopback) masquerade
        \(ip) daddr @local-pods return
        ct original \(ip) daddr @masquerade-addresses masquerade
        ct original \(ip) daddr @service-addresses return
        meta l4proto tcp ct original proto-dst @masquerade-tcp masquerade
        meta l4proto udp ct original proto-dst @masquerade-udp masquerade
        meta l4proto sctp ct original proto-dst @masquerade-sctp masquerade
      }
      chain guard {
        type filter hook prerouting priority raw;
        iifname != "lo" \(ip) daddr \(loopback) drop
      }
      chain refuse {
        meta l4proto tcp reject with tcp reset
        reject
      }
      chain forward {
        type filter hook forward priority filter;
        \(ip) daddr @service-addresses fib daddr type != local jump refuse
      }
      chain local-output {
        type filter hook output priority filter;
        \(ip) daddr @service-addresses fib daddr type != local jump refuse
      }
    }

    """ + slotChains(0..<slots)
  }

  var removal: String { "table \(ip) \(table) { }\ndelete table \(ip) \(table)\n" }

  private func elements(_ blocks: [CIDR]) -> String {
    let own = blocks.filter { $0.family == family }.map(\.description)
    return own.isEmpty ? "" : "elements = { \(own.joined(separator: ", ")) }; auto-merge;"
  }

  /// 8, 16, 32, …
  static func roundedSlots(_ needed: Int) -> Int {
    var slots = 8
    while slots < needed { slots *= 2 }
    return slots
  }

  /// Maps and chains of slots, and the chains that draw one of n slots (n = slot + 1).
  ///
  /// What a number that was drawn leads to stands in a map that all draws of up to 8, 16, 32, … slots share: one for each n would be
  /// half a million elements for a thousand endpoints, and one for all n would have the kernel look at all slots for every front when it
  /// looks for loops.
  /// - Parameter slots: from 0 or what ``roundedSlots(_:)`` gave before, to what it gives now.
  func slotChains(_ slots: Range<Int>) -> String {
    guard !slots.isEmpty else { return "" }
    var text = ""
    for slot in slots {
      text += """
        table \(ip) \(table) {
          map f\(slot) { type \(addressType) . inet_proto . inet_service : \(addressType) . inet_service; }
          map n\(slot) { type inet_proto . inet_service : \(addressType) . inet_service; }
          chain f-\(slot) {
            dnat \(ip) to \(ip) daddr . meta l4proto . th dport map @f\(slot)
          }
          chain n-\(slot) {
            dnat \(ip) to meta l4proto . th dport map @n\(slot)
          }
        }

        """
    }
    var size = Self.roundedSlots(slots.lowerBound + 1)
    while size <= slots.upperBound {
      for prefix in ["f", "n"] {
        let elements = (0..<size).map { "\($0) : goto \(prefix)-\($0)" }.joined(separator: ", ")
        text += """
          table \(ip) \(table) {
            map \(prefix)-drawn-\(size) { typeof numgen random mod \(size) : verdict; }
          }
          add element \(ip) \(table) \(prefix)-drawn-\(size) { \(elements) }

          """
      }
      size *= 2
    }
    for slot in slots {
      text += """
        table \(ip) \(table) {
          chain fd-\(slot + 1) { \(draw("f", slot + 1)); }
          chain nd-\(slot + 1) { \(draw("n", slot + 1)); }
        }

        """
    }
    return text
  }

  private func draw(_ prefix: String, _ count: Int) -> String {
    count == 1 ? "goto \(prefix)-0" : "numgen random mod \(count) vmap @\(prefix)-drawn-\(Self.roundedSlots(count))"
  }

  /// `delete element` or `add element` statements, one a map.
  func statements(_ verb: String, _ elements: [ProxyState.Element]) -> String {
    var byMap: [String: [String]] = [:]
    for element in elements where element.family == family {
      let (map, text) = render(element)
      byMap[map, default: []].append(text)
    }
    return byMap.sorted { $0.key < $1.key }.map { map, texts in
      "\(verb) element \(ip) \(table) \(map) { \(texts.joined(separator: ", ")) }\n"
    }.joined()
  }

  private func render(_ element: ProxyState.Element) -> (map: String, text: String) {
    switch element {
    case .front(.address(let address, let transport, let port), let slots):
      ("fronts", "\(address) . \(transport.rawValue) . \(port) : goto \(slots == 1 ? "f-0" : "fd-\(slots)")")
    case .front(.nodePort(_, let transport, let port), let slots):
      ("nodeports", "\(transport.rawValue) . \(port) : goto \(slots == 1 ? "n-0" : "nd-\(slots)")")
    case .slot(.address(let address, let transport, let port), let slot, let backend):
      ("f\(slot)", "\(address) . \(transport.rawValue) . \(port) : \(backend.address) . \(backend.port)")
    case .slot(.nodePort(_, let transport, let port), let slot, let backend):
      ("n\(slot)", "\(transport.rawValue) . \(port) : \(backend.address) . \(backend.port)")
    case .hairpin(let address): ("hairpin", "\(address) . \(address)")
    case .masquerade(.address(let address)): ("masquerade-addresses", "\(address)")
    case .masquerade(.nodePort(_, let transport, let port)): ("masquerade-\(transport.rawValue)", "\(port)")
    }
  }
}
