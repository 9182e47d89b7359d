import CYAML

/// Why a text is not the YAML it claims to be.
package struct YAMLError: Error, Sendable, CustomStringConvertible {
  package var message: String
  /// Counted from 1.
  package var line: Int
  package var description: String { "yaml: line \(line): \(message)" }
}

/// YAML as Kubernetes reads it: through libyaml's events into the values of JSON, with the scalars of YAML 1.1.
package enum YAML {
  /// Nodes that aliases may expand to; a bomb of nested aliases ends here.
  static let maximumNodes = 200_000
  /// Keys told to stand twice.
  static let maximumDuplicates = 100

  package struct Document: Sendable {
    package var value: Value
    /// Paths of keys that stand twice; the last one counts.
    package var duplicates: [String]
  }

  /// The first document of a text.
  package static func decode(_ bytes: [UInt8]) throws(YAMLError) -> Document {
    try documents(bytes, limit: 1).first ?? Document(value: .null, duplicates: [])
  }

  /// Every document of a text; empty ones are left out.
  package static func documents(_ bytes: [UInt8], limit: Int = .max) throws(YAMLError) -> [Document] {
    var result: Result<[Document], YAMLError> = .success([])
    bytes.withUnsafeBufferPointer { buffer in
      var reader = YAMLReader()
      do throws(YAMLError) { result = .success(try reader.read(buffer, limit: limit)) } catch { result = .failure(error) }
    }
    return try result.get()
  }
}

/// Owns a libyaml parser for one text.
private struct YAMLReader: ~Copyable {
  private var parser = yaml_parser_t()
  private var anchors: [String: (value: Value, nodes: Int)] = [:]
  private var nodes = 0
  private var duplicates: [String] = []
  private enum Step {
    case key(String)
    case index(Int)
  }
  /// Where the reader is.
  private var path: [Step] = []

  deinit {
    var parser = parser
    yaml_parser_delete(&parser)
  }

  private enum Event {
    case end, documentStart, documentEnd, sequenceEnd, mappingEnd, other
    case alias(String)
    case scalar(String, isPlain: Bool, tag: String, anchor: String?)
    case sequence(anchor: String?)
    case mapping(anchor: String?)
  }

  private var line = 1

  private func fail(_ message: String) -> YAMLError { YAMLError(message: message, line: line) }

  private mutating func next() throws(YAMLError) -> Event {
    var event = yaml_event_t()
    guard yaml_parser_parse(&parser, &event) == 1 else {
      line = Int(parser.problem_mark.line) + 1
      throw fail(parser.problem.map { String(cString: $0) } ?? "invalid YAML")
    }
    defer { yaml_event_delete(&event) }
    line = Int(event.start_mark.line) + 1
    func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? { pointer.map { String(cString: $0) } }
    switch event.type {
    case YAML_STREAM_END_EVENT: return .end
    case YAML_DOCUMENT_START_EVENT: return .documentStart
    case YAML_DOCUMENT_END_EVENT: return .documentEnd
    case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
    case YAML_MAPPING_END_EVENT: return .mappingEnd
    case YAML_ALIAS_EVENT: return .alias(text(event.data.alias.anchor) ?? "")
    case YAML_SEQUENCE_START_EVENT: return .sequence(anchor: text(event.data.sequence_start.anchor))
    case YAML_MAPPING_START_EVENT: return .mapping(anchor: text(event.data.mapping_start.anchor))
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      let content = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      return .scalar(
        content, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.plain_implicit == 1, tag: text(scalar.tag) ?? "",
        anchor: text(scalar.anchor))
    default: return .other
    }
  }

  mutating func read(_ buffer: UnsafeBufferPointer<UInt8>, limit: Int) throws(YAMLError) -> [YAML.Document] {
    guard yaml_parser_initialize(&parser) == 1 else { throw fail("out of memory") }
    yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
    var documents: [YAML.Document] = []
    while documents.count < limit {
      switch try next() {
      case .end: return documents
      case .documentStart:
        anchors = [:]
        duplicates = []
        path = []
        let value = try node(try next(), depth: 0)
        if !value.isNull { documents.append(.init(value: value, duplicates: duplicates)) }
      default: continue
      }
    }
    return documents
  }

  private mutating func count(_ added: Int) throws(YAMLError) {
    nodes += added
    guard nodes <= YAML.maximumNodes else { throw fail("document contains excessive aliasing or is too large") }
  }

