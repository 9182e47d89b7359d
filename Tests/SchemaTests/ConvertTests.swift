import Schema
import Testing
import Wire

@Suite struct ConvertTests {
  @Test("an event has two forms and loses nothing between them")
  func events() throws {
    let (modern, core) = (try kind("events", group: "events.k8s.io"), try kind("events"))
    let value: Value = [
      "metadata": ["name": "e"], "eventTime": "2026-11-25T07:13:23.000000Z", "regarding": ["kind": "Pod", "name": "p"],
      "note": "text",
      "reportingController": "c", "deprecatedCount": 2, "deprecatedSource": ["component": "x"], "type": "Normal", "reason": "r",
    ]
    var converted = value
    table.convert(&converted, from: modern, to: core)
    #expect(converted["involvedObject"]["name"] == "p" && converted["message"] == "text" && converted["count"] == 2)
    #expect(converted["reportingComponent"] == "c" && converted["source"]["component"] == "x")
    #expect(try table.prune(&converted, type: core.type) == [])
    table.convert(&converted, from: core, to: modern)
    #expect(converted == value)
  }

  @Test("an autoscaler in v1 keeps what only v2 can say in annotations, and gives it back")
  func autoscalers() throws {
    let (v1, v2) = (
      try kind("horizontalpodautoscalers", group: "autoscaling"),
      try kind("horizontalpodautoscalers", group: "autoscaling", version: "v2")
    )
    let value: Value = [
      "metadata": ["name": "h"],
      "spec": [
        "maxReplicas": 5, "scaleTargetRef": ["kind": "Deployment", "name": "d"],
        "metrics": [
          ["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 70]]],
          ["type": "Resource", "resource": ["name": "memory", "target": ["type": "AverageValue", "averageValue": "1Gi"]]],
          ["type": "Pods", "pods": ["metric": ["name": "rps"], "target": ["type": "AverageValue", "averageValue": "10"]]],
          [
            "type": "Object",
            "object": [
              "metric": ["name": "q"], "describedObject": ["kind": "Ingress", "name": "i"],
              "target": ["type": "Value", "value": "2k"],
            ],
          ],
          [
            "type": "External",
            "external": [
              "metric": ["name": "x", "selector": ["matchLabels": ["a": "b"]]], "target": ["type": "Value", "value": "3"],
            ],
          ],
        ], "behavior": ["scaleDown": ["stabilizationWindowSeconds": 10]],
      ],
      "status": [
        "conditions": [["type": "AbleToScale", "status": "True"]], "desiredReplicas": 2,
        "currentMetrics": [["type": "Resource", "resource": ["name": "cpu", "current": ["averageUtilization": 50]]]],
      ],
    ]
    var converted = value
    table.convert(&converted, from: v2, to: v1)
    #expect(converted["spec"]["targetCPUUtilizationPercentage"] == 70 && converted["spec"]["metrics"].isNull)
    #expect(converted["status"]["currentCPUUtilizationPercentage"] == 50)
    #expect(try table.prune(&converted, type: v1.type) == [])
    table.convert(&converted, from: v1, to: v2)
    #expect(converted == value)
  }

  @Test("an annotation that is no JSON harms nobody")
  func hostile() throws {
    let (v1, v2) = (
      try kind("horizontalpodautoscalers", group: "autoscaling"),
      try kind("horizontalpodautoscalers", group: "autoscaling", version: "v2")
    )
    for text in ["{", "[1,2]", #"[{"type":"Pods","pods":7}]"#, "7"] {
      var value: Value = [
        "metadata": ["name": "h", "annotations": ["autoscaling.alpha.kubernetes.io/metrics": .string(text)]],
        "spec": ["maxReplicas": 5],
      ]
      table.convert(&value, from: v1, to: v2)
      #expect(value["spec"]["maxReplicas"] == 5)
    }
  }
}
