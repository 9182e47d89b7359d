import Agent
import Testing
import Wire

@Suite("Parts of the agent")
struct PartsTests {
  @Test(
    "quantities",
    arguments: [
      ("1", 1000), ("250m", 250), ("1Gi", 1_073_741_824_000), ("1.5", 1500), ("2e3", 2_000_000), ("1k", 1_000_000), ("100n", 1),
    ] as [(String, Int64)])
  func quantities(text: String, milli: Int64) { #expect(Quantities.milli(text) == milli) }

  @Test("what is no quantity is none", arguments: ["", "x", "1Q", "--1", "1e99"])
  func noQuantity(text: String) { #expect(Quantities.milli(text) == nil) }

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
