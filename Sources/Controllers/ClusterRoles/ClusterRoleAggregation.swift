import Client
import Wire

/// Writes into an aggregated ClusterRole what the roles that it gathers allow, so that everybody can read what it means.
/// (The authorizer gathers for itself: nobody waits for this.)
package final class ClusterRoleAggregation: Sendable {
  package struct RoleView: Sendable {
    var name: String
    var labels: [String: String]
    var rules: [Value]
    /// Empty for a role that gathers nothing.
    var selectors: [LabelSelector]

    package init(name: String, labels: [String: String] = [:], rules: [Value] = [], selectors: [LabelSelector] = []) {
      self.name = name
      self.labels = labels
      self.rules = rules
      self.selectors = selectors
    }
  }

  private let loop: ControllerLoop
  private let roles: SharedInformer<RoleView>

  init(_ context: ControllerContext) {
    loop = ControllerLoop("clusterrole-aggregation-controller", context)
    roles = SharedInformer(client: context.clients(ControllerContext.reader), resource: .clusterRoles) { object in
      object.withView { view in
        RoleView(
          name: object.key.name, labels: view["metadata"]["labels"].stringMap, rules: view["rules"].map(\.value),
          selectors: view["aggregationRule"]["clusterRoleSelectors"].compactMap { LabelSelector($0) })
      }
    }
    roles.onChange { [self] _ in
      for role in roles.all where !role.selectors.isEmpty { loop.queue.add(ObjectKey(name: role.name)) }
    }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.roles.run() }
      await roles.synced()
      group.addTask {
        await self.loop.run(workers: 1) { [self] (key) async throws(APIError) in
          guard let role = roles.get(key) else { return [] }
          let rules = Self.gathered(role, roles.all)
          return rules == role.rules
            ? [] : [.write(.patch(.clusterRoles, key, subresource: nil, Patch(.merge, ["rules": .array(rules)])))]
        }
      }
    }
  }

  /// Pure: the rules of the roles that a role selects, by name, each once.
  package static func gathered(_ role: RoleView, _ all: [RoleView]) -> [Value] {
    guard !role.selectors.isEmpty else { return role.rules }
    var rules: [Value] = []
    for other in all.sorted(by: { $0.name < $1.name })
    where other.name != role.name && role.selectors.contains(where: { $0.matches(other.labels) }) {
      for rule in other.rules where !rules.contains(rule) { rules.append(rule) }
    }
    return rules
  }
}
