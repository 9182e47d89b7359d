/// What an agent is told when it starts.
package struct AgentConfiguration: Sendable {
  /// A registry that this node pulls from without asking the internet.
  package struct RegistryHost: Sendable {
    /// Names in image references: `localhost:5000`, `registry.gantry.internal`.
    package var names: [String]
    /// `https://127.0.0.1:6443`.
    package var endpoint: String
    package var caPath: String
    package var clientCertificatePath: String
    package var clientKeyPath: String

    package init(
      names: [String], endpoint: String, caPath: String = "", clientCertificatePath: String = "", clientKeyPath: String = ""
    ) {
      self.names = names
      self.endpoint = endpoint
      self.caPath = caPath
      self.clientCertificatePath = clientCertificatePath
      self.clientKeyPath = clientKeyPath
    }
  }

  package var nodeName: String
  /// The node's own address, which becomes `status.hostIP`.
  package var nodeAddress: String
  /// Everything of the agent lives beneath it but what the default instance keeps where the ecosystem looks.
  package var dataDirectory: String
  /// A containerd that somebody else runs; nil: the agent starts its own.
  package var containerdSocket: String?
  package var podDirectory: String
  package var podLogDirectory: String
  package var containerLogDirectory: String
  package var cniConfDirectory = "/etc/cni/net.d"
  /// containerd 1.6 takes one.
  package var cniBinDirectory = "/usr/lib/cni"
  package var clusterDNS: [String] = []
  package var clusterDomain = "cluster.local"
  package var registries: [RegistryHost] = []
  package var maximumPods = 110
  /// The cgroup under which pods run, as the cgroupfs driver names it.
  package var cgroupRoot: String
  /// Labels that the node gets when it registers, beside the usual ones.
  package var nodeLabels: [String: String] = [:]
  /// Rotation of container logs.
  package var containerLogMaximumBytes: Int64 = 10 << 20
  package var containerLogMaximumFiles = 5
  /// Unused images go when the disk is fuller than the first, until it is no fuller than the second.
  package var imageHighThresholdPercent: Int64 = 85
  package var imageLowThresholdPercent: Int64 = 80
  /// What the node tells as its kubelet's version, and probes in their User-Agent.
  package var version = "v1.36.4"

  /// - Parameter dataDirectory: `/var/lib/gantry` is the default instance: its pods and logs are where CSI drivers and log collectors look.
  package init(nodeName: String, nodeAddress: String, dataDirectory: String) {
    self.nodeName = nodeName
    self.nodeAddress = nodeAddress
    self.dataDirectory = dataDirectory
    if dataDirectory == "/var/lib/gantry" {
      podDirectory = "/var/lib/kubelet/pods"
      podLogDirectory = "/var/log/pods"
      containerLogDirectory = "/var/log/containers"
      cgroupRoot = "/kubepods"
    } else {
      podDirectory = "\(dataDirectory)/kubelet/pods"
      podLogDirectory = "\(dataDirectory)/log/pods"
      containerLogDirectory = "\(dataDirectory)/log/containers"
      cgroupRoot = "/gantry-\(String(dataDirectory.utf8.reduce(5381 as UInt64) { ($0 &* 33) ^ UInt64($1) }, radix: 36))/kubepods"
    }
  }

  package var isDefaultInstance: Bool { dataDirectory == "/var/lib/gantry" }
}

/// Why a node does not work: one sentence with the way out.
package struct AgentFailure: Error, Sendable, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}
