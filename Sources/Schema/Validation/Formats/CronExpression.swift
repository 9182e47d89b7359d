/// The schedule of a CronJob, as far as its form goes.
enum CronExpression {
  private static let macros: Set<String> = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
  private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
  private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

  /// - Returns: what is wrong, in the words of the parser that upstream uses; nil where the schedule is fine.
  static func problem(_ text: String) -> String? {
    if text.isEmpty { return "empty spec string" }
    var text = text
    if text.hasPrefix("TZ=") || text.hasPrefix("CRON_TZ="), let blank = text.firstIndex(of: " ") {
      text = String(text[text.index(after: blank)...])
    }
    if text.hasPrefix("@") {
      if macros.contains(text) { return nil }
      if text.hasPrefix("@every ") {
        let duration = text.dropFirst("@every ".count)
        return duration.utf8.first?.isDigit == true && duration.utf8.last?.isLetter == true
          ? nil : "failed to parse duration \(text): time: invalid duration \"\(duration)\""
      }
      return "unrecognized descriptor: \(text)"
    }
    let fields = text.split(whereSeparator: \.isWhitespace).map(String.init)
    guard fields.count == 5 else { return "expected exactly 5 fields, found \(fields.count): [\(fields.joined(separator: " "))]" }
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    for (i, field) in fields.enumerated() {
      for part in field.split(separator: ",") {
        if let problem = range(String(part), bounds[i], names: i == 3 ? months : i == 4 ? days : [], offset: i == 3 ? 1 : 0) {
          return problem
        }
      }
    }
    return nil
  }

  private static func range(_ text: String, _ bounds: (Int, Int), names: [String], offset: Int) -> String? {
    let steps = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let ends = steps[0].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    func number(_ text: String) -> Int? {
      if let i = names.firstIndex(of: text.lowercased()) { return i + offset }
      return Int(text)
    }
    var low = bounds.0
    var high = bounds.1
    if ends[0] != "*" && ends[0] != "?" {
      guard let first = number(ends[0]) else {
        return "failed to parse int from \(ends[0]): strconv.Atoi: parsing \(FieldError.quoted(ends[0])): invalid syntax"
      }
      low = first
      high = first
      if ends.count == 2 {
        guard let last = number(ends[1]) else {
          return "failed to parse int from \(ends[1]): strconv.Atoi: parsing \(FieldError.quoted(ends[1])): invalid syntax"
        }
        high = last
      } else if ends.count > 2 {
        return "too many hyphens: \(text)"
      }
    }
    if steps.count == 2 {
      guard let step = Int(steps[1]) else {
        return "failed to parse int from \(steps[1]): strconv.Atoi: parsing \(FieldError.quoted(steps[1])): invalid syntax"
      }
      if step == 0 { return "step of range should be a positive number: \(text)" }
      if ends.count == 1 { high = bounds.1 }
    } else if steps.count > 2 {
      return "too many slashes: \(text)"
    }
    if low < bounds.0 { return "beginning of range (\(low)) below minimum (\(bounds.0)): \(text)" }
    if high > bounds.1 { return "end of range (\(high)) above maximum (\(bounds.1)): \(text)" }
    if low > high { return "beginning of range (\(low)) beyond end of range (\(high)): \(text)" }
    return nil
  }
}
