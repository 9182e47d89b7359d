/// One DNS message as far as a resolver for a cluster needs it (RFC 1035, EDNS0 of RFC 6891).
///
/// Decoding never trusts a length or a pointer: names follow pointers backwards only, so a hostile packet ends in ``DNSMessage/Malformed``.
package struct DNSMessage {
  package struct Malformed: Error {}

  package enum RecordType: UInt16, Sendable {
    case a = 1, ns = 2, cname = 5, soa = 6, ptr = 12, txt = 16, aaaa = 28, srv = 33, opt = 41, any = 255
  }

  package enum ResponseCode: UInt8 {
    case noError = 0, formatError = 1, serverFailure = 2, nameError = 3, notImplemented = 4, refused = 5
  }

  package struct Question: Equatable {
    /// As asked, without the final dot; case is kept for the echo, comparisons are lower-case.
    package var name: String
    package var type: UInt16
    package var recordClass: UInt16

    package init(name: String, type: UInt16, recordClass: UInt16 = 1) {
      self.name = name
      self.type = type
      self.recordClass = recordClass
    }
  }

  package struct Record: Equatable {
    package enum Data: Equatable {
      /// 4 bytes for A, 16 for AAAA.
      case address([UInt8])
      case name(String)
      case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)
      case authority(primary: String, mailbox: String, serial: UInt32, minimum: UInt32)
      case text(String)
    }
    package var name: String
    package var type: RecordType
    /// Seconds.
    package var timeToLive: UInt32
    package var data: Data

    package init(name: String, type: RecordType, timeToLive: UInt32, data: Data) {
      self.name = name
      self.type = type
      self.timeToLive = timeToLive
      self.data = data
    }
  }

  package var id: UInt16 = 0
  package var isResponse = false
  package var operation: UInt8 = 0
  package var recursionDesired = false
  package var question: Question?
  /// The answer that the asker can take over UDP, in bytes; 512 without EDNS0.
  package var udpSize = 512
  package var hasEDNS = false

  /// Reads the header, the one question and an OPT record; other records are skipped.
  package init(_ bytes: [UInt8]) throws(Malformed) {
    var reader = Reader(bytes: bytes)
    id = try reader.uint16()
    let flags = try reader.uint16()
    isResponse = flags & 0x8000 != 0
    operation = UInt8(truncatingIfNeeded: flags >> 11) & 15
    recursionDesired = flags & 0x0100 != 0
    let questions = try reader.uint16()
    let others = (try reader.uint16(), try reader.uint16(), try reader.uint16())
    guard questions <= 1 else { throw Malformed() }
    if questions == 1 {
      question = Question(name: try reader.name(), type: try reader.uint16(), recordClass: try reader.uint16())
    }
    // A query carries at most a handful; more is a waste of our time.
    for _ in 0..<min(16, Int(others.0) + Int(others.1) + Int(others.2)) {
      _ = try reader.name()
      let type = try reader.uint16()
      let recordClass = try reader.uint16()
      _ = try reader.uint16()
      _ = try reader.uint16()
      try reader.skip(Int(try reader.uint16()))
      if type == RecordType.opt.rawValue {
        hasEDNS = true
        udpSize = min(4096, max(512, Int(recordClass)))
      }
    }
  }

  /// The code and those answers of a response that a client of the cluster can be handed on: addresses and the aliases before them.
  package static func answers(in bytes: [UInt8]) throws(Malformed) -> (code: UInt8, isTruncated: Bool, records: [Record]) {
    var reader = Reader(bytes: bytes)
    _ = try reader.uint16()
    let flags = try reader.uint16()
    let questions = try reader.uint16()
    let count = try reader.uint16()
    try reader.skip(4)
    guard flags & 0x8000 != 0, questions <= 1 else { throw Malformed() }
    if questions == 1 {
      _ = try reader.name()
      try reader.skip(4)
    }
    var records: [Record] = []
    for _ in 0..<min(count, 256) {
      let name = try reader.name()
      let type = try reader.uint16()
      let recordClass = try reader.uint16()
      let timeToLive = UInt32(try reader.uint16()) << 16 | UInt32(try reader.uint16())
      let length = Int(try reader.uint16())
      let end = reader.offset + length
      guard end <= bytes.count else { throw Malformed() }
      switch (recordClass, RecordType(rawValue: type), length) {
      case (1, .a, 4), (1, .aaaa, 16):
        let address = Array(bytes[reader.offset..<end])
        records.append(Record(name: name, type: length == 4 ? .a : .aaaa, timeToLive: timeToLive, data: .address(address)))
      case (1, .cname, _):
        records.append(Record(name: name, type: .cname, timeToLive: timeToLive, data: .name(try reader.name())))
      default: break
      }
      reader.offset = end
    }
    return (UInt8(truncatingIfNeeded: flags & 15), flags & 0x0200 != 0, records)
  }

  /// Whether a message is an answer to what was asked: whoever guesses an id has not guessed the question. One that only says why there is
  /// no answer may leave the question out.
  package static func isAnswer(_ answer: [UInt8], to query: [UInt8]) -> Bool {
    guard answer.count >= 12, answer[2] & 0x80 != 0 else { return false }
    if answer[4] == 0, answer[5] == 0 { return answer[3] & 15 != 0 }
    guard let asked = question(in: query), let told = question(in: answer), asked.count == told.count else { return false }
    func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }
    return asked.suffix(4) == told.suffix(4) && zip(asked, told).allSatisfy { lowered($0) == lowered($1) }
  }

  /// The bytes of the one question: name, type, class.
  private static func question(in bytes: [UInt8]) -> ArraySlice<UInt8>? {
    guard bytes.count >= 12, bytes[4] == 0, bytes[5] == 1 else { return nil }
    var end = 12
    while end < bytes.count, bytes[end] != 0 {
      guard bytes[end] < 64 else { return nil }
      end += Int(bytes[end]) + 1
    }
    return end + 5 <= bytes.count ? bytes[12..<(end + 5)] : nil
  }

  /// A query as a resolver sends it.
  package static func query(_ question: Question, id: UInt16) -> [UInt8] {
    var message = DNSMessage(id: id, question: question)
    message.recursionDesired = true
    return DNSResponse(isAuthoritative: false).encode(for: message, flags: 0x0100)
  }

  private init(id: UInt16, question: Question) {
    self.id = id
    self.question = question
  }

  private struct Reader {
    let bytes: [UInt8]
    var offset = 0

    mutating func uint8() throws(Malformed) -> UInt8 {
      guard offset < bytes.count else { throw Malformed() }
      offset += 1
      return bytes[offset - 1]
    }

    mutating func uint16() throws(Malformed) -> UInt16 { UInt16(try uint8()) << 8 | UInt16(try uint8()) }

    mutating func skip(_ count: Int) throws(Malformed) {
      guard count <= bytes.count - offset else { throw Malformed() }
      offset += count
    }

    mutating func name() throws(Malformed) -> String {
      var labels: [String] = []
      var total = 0
      var position = offset
      var end: Int?
      while true {
        guard position < bytes.count else { throw Malformed() }
        let length = Int(bytes[position])
        if length & 0xc0 == 0xc0 {
          guard position + 1 < bytes.count else { throw Malformed() }
          let target = (length & 0x3f) << 8 | Int(bytes[position + 1])
          guard target < position else { throw Malformed() }
          end = end ?? position + 2
          position = target
          continue
        }
        guard length < 64, position + 1 + length <= bytes.count else { throw Malformed() }
        if length == 0 { break }
        total += length + 1
        guard total < 255 else { throw Malformed() }
        // Labels are compared and echoed as text; a dot inside one would change the name's shape.
        let label = bytes[position + 1..<position + 1 + length]
        guard !label.contains(UInt8(ascii: ".")) else { throw Malformed() }
        labels.append(String(decoding: label, as: UTF8.self))
        position += 1 + length
      }
      offset = end ?? position + 1
      return labels.joined(separator: ".")
    }
  }
}