  private mutating func node(_ event: Event, depth: Int) throws(YAMLError) -> Value {
    guard depth < Wire.maximumDepth else { throw fail("exceeded max depth") }
    try count(1)
    let before = nodes
    switch event {
    case .alias(let name):
      guard let known = anchors[name] else { throw fail("unknown anchor '\(name)' referenced") }
      try count(known.nodes)
      return known.value
    case .scalar(let text, let isPlain, let tag, let anchor):
      let value = isPlain || tag.hasPrefix("tag:yaml.org,2002:") ? resolve(text, tag: tag) : .string(text)
      if let anchor { anchors[anchor] = (value, 1) }
      return value
    case .sequence(let anchor):
      var elements: [Value] = []
      while true {
        let event = try next()
        if case .sequenceEnd = event { break }
        path.append(.index(elements.count))
        elements.append(try node(event, depth: depth + 1))
        path.removeLast()
      }
      if let anchor { anchors[anchor] = (.array(elements), nodes - before + 1) }
      return .array(elements)
    case .mapping(let anchor):
      let value = try mapping(depth: depth)
      if let anchor { anchors[anchor] = (value, nodes - before + 1) }
      return value
    default: throw fail("unexpected end of document")
    }
  }

  private mutating func mapping(depth: Int) throws(YAMLError) -> Value {
    var members: [Object.Member] = []
    // Look-ups by hash: a mapping of many keys made to be slow stays linear.
    var positions: [String: Int] = [:]
    var merged: [Value] = []
    while true {
      let event = try next()
      if case .mappingEnd = event { break }
      let isPlainMerge = if case .scalar("<<", true, _, _) = event { true } else { false }
      let keyValue = try node(event, depth: depth + 1)
      let key: String
      switch keyValue {
      case .string(let s): key = s
      case .int, .double, .bool: key = keyValue.json
      case .null: key = "null"
      default: throw fail("a mapping's key must be a scalar")
      }
      path.append(.key(key))
      let value = try node(try next(), depth: depth + 1)
      defer { path.removeLast() }
      if isPlainMerge {
        if case .array(let list) = value { merged += list } else { merged.append(value) }
      } else if let position = positions[key] {
        noteDuplicate()
        members[position].value = value
      } else {
        positions[key] = members.count
        members.append(.init(key: key, value: value))
      }
    }
    for case .object(let source) in merged {
      for member in source.members where positions[member.key] == nil {
        positions[member.key] = members.count
        members.append(member)
      }
    }
    return .object(Object(members))
  }

  /// The path is put together only where it is told.
  private mutating func noteDuplicate() {
    guard duplicates.count < YAML.maximumDuplicates else { return }
    var text = ""
    for step in path {
      switch step {
      case .key(let key): text += text.isEmpty ? key : ".\(key)"
      case .index(let index): text += "[\(index)]"
      }
    }
    duplicates.append(text)
  }

  /// The scalars of YAML 1.1 as Go's yaml reads them.
  private func resolve(_ text: String, tag: String) -> Value {
    if tag == "tag:yaml.org,2002:str" || tag == "tag:yaml.org,2002:binary" { return .string(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
    case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf", "-.inf", ".nan", ".NaN", ".NAN": return .string(text)
    default: break
    }
    guard let first = text.utf8.first, first &- 48 < 10 || first == 43 || first == 45 || first == 46 else { return .string(text) }
    let plain = text.replacing("_", with: "")
    let negative = plain.hasPrefix("-")
    let digits = plain.hasPrefix("-") || plain.hasPrefix("+") ? plain.dropFirst() : plain[...]
    let parsed: Int64? =
      if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
        Int64(digits.dropFirst(2), radix: 16)
      } else if digits.hasPrefix("0b") {
        Int64(digits.dropFirst(2), radix: 2)
      } else if digits.hasPrefix("0o") {
        Int64(digits.dropFirst(2), radix: 8)
      } else if digits.count > 1, digits.hasPrefix("0"), digits.utf8.allSatisfy({ $0 &- 48 < 8 }) {
        Int64(digits, radix: 8)
      } else if !digits.isEmpty, digits.utf8.allSatisfy({ $0 &- 48 < 10 }) {
        Int64(plain)
      } else {
        nil
      }
    if let parsed { return .int(negative && parsed > 0 ? -parsed : parsed) }
    // A float has digits, at most one point and a decimal exponent; times, versions and dates stay text.
    let isFloat =
      digits.utf8.contains { $0 &- 48 < 10 }
      && digits.utf8.allSatisfy { $0 &- 48 < 10 || $0 == 46 || $0 | 32 == 101 || $0 == 43 || $0 == 45 }
    if isFloat, let number = Double(String(plain)) { return Int64(exactly: number).map { .int($0) } ?? .double(number) }
    return .string(text)
  }
}
