import Client
import ControlPlane
import Schema
import Wire

/// `Table`: what `kubectl get` prints.
struct TableRenderer: Sendable {
  enum Include: String { case none = "None", metadata = "Metadata", object = "Object" }

  private let kind: ResourceKind
  private let schema: SchemaTable
  private let include: Include
  private let columns: [UInt8]

  init(_ request: Request, schema: SchemaTable) {
    kind = request.kind
    self.schema = schema
    include = request.query["includeObject"].flatMap(Include.init) ?? .metadata
    columns =
      Value.array(
        schema.columns(kind).map { Self.column($0.name, $0.type, format: $0.format, priority: $0.priority) }
      ).jsonBytes
  }

  private static func column(_ name: String, _ type: String, format: String = "", priority: Int = 0) -> Value {
    [
      "name": .string(name), "type": .string(type), "format": .string(format),
      "description": .string(name == "Name" ? "Name must be unique within a namespace." : ""), "priority": .int(Int64(priority)),
    ]
  }

  /// The table of a Scale, which is no kind that is stored.
  static func scale(_ scale: Value, _ query: Query, now: Timestamp) -> Value {
    let created = scale["metadata"]["creationTimestamp"].string.flatMap { Timestamp($0) }
    let age = created.map { HumanDuration.text(seconds: now.seconds - $0.seconds) } ?? "<unknown>"
    let shown: Value =
      switch query["includeObject"].flatMap(Include.init) ?? .metadata {
      case .none: .null
      case .metadata: ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": scale["metadata"]]
      case .object: scale
      }
    return [
      "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": ["resourceVersion": scale["metadata"]["resourceVersion"]],
      "columnDefinitions": [
        column("Name", "string", format: "name"), column("Desired", "integer"), column("Available", "integer"),
        column("Age", "string"),
      ],
      "rows": [
        [
          "cells": [scale["metadata"]["name"], scale["spec"]["replicas"], scale["status"]["replicas"], .string(age)],
          "object": shown,
        ]
      ],
    ]
  }

  /// Up to and including the bracket that opens the rows.
  /// - Parameter withColumns: false for the events of a watch after the first.
  func open(revision: Int64, token: String, remaining: Int64?, withColumns: Bool = true, into out: inout [UInt8]) {
    JSONWriter.literal(#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":"#, into: &out)
    Rendering.listMetadata(revision, token, remaining, into: &out)
    JSONWriter.literal(",\"columnDefinitions\":", into: &out)
    if withColumns { out.append(contentsOf: columns) } else { JSONWriter.literal("null", into: &out) }
    JSONWriter.literal(",\"rows\":[", into: &out)
  }

  func row(_ object: EncodedObject, now: Timestamp, into out: inout [UInt8]) {
    object.withView { view in
      JSONWriter.literal("{\"cells\":[", into: &out)
      for (i, cell) in schema.cells(kind, view, now: now).enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        JSONWriter.write(cell, into: &out)
      }
      out.append(UInt8(ascii: "]"))
      if let conditions = schema.rowConditions(kind, view) {
        JSONWriter.literal(",\"conditions\":", into: &out)
        JSONWriter.write(conditions, into: &out)
      }
    }
    switch include {
    case .none: JSONWriter.literal(",\"object\":null", into: &out)
    case .metadata:
      JSONWriter.literal(",\"object\":", into: &out)
      Rendering.partial(object, into: &out)
    case .object:
      JSONWriter.literal(",\"object\":", into: &out)
      object.write(apiVersion: kind.apiVersion, kind: kind.kind, into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }
}
