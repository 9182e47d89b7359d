/// Reads the text of a label selector, token by token as upstream's parser does, so that its refusals are the same.
///
/// - Source: Kubernetes "Labels and Selectors", set-based and equality-based requirements.
struct SelectorParser {
  private enum Token: Equatable {
    case identifier, end, comma, open, close
    case `in`, notIn, equal, doubleEqual, notEqual, greater, less, not
  }
  private struct Item {
    var token: Token
    var text: String
  }

  private static let symbols: [String: Token] = [
    ")": .close, "(": .open, ",": .comma, "!": .not, "=": .equal, "==": .doubleEqual, "!=": .notEqual, ">": .greater, "<": .less,
  ]

  private var items: [Item] = []
  private var position = 0

  init(_ text: String) {
    var rest = text[...]
    func isSpace(_ c: Character) -> Bool { c == " " || c == "\t" || c == "\r" || c == "\n" }
    func isSymbol(_ c: Character) -> Bool { "=!(),><".contains(c) }
    while true {
      rest = rest.drop(while: isSpace)
      guard let first = rest.first else { break }
      if isSymbol(first) {
        // The longest known symbol: "==" before "=".
        let pair = String(rest.prefix(2))
        let symbol = Self.symbols[pair] != nil ? pair : String(first)
        items.append(Item(token: Self.symbols[symbol] ?? .end, text: symbol))
        rest = rest.dropFirst(symbol.count)
      } else {
        let word = rest.prefix { !isSpace($0) && !isSymbol($0) }
        items.append(Item(token: word == "in" ? .in : word == "notin" ? .notIn : .identifier, text: String(word)))
        rest = rest[word.endIndex...]
      }
    }
    items.append(Item(token: .end, text: ""))
  }

  /// Where a value may stand, `in` and `notin` are words like others.
  private var next: Item {
    let item = items[min(position, items.count - 1)]
    return item.token == .in || item.token == .notIn ? Item(token: .identifier, text: item.text) : item
  }

  private mutating func take() -> Item {
    let item = next
    position += 1
    return item
  }

  mutating func requirements() throws(LabelSelector.Malformed) -> [LabelSelector.Requirement] {
    var result: [LabelSelector.Requirement] = []
    while true {
      switch next.token {
      case .end: return result
      case .identifier, .not: break
      default: throw .init(description: "found '\(next.text)', expected: !, identifier, or 'end of string'")
      }
      do throws(LabelSelector.Malformed) { result.append(try requirement()) } catch {
        throw .init(description: "unable to parse requirement: \(error.description)")
      }
      let item = take()
      switch item.token {
      case .end: return result
      case .comma:
        guard next.token == .identifier || next.token == .not else {
          throw .init(description: "found '\(next.text)', expected: identifier after ','")
        }
      default: throw .init(description: "found '\(item.text)', expected: ',' or 'end of string'")
      }
    }
  }

  private mutating func requirement() throws(LabelSelector.Malformed) -> LabelSelector.Requirement {
    var item = take()
    let isNegated = item.token == .not
    if isNegated { item = take() }
    guard item.token == .identifier else { throw .init(description: "found '\(item.text)', expected: identifier") }
    let key = item.text
    if isNegated { return .init(key: key, .doesNotExist) }
    if next.token == .end || next.token == .comma { return .init(key: key, .exists) }
    let operation = items[min(position, items.count - 1)]
    position += 1
    switch operation.token {
    case .in: return .init(key: key, .in(try list()))
    case .notIn: return .init(key: key, .notIn(try list()))
    case .equal, .doubleEqual: return .init(key: key, .in([try value()]))
    case .notEqual: return .init(key: key, .notIn([try value()]))
    case .greater: return .init(key: key, .greaterThan(try number()))
    case .less: return .init(key: key, .lessThan(try number()))
    default: throw .init(description: "found '\(operation.text)', expected: in, notin, =, ==, !=, gt, lt")
    }
  }

  /// One value; none is the empty one.
  private mutating func value() throws(LabelSelector.Malformed) -> String {
    if next.token == .end || next.token == .comma { return "" }
    let item = take()
    guard item.token == .identifier else { throw .init(description: "found '\(item.text)', expected: identifier") }
    return item.text
  }

  private mutating func number() throws(LabelSelector.Malformed) -> Int64 {
    let text = try value()
    guard let number = Int64(text) else {
      throw .init(
        description: "values[0]: Invalid value: \"\(text)\": for 'Gt', 'Lt' operators, the value must be an integer")
    }
    return number
  }

  private mutating func list() throws(LabelSelector.Malformed) -> [String] {
    let first = take()
    guard first.token == .open else { throw .init(description: "found '\(first.text)' expected: '('") }
    guard [.identifier, .comma, .close].contains(next.token) else {
      throw .init(description: "found '\(next.text)', expected: ',', ')' or identifier")
    }
    var values: Set<String> = []
    if next.token == .close {
      position += 1
      return [""]
    }
    while true {
      let item = take()
      switch item.token {
      case .identifier:
        values.insert(item.text)
        if next.token == .comma { continue }
        guard next.token == .close else { throw .init(description: "found '\(next.text)', expected: ',' or ')'") }
      case .comma:
        // "(,a)" and "(a,,b)" name the empty value too.
        if values.isEmpty { values.insert("") }
        if next.token == .comma {
          position += 1
          values.insert("")
        }
        if next.token == .close { values.insert("") } else { continue }
      default: throw .init(description: "found '\(item.text)', expected: ',', or identifier")
      }
      position += 1
      return values.sorted()
    }
  }
}
