import Agent
import Foundation
import Testing

@Suite struct PodLogsTests {
  @Test("logs of pods that are gone go, with the links to them; those of pods that are here stay, and so does what is no pod's")
  func removal() throws {
    let directory = "/tmp/gantry-logs-\(UInt32.random(in: .min ... .max))"
    let files = FileManager.default
    let configuration = AgentConfiguration(nodeName: "n", nodeAddress: "127.0.0.1", dataDirectory: directory)
    defer { try? files.removeItem(atPath: directory) }
    for name in ["a_web_u1", "a_db_u2", "other"] {
      try files.createDirectory(atPath: "\(configuration.podLogDirectory)/\(name)/c", withIntermediateDirectories: true)
      try Data("line".utf8).write(to: URL(fileURLWithPath: "\(configuration.podLogDirectory)/\(name)/c/0.log"))
    }
    try files.createDirectory(atPath: configuration.containerLogDirectory, withIntermediateDirectories: true)
    for (link, pod) in [("web_a_c-1.log", "a_web_u1"), ("db_a_c-2.log", "a_db_u2")] {
      try files.createSymbolicLink(
        atPath: "\(configuration.containerLogDirectory)/\(link)",
        withDestinationPath: "\(configuration.podLogDirectory)/\(pod)/c/0.log")
    }
    PodLogs.removeAll(keeping: ["u1"], configuration)
    #expect(try files.contentsOfDirectory(atPath: configuration.podLogDirectory).sorted() == ["a_web_u1", "other"])
    #expect(try files.contentsOfDirectory(atPath: configuration.containerLogDirectory) == ["web_a_c-1.log"])
    PodLogs.removeAll(keeping: [], configuration)
    #expect(try files.contentsOfDirectory(atPath: configuration.podLogDirectory) == ["other"])
    #expect(try files.contentsOfDirectory(atPath: configuration.containerLogDirectory).isEmpty)
  }
}
