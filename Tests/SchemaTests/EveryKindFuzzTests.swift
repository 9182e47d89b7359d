import Schema
import Testing
import Wire

/// Bodies of every kind, full and then broken: whatever is accepted goes the whole way, and nothing traps.
@Suite struct EveryKindFuzzTests {
  /// Defaults, validation, emission, protobuf, columns, selectors, ownership: all that a write and a read do.
  func drive(_ value: Value, _ kind: ResourceKind, old: Value?, seed: Int) throws -> Value {
    var value = value
    table.applyDefaults(&value, kind: kind)
    for operation: ValidationOperation in [.create, .update, .status, .subresource("resize"), .subresource("approval")] {
      let errors = table.validate(value, old: operation == .create ? nil : old ?? value, kind: kind, operation: operation)
      let odd = errors.first { $0.field.contains("..") || $0.field.hasSuffix(".") || $0.description.contains("<reason>") }
      #expect(odd == nil, "\(kind.kind) seed \(seed)")
    }
    let once = table.encode(value, type: kind.type)
    var again = try table.decode(once, encoding: .json, type: kind.type)
    #expect(again.strictErrors.isEmpty, "\(kind.kind) seed \(seed)")
    table.applyDefaults(&again.value, kind: kind)
    #expect(text(table.encode(again.value, type: kind.type)) == text(once), "\(kind.kind) seed \(seed)")
    if value["metadata"]["creationTimestamp"].string == nil { value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z" }
    let stored = try EncodedObject(bytes: table.encodeForStorage(value, kind: kind), revision: 7)
    stored.withView { view in
      _ = table.cells(kind, view, now: Timestamp(seconds: 2_000_000_000))
      _ = table.rowConditions(kind, view)
      for field in kind.selectableFields { _ = table.selectableValue(field, kind, view) }
    }
    _ = table.encodeProtobufMetadata(stored)
    let wire = table.encodeProtobuf(stored, kind: kind)
    _ = try table.decode(wire, encoding: .protobuf, type: kind.type)
    _ = table.changedFields(old: nil, new: value, type: kind.type)
    return again.value
  }

  @Test("full objects of every kind go the whole way", arguments: 0..<4)
  func full(seed: Int) throws {
    var random = Random(seed: seed &+ 1000)
    for kind in table.resources {
      var made = EveryKindTests().value(kind.type, &random, depth: 0, isFull: true)
      _ = try table.prune(&made, type: kind.type)
      // The same object again, and as YAML, of which JSON is a part.
      let first = try drive(made, kind, old: nil, seed: seed)
      let yaml = try table.decode(table.encode(first, type: kind.type), encoding: .yaml, type: kind.type)
      #expect(yaml.strictErrors.isEmpty && yaml.value == first, "\(kind.kind) seed \(seed)")
    }
  }

  @Test("broken bodies of every kind are refused or go the whole way", arguments: 0..<24)
  func broken(seed: Int) throws {
    var random = Random(seed: seed &+ 2000)
    let kinds = table.resources
    for _ in 0..<40 {
      let kind = kinds[random.next(kinds.count)]
      var made = EveryKindTests().value(kind.type, &random, depth: 0, isFull: random.next(2) == 0)
      _ = try table.prune(&made, type: kind.type)
      let bodies: [(BodyEncoding, [UInt8])] = [
        (.json, table.encode(made, type: kind.type)), (.yaml, table.encode(made, type: kind.type)),
        (.protobuf, table.encodeProtobuf(made, type: kind.type, apiVersion: kind.apiVersion, kind: kind.kind)),
      ]
      for (encoding, body) in bodies {
        for _ in 0..<4 {
          guard let read = try? table.decode(FuzzTests().mutated(body, &random), encoding: encoding, type: kind.type) else {
            continue
          }
          // Mutated text may hold characters that no JSON string can; it left once, so it leaves again.
          _ = try drive(read.value, kind, old: made, seed: seed)
        }
      }
    }
  }
}
