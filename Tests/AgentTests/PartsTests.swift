import Agent
import Testing
import Wire

@Suite("Parts of the agent")
struct PartsTests {
  @Test("a line of a CRI log")
  func logLine() throws {
    let entry = try #require(LogFile.parse(Array("2026-11-25T08:41:20.78699315Z stderr F two words".utf8)[...]))
    #expect(entry.isError)
    #expect(!entry.isPartial)
    #expect(String(decoding: entry.text, as: UTF8.self) == "two words")
    #expect(LogFile.parse(Array("nonsense".utf8)[...]) == nil)
    #expect(LogFile.parse(Array("t stdlog F x".utf8)[...]) == nil)
  }

  @Test(
    "quality of service",
    arguments: [
      ([:], "BestEffort"), (["requests": ["cpu": "1"]], "Burstable"),
      (["requests": ["cpu": "1", "memory": "1Gi"], "limits": ["cpu": "1000m", "memory": "1024Mi"]], "Guaranteed"),
      (["limits": ["cpu": "1"]], "Burstable"),
    ] as [(Value, String)])
  func qos(resources: Value, expected: String) {
    let plan = PodPlan(["metadata": ["name": "p"], "spec": ["containers": [["name": "c", "resources": resources]]]])
    #expect(plan.qosClass == expected)
  }
}
