import Wire

/// The resources that components use, in the version they use.
extension GroupVersionResource {
  package static let pods = Self(resource: "pods")
  package static let nodes = Self(resource: "nodes")
  package static let services = Self(resource: "services")
  package static let endpoints = Self(resource: "endpoints")
  package static let namespaces = Self(resource: "namespaces")
  package static let configMaps = Self(resource: "configmaps")
  package static let secrets = Self(resource: "secrets")
  package static let serviceAccounts = Self(resource: "serviceaccounts")
  package static let persistentVolumeClaims = Self(resource: "persistentvolumeclaims")
  package static let persistentVolumes = Self(resource: "persistentvolumes")
  package static let events = Self(group: "events.k8s.io", resource: "events")
  package static let coreEvents = Self(resource: "events")
  package static let deployments = Self(group: "apps", resource: "deployments")
  package static let replicaSets = Self(group: "apps", resource: "replicasets")
  package static let endpointSlices = Self(group: "discovery.k8s.io", resource: "endpointslices")
  package static let leases = Self(group: "coordination.k8s.io", resource: "leases")
  package static let clusterRoles = Self(group: "rbac.authorization.k8s.io", resource: "clusterroles")
  package static let clusterRoleBindings = Self(group: "rbac.authorization.k8s.io", resource: "clusterrolebindings")
  package static let roles = Self(group: "rbac.authorization.k8s.io", resource: "roles")
  package static let roleBindings = Self(group: "rbac.authorization.k8s.io", resource: "rolebindings")
  package static let priorityClasses = Self(group: "scheduling.k8s.io", resource: "priorityclasses")
}