/// What is sent back.
package struct DNSResponse {
  package var code: DNSMessage.ResponseCode = .noError
  package var isAuthoritative = true
  package var answers: [DNSMessage.Record] = []
  package var authority: [DNSMessage.Record] = []
  package var additional: [DNSMessage.Record] = []
  /// An upstream left something out: the asker is to come again over TCP.
  package var isTruncated = false
  /// The answers end with an alias to a name that is not the zone's: what an upstream says of it completes them.
  package var continuation: DNSMessage.Question?

  package init(
    code: DNSMessage.ResponseCode = .noError, isAuthoritative: Bool = true, answers: [DNSMessage.Record] = [],
    authority: [DNSMessage.Record] = []
  ) {
    self.code = code
    self.isAuthoritative = isAuthoritative
    self.answers = answers
    self.authority = authority
  }

  /// Several addresses in another order for every asker, so that clients that take the first spread over all.
  package mutating func rotate(by amount: Int) {
    let first = answers.firstIndex { if case .address = $0.data { true } else { false } } ?? answers.count
    let addresses = answers[first...]
    guard addresses.count > 1, addresses.allSatisfy({ $0.name == addresses.first?.name }) else { return }
    let start = first + amount % addresses.count
    answers = Array(answers[..<first] + answers[start...] + answers[first..<start])
  }

  /// - Parameter limit: bytes; records that do not fit are left out, from the end. Where an answer is, the truncation flag is set: the
  ///   others are enough for a resolver that does not come again over TCP.
  package func encode(for query: DNSMessage, limit: Int) -> [UInt8] {
    var flags: UInt16 = 0x8080 | UInt16(query.operation & 15) << 11 | UInt16(code.rawValue)
    if isAuthoritative { flags |= 0x0400 }
    if isTruncated { flags |= 0x0200 }
    if query.recursionDesired { flags |= 0x0100 }
    return encode(for: query, flags: flags, limit: limit)
  }

  fileprivate func encode(for query: DNSMessage, flags: UInt16, limit: Int = Int(UInt16.max)) -> [UInt8] {
    var writer = Writer()
    writer.uint16(query.id)
    writer.uint16(flags)
    writer.uint16(query.question == nil ? 0 : 1)
    // What fits is known when it is written.
    for _ in 0..<3 { writer.uint16(0) }
    if let question = query.question {
      writer.name(question.name)
      writer.uint16(question.type)
      writer.uint16(question.recordClass)
    }
    let room = min(limit, Int(UInt16.max)) - (query.hasEDNS ? 11 : 0)
    var counts: [UInt16] = []
    for section in [answers, authority, additional] {
      var count: UInt16 = 0
      for record in section {
        let end = writer.bytes.count
        writer.record(record)
        if writer.bytes.count > room {
          // Names that were written with it are pointed at by nothing that follows: the next is the end.
          writer.bytes.removeLast(writer.bytes.count - end)
          break
        }
        count += 1
      }
      counts.append(count)
      if Int(count) < section.count { break }
    }
    if let answered = counts.first, Int(answered) < answers.count { writer.bytes[2] |= 0x02 }
    if query.hasEDNS {
      writer.bytes.append(0)
      writer.uint16(DNSMessage.RecordType.opt.rawValue)
      writer.uint16(4096)
      writer.bytes += [0, 0, 0, 0, 0, 0]
    }
    counts += repeatElement(0, count: 3 - counts.count)
    if query.hasEDNS { counts[2] += 1 }
    for (section, count) in counts.enumerated() {
      writer.bytes[6 + 2 * section] = UInt8(count >> 8)
      writer.bytes[7 + 2 * section] = UInt8(truncatingIfNeeded: count)
    }
    return writer.bytes
  }

  private struct Writer {
    var bytes: [UInt8] = []
    private var offsets: [String: Int] = [:]

    init() { bytes.reserveCapacity(512) }

    mutating func uint16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
    mutating func uint32(_ value: UInt32) {
      uint16(UInt16(value >> 16))
      uint16(UInt16(truncatingIfNeeded: value))
    }

    /// Suffixes written before become pointers. Cut at the bytes of dots: to Unicode, a dot and an accent after it are one character.
    mutating func name(_ name: String) {
      var rest = name.utf8[...]
      while !rest.isEmpty {
        let key = Substring(rest).lowercased()
        if let offset = offsets[key] {
          uint16(0xc000 | UInt16(truncatingIfNeeded: offset))
          return
        }
        if bytes.count < 0x4000 { offsets[key] = bytes.count }
        let label = rest.prefix { $0 != UInt8(ascii: ".") }
        let encoded = label.prefix(63)
        bytes.append(UInt8(encoded.count))
        bytes += encoded
        rest = rest.dropFirst(label.count + 1)
      }
      bytes.append(0)
    }

    mutating func record(_ record: DNSMessage.Record) {
      name(record.name)
      uint16(record.type.rawValue)
      uint16(1)
      uint32(record.timeToLive)
      let lengthAt = bytes.count
      uint16(0)
      switch record.data {
      case .address(let address): bytes += address
      case .name(let target): name(target)
      case .service(let priority, let weight, let port, let target):
        uint16(priority)
        uint16(weight)
        uint16(port)
        name(target)
      case .authority(let primary, let mailbox, let serial, let minimum):
        name(primary)
        name(mailbox)
        uint32(serial)
        for seconds: UInt32 in [7200, 1800, 86400] { uint32(seconds) }
        uint32(minimum)
      case .text(let text):
        let encoded = Array(text.utf8.prefix(255))
        bytes.append(UInt8(encoded.count))
        bytes += encoded
      }
      let length = bytes.count - lengthAt - 2
      bytes[lengthAt] = UInt8(truncatingIfNeeded: length >> 8)
      bytes[lengthAt + 1] = UInt8(truncatingIfNeeded: length)
    }
  }
}
