/// Who makes a request. Every Client carries one; there is no caller that may do everything without being asked.
package struct Identity: Sendable, Hashable {
  package var name: String
  package var uid: String
  package var groups: [String]
  package var extra: [String: [String]]

  package init(name: String, uid: String = "", groups: [String] = [], extra: [String: [String]] = [:]) {
    self.name = name
    self.uid = uid
    self.groups = groups
    self.extra = extra
  }

  /// A service account, with the groups upstream gives it.
  package static func serviceAccount(namespace: String, name: String, uid: String = "") -> Identity {
    Identity(
      name: "system:serviceaccount:\(namespace):\(name)", uid: uid,
      groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", "system:authenticated"])
  }

  /// A controller's own service account in kube-system: `deployment-controller`, `replicaset-controller`, …
  package static func controller(_ name: String) -> Identity { serviceAccount(namespace: "kube-system", name: name) }

  package static func node(_ name: String) -> Identity {
    Identity(name: "system:node:\(name)", groups: ["system:nodes", "system:authenticated"])
  }

  package static let scheduler = Identity(name: "system:kube-scheduler", groups: ["system:authenticated"])
  package static let anonymous = Identity(name: "system:anonymous", groups: ["system:unauthenticated"])
}
