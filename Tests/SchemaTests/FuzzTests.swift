import Schema
import Testing
import Wire

@Suite struct FuzzTests {
  /// Changes, drops, doubles and moves a few bytes.
  func mutated(_ valid: [UInt8], _ random: inout Random) -> [UInt8] {
    var bytes = valid
    for _ in 0...random.next(4) where !bytes.isEmpty {
      let i = random.next(bytes.count)
      switch random.next(6) {
      case 0: bytes[i] = UInt8(random.next(256))
      case 1: bytes.remove(at: i)
      case 2: bytes.insert(UInt8(random.next(256)), at: i)
      case 3: bytes.removeLast(random.next(bytes.count))
      case 4:
        let end = min(bytes.count, i + random.next(40))
        bytes.insert(contentsOf: bytes[i..<end], at: random.next(bytes.count))
      default:
        // Digits and signs are where scalars break.
        bytes[i] = [48, 57, 45, 46, 101, 34, 123, 91][random.next(8)]
      }
    }
    return bytes
  }

  @Test("mutated JSON is refused or becomes a fixed point of emission", arguments: 0..<40)
  func json(seed: Int) throws {
    var random = Random(seed: seed)
    for _ in 0..<100 {
      let (group, resource, json) = Manifests.all[random.next(Manifests.all.count)]
      let kind = try kind(resource, group: group)
      let bytes = mutated(Array(json.utf8), &random)
      guard var decoded = try? table.decode(bytes, encoding: .json, type: kind.type) else { continue }
      table.applyDefaults(&decoded.value, kind: kind)
      let once = table.encode(decoded.value, type: kind.type)
      var again = try table.decode(once, encoding: .json, type: kind.type)
      #expect(again.strictErrors.isEmpty, "seed \(seed)")
      table.applyDefaults(&again.value, kind: kind)
      #expect(text(table.encode(again.value, type: kind.type)) == text(once), "seed \(seed)")
      // Whatever was accepted can leave as protobuf and come back.
      let wire = table.encodeProtobuf(again.value, type: kind.type, apiVersion: "v1", kind: kind.kind)
      _ = try? table.decode(wire, encoding: .protobuf, type: kind.type)
    }
  }

  @Test("mutated protobuf is refused or becomes a fixed point of emission", arguments: 0..<40)
  func protobuf(seed: Int) throws {
    var random = Random(seed: seed)
    let bodies = try KubectlBody.all.map { body in
      (try kind(body.resource, group: body.group), try #require(Base64.decode(body.protobuf)))
    }
    var seeds = bodies
    for (group, resource, json) in Manifests.all {
      let kind = try kind(resource, group: group)
      seeds.append(
        (kind, table.encodeProtobuf(try decode(json, kind).value, type: kind.type, apiVersion: kind.apiVersion, kind: kind.kind)))
    }
    for _ in 0..<200 {
      let (kind, body) = seeds[random.next(seeds.count)]
      let bytes = mutated(body, &random)
      guard var decoded = try? table.decode(bytes, encoding: .protobuf, type: kind.type) else { continue }
      table.applyDefaults(&decoded.value, kind: kind)
      let once = table.encode(decoded.value, type: kind.type)
      let again = try table.decode(once, encoding: .json, type: kind.type)
      #expect(text(table.encode(again.value, type: kind.type)) == text(once), "seed \(seed)")
    }
  }

  @Test("mutated YAML is refused or understood, never a trap", arguments: 0..<20)
  func yaml(seed: Int) throws {
    var random = Random(seed: seed)
    let text =
      "apiVersion: v1\nkind: Pod\nmetadata: &m {name: p, labels: {<<: {a: b}}}\nspec:\n  containers:\n  - name: a\n    args: [\"x\", *m]\n    command: |\n      a\n      b\n"
    for _ in 0..<200 { _ = try? table.decode(mutated(Array(text.utf8), &random), encoding: .yaml, expected: try kind("pods")) }
  }
}
