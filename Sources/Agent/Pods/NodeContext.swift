import Client
import Logging
import RPC
import Wire

/// What all pods of a node share.
struct NodeContext: Sendable {
  let configuration: AgentConfiguration
  let client: any Client
  let cri: CRIClient
  let sources: PodSources
  let feeds: SourceFeeds
  let events: EventRecorder
  let images: ImagePuller
  let log: Logger
  let hostResolver: String
  let memoryCapacity: Int64
  let allocatable: [String: Int64]
  /// Takes a pod's address out of the node's service rules before its containers are told to stop.
  let drain: @Sendable (String) async -> Void
}
