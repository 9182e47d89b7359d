import Wire

/// Blocks of PEM text, as Go's `encoding/pem` finds them.
enum PEM {
  struct Block {
    var type: String
    var hasHeaders: Bool
    var der: [UInt8]
  }

  /// Every well-formed block. What is none is passed over.
  static func blocks(_ bytes: [UInt8]) -> [Block] {
    var blocks: [Block] = []
    var open: (type: String, hasHeaders: Bool, text: String)?
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
      let text = CustomRules.trimmed(String(decoding: line, as: UTF8.self))
      if let type = marker(text, "BEGIN") {
        open = (type, false, "")
      } else if let type = marker(text, "END") {
        if let block = open, block.type == type, let der = Base64.decode(block.text), !der.isEmpty {
          blocks.append(Block(type: type, hasHeaders: block.hasHeaders, der: der))
        }
        open = nil
      } else if open != nil {
        if text.contains(":") { open?.hasHeaders = true } else { open?.text += text }
      }
    }
    return blocks
  }

  private static func marker(_ line: String, _ word: String) -> String? {
    let (start, end) = ("-----\(word) ", "-----")
    guard line.hasPrefix(start), line.hasSuffix(end), line.utf8.count > start.utf8.count + end.utf8.count else { return nil }
    return String(line.dropFirst(start.count).dropLast(end.count))
  }

  /// Whether the bytes are one DER sequence and nothing behind it, as every certificate and request is.
  static func isSequence(_ der: [UInt8]) -> Bool {
    guard der.count >= 2, der[0] == 0x30 else { return false }
    if der[1] < 0x80 { return der.count == 2 + Int(der[1]) }
    let count = Int(der[1] & 0x7f)
    guard (1...4).contains(count), der.count >= 2 + count else { return false }
    let length = der[2..<2 + count].reduce(0) { $0 << 8 | Int($1) }
    return der.count == 2 + count + length
  }

  /// - Parameter base64: PEM text as a field of bytes holds it.
  static func certificates(_ base64: String) -> [String] {
    guard !base64.isEmpty else { return [] }
    let blocks = Base64.decode(base64).map(blocks) ?? []
    for block in blocks {
      if block.type != "CERTIFICATE" { return ["only CERTIFICATE PEM blocks are allowed, found \(FieldError.quoted(block.type))"] }
      if block.hasHeaders { return ["no PEM block headers are permitted"] }
      if !isSequence(block.der) { return ["x509: malformed certificate"] }
    }
    return blocks.isEmpty ? ["must contain at least one CERTIFICATE PEM block"] : []
  }

  /// The form only; the signature is checked where keys are known (ControlPlane).
  static func certificateRequest(_ base64: String) -> [String] {
    guard let block = Base64.decode(base64).flatMap({ blocks($0).first }), block.type == "CERTIFICATE REQUEST" else {
      return ["PEM block type must be CERTIFICATE REQUEST"]
    }
    return isSequence(block.der) ? [] : ["asn1: structure error: malformed certificate request"]
  }
}
