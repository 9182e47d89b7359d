import Logging
import NIOCore
import Wire

/// Keeps the nftables tables of one instance equal to the services and endpoint slices it is told of.
///
/// In: changes of services and slices; addresses to drain. Out: one transaction for all changes of about ten milliseconds.
/// Never: reads the ruleset to find out what to do. What an earlier run left is replaced in one transaction at the start, and a
/// transaction that fails (someone else changed the table) is answered the same way.
package actor ServiceProxy {
  package struct Configuration: Sendable {
    package var node: String
    /// Name of the tables; one per instance on a machine.
    package var table = "gantry"
    package var families: [IPAddress.Family] = [.v4]
    package var clusterCIDRs: [CIDR] = []
    package var podCIDRs: [CIDR] = []
    package var serviceCIDRs: [CIDR] = []
    /// Addresses that the node answers itself.
    package var terminated: [IPAddress] = []
    /// Words in front of `nft` and `conntrack`: `["ip", "netns", "exec", NAME]` where the node lives in a network namespace.
    package var commandPrefix: [String] = []
    /// How long changes are collected.
    package var coalescing: Duration = .milliseconds(10)

    package init(node: String) { self.node = node }
  }

  private let configuration: Configuration
  private let command: Command
  private let programs: [NftablesProgram]
  private let log: Logger
  private var state: ProxyState
  /// Slot chains that exist.
  private var slots = 0
  private var isCreated = false
  private var isScheduled = false
  /// Only one script runs at a time; who comes meanwhile waits for the next.
  private var isApplying = false
  private var waiters: [CheckedContinuation<Void, Never>] = []
  private var failures = 0
  /// The next try after nftables refused the whole table.
  private var retrying: Task<Void, Never>?
  /// Transactions that were applied; for tests and metrics.
  package private(set) var transactions = 0

  package init(_ configuration: Configuration, log: Logger = Logger(label: "gantry.proxy")) {
    self.configuration = configuration
    self.log = log
    command = Command(prefix: configuration.commandPrefix)
    state = ProxyState(
      node: configuration.node, terminated: Set(configuration.terminated), serviceCIDRs: configuration.serviceCIDRs)
    programs = configuration.families.map { family in
      NftablesProgram(
        family: family, table: configuration.table, clusterCIDRs: configuration.clusterCIDRs, podCIDRs: configuration.podCIDRs,
        serviceCIDRs: configuration.serviceCIDRs)
    }
  }

  /// Asks nftables whether it would take the tables, and changes nothing.
  /// - Throws: where it refuses: no root, no kernel support, no program.
  package func check() async throws {
    try await command.run(
      "nft", "-c", "-f", "-", input: programs.map { $0.creation(slots: NftablesProgram.roundedSlots(0)) }.joined())
  }

  /// Makes the tables, once everything that exists has been told: what an earlier run left in force is replaced by the same services in
  /// one transaction, so that no connection is refused meanwhile. Where nftables refuses it is tried again.
  package func begin() async {
    do {
      try await start()
      schedule()
    } catch {
      refused(error)
    }
  }

  /// Makes the tables. Changes that were told before are in them from the start.
  /// - Throws: where nftables refuses.
  package func start() async throws {
    await turn()
    defer { endTurn() }
    try await replaceAll()
  }

  /// Makes the tables again where somebody took one away.
  package func restore() async {
    await turn()
    defer { endTurn() }
    guard isCreated else { return }
    for family in configuration.families where await command.lacksTable(configuration.table, family) {
      log.warning("the table was taken away and is made anew", metadata: ["table": "\(configuration.table)"])
      do { try await replaceAll() } catch { refused(error) }
      return
    }
  }

  /// Takes the tables away.
  package func cleanup() async {
    retrying?.cancel()
    await turn()
    defer { endTurn() }
    isCreated = false
    for program in programs { _ = try? await command.run("nft", "-f", "-", input: program.removal) }
  }

  package func setService(_ key: ObjectKey, _ facts: ServiceFacts?) {
    state.setService(key, facts)
    schedule()
  }

  package func setSlice(_ key: ObjectKey, _ facts: SliceFacts?) {
    state.setSlice(key, facts)
    schedule()
  }

  /// Takes a pod's address out of every service. Returns when no new connection can reach it; those that exist go on.
  /// To be awaited before the pod's containers are told to stop, so that a rolling update loses no request.
  package func drain(_ address: IPAddress) async {
    state.drain(address)
    await flush()
  }

  /// Returns when everything told so far is in force.
  package func flush() async {
    await turn()
    defer { endTurn() }
    await applyChanges()
  }

  private func schedule() {
    guard isCreated, !isScheduled, state.isDirty else { return }
    isScheduled = true
    Task {
      try? await Task.sleep(for: configuration.coalescing)
      isScheduled = false
      await flush()
    }
  }

  private func turn() async {
    if isApplying { await withCheckedContinuation { waiters.append($0) } } else { isApplying = true }
  }

  private func endTurn() {
    if waiters.isEmpty { isApplying = false } else { waiters.removeFirst().resume() }
  }

  private func applyChanges() async {
    guard isCreated else { return }
    while state.isDirty {
      let change = state.takeChange()
      guard !change.isEmpty else { continue }
      do {
        var script = growth(to: state.mostSlots)
        for program in programs {
          script += program.statements("delete", change.deletions) + program.statements("add", change.additions)
        }
        try await apply(script)
        transactions += 1
        failures = 0
      } catch {
        log.warning(
          "nftables refused a change; the table is made anew", metadata: ["table": "\(configuration.table)", "error": "\(error)"])
        do { try await replaceAll() } catch {
          refused(error)
          return
        }
      }
      await UDPFlows(command: command, log: log).forget(Set(change.staleFlows))
    }
  }

  /// Ends with the transaction or its time limit, never with the caller: an agent that gives up waiting for a drain must not leave the
  /// table behind what the state says.
  private func apply(_ script: String) async throws {
    _ = try await Task { [command] in try await command.run("nft", "-f", "-", input: script) }.value
  }

  /// Nothing was applied and the state says otherwise: the whole table again, 1 s, 2 s, … 30 s later.
  private func refused(_ error: any Error) {
    failures += 1
    log.error("nftables refused the table", metadata: ["table": "\(configuration.table)", "error": "\(error)"])
    isCreated = false
    let delay = Duration.seconds(min(30, 1 << min(failures, 5)))
    retrying?.cancel()
    retrying = Task {
      do { try await Task.sleep(for: delay) } catch { return }
      await begin()
    }
  }

  private func replaceAll() async throws {
    while state.isDirty { _ = state.takeChange() }
    slots = 0
    let wanted = NftablesProgram.roundedSlots(state.mostSlots)
    let elements = state.everything
    let script = programs.map { $0.creation(slots: wanted) + $0.statements("add", elements) }.joined()
    try await apply(script)
    slots = wanted
    isCreated = true
    transactions += 1
  }

  private func growth(to needed: Int) -> String {
    guard needed > slots else { return "" }
    let wanted = NftablesProgram.roundedSlots(needed)
    defer { slots = wanted }
    return programs.map { $0.slotChains(slots..<wanted) }.joined()
  }
}
